// Choose your reading: the effect of one combination of options, and its place among all of them.
const EXCLUDED = 255;
const WIDTH = 600;
const HEIGHT = 160;

// Two bytes a reading: the effect, signed, and half the width of its interval.
async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Int8Array(await new Response(stream).arrayBuffer());
}

function element(kind, parent, attributes = {}, text = "") {
  const svg = ["svg", "path", "line", "circle"].includes(kind);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", kind) : document.createElement(kind);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = text;
  parent.append(node);
  return node;
}

class Claim {
  constructor(facts, values) {
    Object.assign(this, facts);
    this.values = values;
    this.known = [...Array(values.length / 2).keys()].filter((place) => this.half(place) !== EXCLUDED);
    this.ranked = [...this.known].sort((a, b) => this.effect(a) - this.effect(b));
  }

  effect(place) {
    return this.values[2 * place];
  }

  half(place) {
    return this.values[2 * place + 1] & 255;
  }

  side(place) {
    return this.effect(place) > this.half(place) ? 1 : this.effect(place) < -this.half(place) ? -1 : 0;
  }

  place(chosen) {
    return chosen.reduce((place, option, i) => place * this.choices[i].options.length + option, 0);
  }

  chosen(place) {
    const options = [];
    for (const choice of [...this.choices].reverse()) {
      options.unshift(place % choice.options.length);
      place = Math.floor(place / choice.options.length);
    }
    return options;
  }

  number(steps) {
    const value = steps * this.step;
    return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(this.unit === "Gini" ? 3 : 0)}`;
  }
}

function build(root, claims) {
  root.querySelector(".no-script").remove();
  const form = element("form", root, { class: "readings-choices" });
  const label = (text) => element("label", form, {}, text);
  const claimList = element("select", label("The claim"));
  claims.forEach((claim, i) => element("option", claimList, { value: i }, claim.title));
  const fields = element("div", form, { class: "readings-fields" });
  const buttons = element("p", form, { class: "readings-buttons" });
  const said = element("p", root, { class: "readings-said", "aria-live": "polite" });
  const view = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": "All readings, from the smallest effect to the largest; a mark at yours" };
  const curve = element("svg", root, view);
  let claim;
  let lists = [];

  function drawCurve() {
    curve.replaceChildren();
    const most = Math.max(1, ...claim.known.map((place) => Math.abs(claim.effect(place))));
    const x = (rank) => (rank / Math.max(1, claim.ranked.length - 1)) * (WIDTH - 20) + 10;
    const y = (effect) => HEIGHT / 2 - (effect / most) * (HEIGHT / 2 - 8);
    element("line", curve, { x1: 0, x2: WIDTH, y1: y(0), y2: y(0), class: "readings-zero" });
    const points = claim.ranked.map((place, rank) => `${x(rank).toFixed(1)},${y(claim.effect(place)).toFixed(1)}`);
    element("path", curve, { d: `M${points.join("L")}`, class: "readings-curve" });
    return (place) => {
      curve.querySelector(".readings-mark")?.remove();
      curve.querySelector(".readings-interval")?.remove();
      const rank = claim.ranked.indexOf(place);
      const [low, high] = [-1, 1].map((sign) => y(Math.max(-most, Math.min(most, claim.effect(place) + sign * claim.half(place)))));
      element("line", curve, { x1: x(rank), x2: x(rank), y1: low, y2: high, class: "readings-interval" });
      element("circle", curve, { cx: x(rank), cy: y(claim.effect(place)), r: 6, class: "readings-mark" });
    };
  }

  let mark;

  function show() {
    const place = claim.place(lists.map((list) => Number(list.value)));
    if (claim.half(place) === EXCLUDED) {
      said.textContent = "The plan does not have this combination: choose another option.";
      return;
    }
    mark(place);
    const words = { 1: "for the claim", "-1": "against the claim", 0: "undecided" }[claim.side(place)];
    const [low, high] = [-1, 1].map((sign) => claim.number(claim.effect(place) + sign * claim.half(place)));
    const rank = claim.ranked.indexOf(place) + 1;
    said.textContent =
      `${claim.number(claim.effect(place))} ${claim.unit} [${low}, ${high}]: ${words}. ` +
      `Number ${rank.toLocaleString("en")} of ${claim.ranked.length.toLocaleString("en")} combinations, from the smallest effect.`;
  }

  function choose(place) {
    claim.chosen(place).forEach((option, i) => (lists[i].value = option));
    show();
  }

  function jump(side) {
    const fitting = claim.known.filter((place) => claim.side(place) === side);
    if (fitting.length) choose(fitting[Math.floor(Math.random() * fitting.length)]);
    else said.textContent = `No combination speaks ${side > 0 ? "for" : "against"} this claim.`;
  }

  function start() {
    claim = claims[Number(claimList.value)];
    fields.replaceChildren();
    lists = claim.choices.map((choice) => {
      const list = element("select", element("label", fields, {}, choice.label));
      choice.options.forEach((title, i) => element("option", list, { value: i }, title));
      list.addEventListener("change", show);
      return list;
    });
    mark = drawCurve();
    choose(claim.known[0]);
  }

  for (const [text, side] of [["Show me a reading in which the paper is right", 1], ["… in which it is wrong", -1]]) {
    element("button", buttons, { type: "button" }, text).addEventListener("click", () => jump(side));
  }
  claimList.addEventListener("change", start);
  form.addEventListener("submit", (event) => event.preventDefault());
  start();
}

for (const root of document.querySelectorAll(".readings")) {
  const facts = JSON.parse(root.querySelector("script").textContent);
  Promise.all(facts.map(async (own) => new Claim(own, await unpack(own.readings))))
    .then((claims) => claims.length && build(root, claims))
    .catch(() => {
      root.querySelector(".no-script").textContent = "This browser is too old to unpack the readings; the figures on this page show all of them.";
    });
}
