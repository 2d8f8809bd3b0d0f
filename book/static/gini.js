// The Gini playground of the method page: bars to drag, their Lorenz curve, and the index by Equation 4.
const SIZE = 200; // both drawings, in their own units
const PRESETS = {
  "all equal": Array(10).fill(50),
  "rising evenly": [10, 20, 30, 40, 50, 60, 70, 80, 90, 100],
  "one has all": [0, 0, 0, 0, 0, 0, 0, 0, 0, 100],
  "[0, 0, 0, 1, 1]": [0, 0, 0, 50, 50],
  "[0, 0, 0, 1, 1000]": [0, 0, 0, 0.1, 100],
};

const sum = (values) => values.reduce((total, value) => total + value, 0);

function gini(values) {
  const n = values.length;
  const sorted = [...values].sort((a, b) => a - b);
  const weighted = sum(sorted.map((value, i) => (n - i) * value)); // i counts from 0, so n - i is the formula's n + 1 - i
  return (n + 1 - (2 * weighted) / sum(values)) / n;
}

// The corners of the Lorenz curve: (share of the values, share of the total).
function lorenz(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const total = sum(values);
  let held = 0;
  return [[0, 0], ...sorted.map((value, i) => [(i + 1) / sorted.length, (held += value) / total])];
}

function make(kind, attributes, parent, text = "") {
  const names = ["svg", "g", "rect", "path", "text"];
  const node = names.includes(kind) ? document.createElementNS("http://www.w3.org/2000/svg", kind) : document.createElement(kind);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text) node.textContent = text;
  parent.append(node);
  return node;
}

function playground(root) {
  let values = [...PRESETS["rising evenly"]];
  let bars = [];
  const presets = make("div", { class: "gini-presets", role: "group", "aria-label": "Start from" }, root);
  const drawings = make("div", { class: "gini-drawings" }, root);
  const left = make("div", {}, drawings);
  const right = make("div", {}, drawings);
  const chart = make("svg", { viewBox: `0 0 ${SIZE} ${SIZE}`, class: "gini-bars", role: "group", "aria-label": "Values to drag" }, left);
  make("p", {}, left, "The values, to drag.");
  const view = { viewBox: `-4 -4 ${SIZE + 8} ${SIZE + 8}`, class: "gini-lorenz", role: "img" };
  const curve = make("svg", view, right);
  make("p", {}, right, "The share of the total (upwards) that the smallest values hold, from none of them (left) to all (right).");
  const area = make("path", { class: "gini-area" }, curve);
  make("path", { class: "gini-equal", d: `M0,${SIZE}L${SIZE},0` }, curve);
  const line = make("path", { class: "gini-curve" }, curve);
  const result = make("p", { class: "gini-result", "aria-live": "polite" }, root);

  function draw() {
    bars.forEach((bar, i) => {
      const height = (values[i] / 100) * SIZE;
      bar.lastChild.setAttribute("y", SIZE - height);
      bar.lastChild.setAttribute("height", height);
      bar.setAttribute("aria-valuenow", values[i]);
    });
    const known = sum(values) > 0;
    const corners = known ? lorenz(values).map(([x, y]) => `${x * SIZE},${SIZE - y * SIZE}`) : [];
    line.setAttribute("d", known ? `M${corners.join("L")}` : "");
    area.setAttribute("d", known ? `M${corners.join("L")}Z` : "");
    const index = gini(values);
    const largest = (100 * Math.max(...values)) / sum(values);
    result.textContent = known
      ? `Gini index ${index.toFixed(4)} of ${values.length} values. The largest one holds ${largest.toFixed(1)} % of the total.`
      : "The Gini index of zeros is not defined.";
    curve.setAttribute("aria-label", known ? `Lorenz curve; Gini index ${index.toFixed(4)}` : "No Lorenz curve");
  }

  function set(i, value) {
    values[i] = Math.max(0, Math.min(100, value));
    draw();
  }

  function start(chosen) {
    values = [...chosen];
    chart.replaceChildren();
    const width = SIZE / values.length;
    bars = values.map((_, i) => {
      const name = { role: "slider", tabindex: 0, "aria-label": `Value ${i + 1} of ${values.length}` };
      const bar = make("g", { ...name, "aria-valuemin": 0, "aria-valuemax": 100, "aria-orientation": "vertical" }, chart);
      make("rect", { class: "gini-room", x: i * width + 1, y: 0, width: width - 2, height: SIZE }, bar);
      make("rect", { class: "gini-bar", x: i * width + 1, width: width - 2 }, bar);
      bar.addEventListener("keydown", (event) => {
        const steps = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10, Home: -100, End: 100 };
        if (!(event.key in steps)) return;
        event.preventDefault();
        set(i, Math.round(values[i]) + steps[event.key]);
      });
      return bar;
    });
    draw();
  }

  function drag(event) {
    if (!event.buttons) return;
    const box = chart.getBoundingClientRect();
    const i = Math.floor(((event.clientX - box.left) / box.width) * values.length);
    if (i >= 0 && i < values.length) set(i, Math.round(100 * (1 - (event.clientY - box.top) / box.height)));
  }

  chart.addEventListener("pointerdown", (event) => {
    chart.setPointerCapture(event.pointerId);
    drag(event);
  });
  chart.addEventListener("pointermove", drag);
  for (const [name, chosen] of Object.entries(PRESETS)) {
    make("button", { type: "button" }, presets, name).addEventListener("click", () => start(chosen));
  }
  start(values);
}

document.querySelectorAll("[data-gini-playground]").forEach(playground);
