// The page "Fool it yourself": what the reader does.
{
  const MASK_MS = 110;
  const STILL = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const CHOICES = {
    brush: { black: "black", gray: "gray", white: "white", noise: "noise" },
    view: { importance: "what matters to it", picture: "what it sees" },
    baseline: { normal: "random noise", black: "black", mean: "mean colour" },
  };
  const { look, load, make, wait, chosen, percent, some, a, picture, Panel } = foolIt;
  const $ = (name) => document.getElementById(`fool-${name}`);
  const shared = () => foolIt.shared;

  let cursor = { row: 16, column: 16 };
  let busy = Promise.resolve(); // until the maps are those of the picture
  let running = false;
  let panels = [];

  function log(text) {
    $("log").append(make("p", { textContent: text }));
    if ($("log").children.length > 100) $("log").firstChild.remove();
    $("log").scrollTop = $("log").scrollHeight;
  }

  function say(text) {
    log(text);
    $("verdict").textContent = text;
  }

  const hidden = () =>
    foolIt.area(look.stamps.reduce((mask, s) => foolIt.patch(s.row, s.column, s.radius, mask), new Uint8Array(1024)));

  // Where the next patch would be.
  function point() {
    const radius = Number($("size").value);
    $("size-said").value = `${2 * radius} x ${2 * radius}`;
    const unit = (value) => `${(100 * value) / 32}%`;
    const [left, top, side] = [cursor.column - radius, cursor.row - radius, 2 * radius].map(unit);
    Object.assign($("cursor").style, { left, top, width: side, height: side });
  }

  function show() {
    $("canvas")
      .getContext("2d")
      .putImageData(new ImageData(foolIt.drawn(look.layers.at(-1)), 32), 0, 0);
    point();
    panels.forEach((panel) => panel.draw());
    if (panels.every((panel) => panel.now)) $("verdict").textContent = verdict();
    [$("undo").disabled, $("clear").disabled] = [
      !look.stamps.length,
      !look.stamps.length && !panels.some((panel) => panel.hit),
    ];
    $("algorithm").textContent = running ? "Stop" : "Let Algorithm 1 do it";
  }

  function verdict() {
    const [one, two] = panels;
    if (running) return "Algorithm 1 hides what matters most to each network, mask by mask …";
    if (one.hit || look.stamps.length) return race(...panels);
    if (one.guess === two.guess) return `Both networks see ${a(one.guess)}. Hide a part of it, and change their minds.`;
    return `${one.name} sees ${a(one.guess)}, ${two.title} ${a(two.guess)}.`;
  }

  // Who was fooled first, by Algorithm 1 or else by hand; 0 is never.
  function race(one, two) {
    const machine = Boolean(one.hit);
    const when = (panel) => (!machine ? Math.max(0, panel.first) : panel.fooled ? panel.hit.place : 0);
    const [first, second] = [when(one), when(two)];
    const [winner, loser] = !second || (first && first < second) ? [one, two] : [two, one];
    const size = ({ hit }) => `${some(hit.count, "patch")}, ${some(hit.area, "pixel")}`;
    const rest = machine ? `needs ${size(loser)}` : `follows with patch ${when(loser)}`;
    if (!first && !second && machine) return "Neither network falls for Algorithm 1.";
    if (!first && !second) return `${percent(hidden() / 1024)} is painted over, and neither network is fooled.`;
    if (first === second && machine)
      return `Both networks fall at the same mask: ${some(one.hit.count, "patch")} of ${2 * one.hit.radius} x ${2 * one.hit.radius}.`;
    if (first === second) return `Patch ${first} fools both networks.`;
    return `${winner.name} is fooled first${machine ? `: ${size(winner)}` : `, by patch ${when(winner)}`}. ${loser.name} ${when(loser) ? rest : "holds out"}.`;
  }

  // After any change: the verdicts at once, the maps a moment later.
  function changed() {
    const mine = ++look.turn;
    running = false;
    for (const panel of panels) {
      Object.assign(panel, { hit: undefined, map: undefined });
      panel.look();
    }
    show();
    address();
    busy = attempt(async () => {
      await wait(120);
      for (const panel of panels) if (mine === look.turn && panel.network) await panel.explain(mine);
      if (mine === look.turn && panels.every((panel) => panel.map))
        log(`Gini index: ${panels.map((panel) => `${panel.title} ${panel.index}`).join(", ")}.`);
    });
    return busy;
  }

  function address(algorithm) {
    const names = Object.keys(shared().networks);
    const networks = panels.map((panel) => names.indexOf(panel.choice.value));
    const state = foolIt.link.write({
      picture: look.id,
      networks,
      baseline: chosen("baseline"),
      stamps: look.stamps,
      algorithm,
    });
    history.replaceState(null, "", look.own ? location.pathname + location.search : state);
  }

  function paint(row, column) {
    const last = { kind: chosen("brush"), row, column, radius: Number($("size").value) };
    look.layers.push(foolIt.stamp(look.layers.at(-1), last, look.stamps.length, shared().std));
    look.stamps.push(last);
    changed();
  }

  function report() {
    const { kind, row, column, radius } = look.stamps.at(-1);
    const said = panels.filter((panel) => panel.now).map((panel) => `${panel.title}: ${panel.words().join(". ")}`);
    log(
      `${some(look.stamps.length, "patch")}, the last one ${kind}, ${2 * radius} x ${2 * radius} at row ${row}, column ${column}; ${some(hidden(), "pixel")} in all. ${said.join(" ")}`,
    );
  }

  function undo(count = 1) {
    look.stamps.splice(-count, count);
    look.layers.splice(look.stamps.length + 1);
    changed();
    log(`Taken back; ${some(look.stamps.length, "patch")} left.`);
  }

  function choose(pixels, id) {
    [look.layers, look.stamps, look.own, look.id] = [[pixels], [], id === undefined, id];
    for (const panel of panels) panel.forget();
    document.querySelectorAll("[name=fool-picture]").forEach((input) => (input.checked = Number(input.value) === id));
    cursor = { row: 16, column: 16 };
  }

  // Algorithm 1 on the picture as it is, each network by its own map; both try the same mask at the same time.
  async function algorithm() {
    for (let last; last !== busy; await last) last = busy; // the maps of the picture as it is now
    if (panels.some((panel) => panel.now && panel.fooled)) {
      say("A network is fooled already: start again, then let Algorithm 1 do it.");
    } else if (panels.every((panel) => panel.map)) await search();
  }

  async function search() {
    const mine = ++look.turn;
    const fill = chosen("brush") === "noise" ? "black" : chosen("brush");
    const grids = panels.map((panel) => foolIt.masks(panel.map));
    running = true;
    for (let place = 0; place < grids[0].length; place++) {
      panels.forEach((panel, i) => {
        const tried = grids[i][place];
        if (panel.fooled) return;
        const scores = tried.isNew
          ? panel.network.logits(foolIt.hide(look.layers.at(-1), tried.mask, fill))
          : panel.now;
        panel.hit = { ...tried, place: place + 1, fill, scores };
      });
      if (!STILL || place % 8 === 7) show();
      await wait(STILL ? 0 : MASK_MS);
      if (mine !== look.turn) return;
      if (panels.every((panel) => panel.fooled)) break;
    }
    running = false;
    for (const panel of panels) panel.hit.held = !panel.fooled;
    show();
    address(fill);
    log(
      `Algorithm 1, ${fill}: ${verdict()} ${panels.map((panel) => `${panel.title}: ${panel.words().join(". ")}`).join(" ")}`,
    );
  }

  async function upload(file) {
    if (!file) return;
    try {
      const { pixels, note } = await foolIt.upload(file);
      choose(pixels);
      log(note);
      changed();
    } catch (problem) {
      say(problem.message);
    }
  }

  // --- beginning ----------------------------------------------------------------------------------------------------

  // A failure is one sentence; what can be done without the networks stays.
  async function attempt(work) {
    try {
      return await work();
    } catch (problem) {
      say(`The networks cannot run here: ${problem.message.split("\n")[0]}. You can still paint.`);
      for (const panel of panels) Object.assign(panel, { network: undefined }).forget();
      show();
    }
  }

  function radios(name) {
    for (const [value, title] of Object.entries(CHOICES[name])) {
      const input = make("input", {
        type: "radio",
        name: `fool-${name}`,
        value,
        checked: value === Object.keys(CHOICES[name])[0],
      });
      $(name).append(make("label", { className: `fool-${value}` }, input, make("span", {}, title)));
    }
    $(name).addEventListener("change", name === "baseline" ? changed : show);
  }

  function thumbnails() {
    const { ids, labels, classes } = shared();
    for (const [i, id] of ids.entries()) {
      const canvas = make("canvas", {
        width: 32,
        height: 32,
        role: "img",
        ariaLabel: `${classes[labels[i]]}, test image ${id}`,
      });
      canvas.getContext("2d").putImageData(new ImageData(foolIt.drawn(picture(id)), 32), 0, 0);
      $("pictures").append(
        make("label", {}, make("input", { type: "radio", name: "fool-picture", value: id }), canvas),
      );
    }
    $("pictures").addEventListener("change", () => {
      choose(picture(Number(chosen("picture"))), Number(chosen("picture")));
      changed();
      log(`Picture: ${classes[labels[ids.indexOf(look.id)]]}, test image ${look.id}.`);
    });
  }

  function painting() {
    const canvas = $("canvas");
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      const place = (value, from, size) => foolIt.clip(Math.round((32 * (value - from)) / size), 0, 32);
      return { row: place(event.clientY, box.top, box.height), column: place(event.clientX, box.left, box.width) };
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      cursor = at(event);
      paint(cursor.row, cursor.column);
    });
    canvas.addEventListener("pointermove", (event) => {
      cursor = at(event);
      const { row, column, radius } = look.stamps.at(-1) ?? {};
      const far = Math.max(Math.abs(cursor.row - row), Math.abs(cursor.column - column)) >= 2 * radius;
      if (event.buttons && far)
        paint(cursor.row, cursor.column); // patches of one stroke touch, and do not overlap
      else point();
    });
    canvas.addEventListener("pointerup", report);
    canvas.addEventListener("keydown", (event) => {
      const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
      if (event.key in steps) {
        const [down, right] = steps[event.key].map((step) => step * (event.shiftKey ? 4 : 1));
        cursor = { row: foolIt.clip(cursor.row + down, 0, 32), column: foolIt.clip(cursor.column + right, 0, 32) };
        $("at").textContent = `Row ${cursor.row}, column ${cursor.column}.`;
        point();
      } else if (event.key === " " || event.key === "Enter") {
        paint(cursor.row, cursor.column);
        report();
      } else if (event.key === "Backspace" && look.stamps.length) undo();
      else return;
      event.preventDefault();
    });
  }

  function buttons() {
    $("algorithm").addEventListener("click", () => (running ? changed() : attempt(algorithm)));
    $("undo").addEventListener("click", () => undo());
    $("clear").addEventListener("click", () => undo(look.stamps.length));
    $("size").addEventListener("input", point);
    $("file").addEventListener("change", (event) => upload(event.target.files[0]));
    $("it").addEventListener("dragover", (event) => event.preventDefault());
    $("it").addEventListener("drop", (event) => (event.preventDefault(), upload(event.dataTransfer.files[0])));
    $("link").addEventListener("click", async () => {
      const copied = look.own
        ? false
        : await navigator.clipboard?.writeText(location.href).then(
            () => true,
            () => false,
          );
      log(
        look.own
          ? "A picture of your own stays in your browser: it is in no link."
          : copied
            ? "The link is copied."
            : "The link is the address of this page.",
      );
    });
    addEventListener("hashchange", () => attempt(restore));
  }

  async function restore() {
    const { ids, networks, start } = shared();
    const state = foolIt.link.read(location.hash);
    const names = Object.keys(networks);
    choose(
      picture(ids.includes(state.picture) ? state.picture : start),
      ids.includes(state.picture) ? state.picture : start,
    );
    for (const stamp of state.stamps) {
      look.layers.push(foolIt.stamp(look.layers.at(-1), stamp, look.stamps.length, shared().std));
      look.stamps.push(stamp);
    }
    const wanted = state.baseline in CHOICES.baseline ? state.baseline : "normal";
    document.querySelector(`[name=fool-baseline][value=${wanted}]`).checked = true;
    show();
    for (const [i, panel] of panels.entries()) {
      const name = names[state.networks[i]] ?? names.at(-i); // the first and the last
      if (panel.choice.value !== name || !panel.network) await panel.use(name);
    }
    const mine = changed();
    if (!state.algorithm) return;
    document.querySelector(`[name=fool-brush][value=${state.algorithm}]`).checked = true;
    await mine;
    await algorithm();
  }

  async function run() {
    if (typeof WebAssembly !== "object") throw new Error("this browser has no WebAssembly");
    for (const file of [...shared().scripts, "vendor/fool_it/wasm.js"]) await load(file);
    const kinds = ["", "-simd", "-threaded-simd"].map((kind) => [`tfjs-backend-wasm${kind}.wasm`, foolIt.wasm]);
    tf.wasm.setWasmPaths(Object.fromEntries(kinds));
    tf.env().set("WASM_HAS_MULTITHREAD_SUPPORT", false); // the one file is the one for a single thread
    if (!(await tf.setBackend("wasm"))) throw new Error("this browser's WebAssembly is not enough");
    await restore();
    log("Both networks run in your browser.");
  }

  async function begin() {
    Object.assign($("start"), { disabled: true, textContent: "Loading …" });
    await load("vendor/fool_it/pictures.js");
    Object.assign(shared(), {
      pixels: foolIt.decode.bytes(shared().pixels),
      normal: foolIt.decode.singles(shared().normal),
    });
    const names = Object.keys(shared().networks);
    Object.keys(CHOICES).forEach(radios);
    thumbnails();
    choose(picture(shared().start), shared().start);
    panels = [...document.querySelectorAll(".fool-net")].map(
      (root, i) => new Panel(root, names.at(-i), (panel, name) => attempt(() => panel.use(name).then(changed))),
    );
    painting();
    buttons();
    [$("still").hidden, $("it").hidden] = [true, false];
    $("verdict").textContent = "The networks are coming …";
    show();
    await attempt(run);
  }

  if ($("start")) {
    $("start").hidden = false;
    $("start").addEventListener("click", begin);
    if (location.hash.includes("picture=")) begin();
  }
}
