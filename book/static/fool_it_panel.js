// The page "Fool it yourself": a network, what it says of the picture and what matters to it.
globalThis.foolIt ??= {};
{
  const HERE = document.currentScript.src.replace(/[^/]*$/, "");
  const AT_ONCE = 5; // points of the integral between two looks at the mouse
  const ZOOM = 10; // of a panel's picture, for the lines around patches
  const built = {}; // networks by name
  const shared = () => foolIt.shared;

  // What both networks look at. ``layers``: the picture, and the picture after each of the changes ``stamps``; ``own``: it is
  // the reader's, else ``id`` is its number in the test set. Whatever takes time ends when ``turn`` has moved on.
  const look = { layers: [], stamps: [], own: false, id: undefined, turn: 0 };

  const make = (kind, attributes = {}, ...inside) => {
    const node = Object.assign(document.createElement(kind), attributes);
    node.append(...inside);
    return node;
  };
  const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const chosen = (name) => document.querySelector(`[name=fool-${name}]:checked`).value;
  const percent = (part) => `${(100 * part).toFixed(part < 0.1 ? 1 : 0)} %`;
  const some = (n, what) => `${n} ${what}${n === 1 ? "" : what.endsWith("h") ? "es" : "s"}`;
  const a = (name) => `${/^[aeiou]/.test(name) ? "an" : "a"} ${name}`;
  const best = (scores) => scores.indexOf(Math.max(...scores));
  const softmax = (scores) => {
    const sizes = scores.map((score) => Math.exp(score - Math.max(...scores)));
    const total = sizes.reduce((sum, size) => sum + size);
    return sizes.map((size) => size / total);
  };

  function load(file) {
    return new Promise((resolve, reject) => {
      const failed = () => reject(new Error(`A part of this page could not be loaded (${file})`));
      document.head.append(make("script", { src: HERE + file, onload: resolve, onerror: failed }));
    });
  }

  // A picture of the test set.
  const picture = (id) => {
    const place = 3072 * shared().ids.indexOf(id);
    return Float32Array.from(shared().pixels.subarray(place, place + 3072), (value) => value / 255);
  };

  const normalised = (pixels) => pixels.map((value, i) => (value - shared().mean[i % 3]) / shared().std[i % 3]);

  // Where Integrated Gradients begin, normalised; a picture of the reader's own has the random one of the first picture.
  function baseline(kind, id) {
    const zeros = new Float32Array(3072);
    const place = 3072 * Math.max(0, shared().ids.indexOf(id));
    return { black: normalised(zeros), mean: zeros, normal: shared().normal.subarray(place, place + 3072) }[kind];
  }

  class Panel {
    constructor(root, name, choose) {
      this.root = root;
      this.choice = make("select", { ariaLabel: root.ariaLabel });
      for (const [value, title] of Object.entries(shared().networks))
        this.choice.append(make("option", { value }, title));
      this.choice.value = name;
      this.choice.addEventListener("change", () => choose(this, this.choice.value));
      this.badge = make("p", { className: "fool-badge" });
      this.note = make("p", { className: "fool-note" });
      this.canvas = make("canvas", { width: 32 * ZOOM, height: 32 * ZOOM, role: "img" });
      this.gini = make("p", { className: "fool-gini" });
      this.bars = shared().classes.map((name) => make("li", {}, make("b"), make("span", {}, name), make("span")));
      root.append(this.choice, this.badge, this.note, this.canvas, this.gini, make("ol", {}, ...this.bars));
      this.forget();
    }

    get title() {
      return shared().networks[this.choice.value];
    }

    // The title at the beginning of a sentence.
    get name() {
      return this.title[0].toUpperCase() + this.title.slice(1);
    }

    async use(name) {
      this.choice.value = name;
      this.network = undefined;
      if (!foolIt.networks[name]) await load(`vendor/fool_it/${name}.js`);
      this.network = built[name] ??= new foolIt.Network(foolIt.networks[name], shared());
      this.forget();
    }

    forget() {
      Object.assign(this, { scores: [], map: undefined, hit: undefined });
    }

    // The logits of the picture after each change.
    look() {
      this.scores.length = Math.min(this.scores.length, look.layers.length);
      while (this.network && this.scores.length < look.layers.length) {
        this.scores.push(this.network.logits(look.layers[this.scores.length]));
      }
    }

    get label() {
      return look.own ? best(this.scores[0]) : shared().labels[shared().ids.indexOf(look.id)];
    }

    get now() {
      return this.hit?.scores ?? this.scores.at(-1);
    }

    get fooled() {
      return best(this.now) !== this.label;
    }

    // After how many changes it was fooled first; -1 if never.
    get first() {
      return this.scores.findIndex((scores) => best(scores) !== this.label);
    }

    get guess() {
      return shared().classes[best(this.now)];
    }

    draw() {
      const mask = this.hit?.mask;
      const pixels = mask ? foolIt.hide(look.layers.at(-1), mask, this.hit.fill) : look.layers.at(-1);
      const map = chosen("view") === "importance" ? this.map : undefined;
      this.paint(foolIt.drawn(pixels, map, mask), mask);
      this.root.classList.toggle("fooled", Boolean(this.now && this.fooled));
      if (!this.now) return;
      const sure = softmax(this.now);
      this.bars.forEach((bar, i) => {
        bar.className = i === this.label ? "label" : i === best(sure) ? "wrong" : "";
        bar.querySelector("b").style.width = `${100 * sure[i]}%`;
        bar.lastChild.textContent = percent(sure[i]);
      });
      const seen = `${this.title} sees ${a(this.guess)}, ${percent(Math.max(...sure))}`;
      this.canvas.ariaLabel = map ? `What matters to it: Gini index ${this.index}` : `What it sees; ${seen}`;
      [this.badge.textContent, this.note.textContent] = this.words();
    }

    // With a line around what a mask hides.
    paint(data, mask = new Uint8Array(1024)) {
      const small = new OffscreenCanvas(32, 32);
      small.getContext("2d").putImageData(new ImageData(data, 32), 0, 0);
      const context = this.canvas.getContext("2d");
      context.imageSmoothingEnabled = false;
      context.drawImage(small, 0, 0, 32 * ZOOM, 32 * ZOOM);
      context.fillStyle = "#fff";
      mask.forEach((hidden, i) => {
        const [x, y] = [ZOOM * (i % 32), ZOOM * Math.floor(i / 32)];
        if (!hidden) return;
        if (i % 32 && !mask[i - 1]) context.fillRect(x - 1, y - 1, 2, ZOOM + 2);
        if (i % 32 < 31 && !mask[i + 1]) context.fillRect(x + ZOOM - 1, y - 1, 2, ZOOM + 2);
        if (i >= 32 && !mask[i - 32]) context.fillRect(x - 1, y - 1, ZOOM + 2, 2);
        if (i < 992 && !mask[i + 32]) context.fillRect(x - 1, y + ZOOM - 1, ZOOM + 2, 2);
      });
    }

    words() {
      const says = `It says ${this.guess}, ${percent(Math.max(...softmax(this.now)))}.`;
      if (this.hit) {
        const { place, count, area, held } = this.hit;
        if (held) return ["✓ holds out", `All ${place} masks; the largest hides ${percent(area / 1024)}. ${says}`];
        if (!this.fooled)
          return [`✓ mask ${place}`, `${some(count, "patch")}, ${percent(area / 1024)} hidden. ${says}`];
        return [`✗ fooled after ${some(count, "patch")}`, `${some(area, "pixel")} hidden. ${says}`];
      }
      if (!this.fooled) return [`✓ sees ${a(this.guess)}`, says];
      return [look.stamps.length ? `✗ fooled after ${some(this.first, "patch")}` : "✗ wrong from the start", says];
    }

    // Integrated Gradients of the picture's class and their Gini index, a part at a time.
    async explain(mine) {
      const { nodes, weights } = shared();
      const [x, start] = [normalised(look.layers.at(-1)), baseline(chosen("baseline"), look.id)];
      const total = new Float32Array(x.length);
      this.gini.textContent = "Gini index …";
      for (let k = 0; k < nodes.length; k += AT_ONCE) {
        await wait(0);
        if (mine !== look.turn) return;
        const part = this.network.gradients(
          x,
          start,
          this.label,
          nodes.slice(k, k + AT_ONCE),
          weights.slice(k, k + AT_ONCE),
        );
        part.forEach((slope, i) => (total[i] += slope));
      }
      this.map = total.map((slope, i) => slope * (x[i] - start[i]));
      this.index = gini(Array.from(this.map, Math.abs)).toFixed(3);
      this.gini.replaceChildren(
        "Gini index ",
        make("strong", {}, this.index),
        make("meter", { value: this.index, ariaLabel: "Gini index" }),
      );
      this.draw();
    }
  }

  Object.assign(foolIt, {
    Panel,
    picture,
    normalised,
    baseline,
    look,
    load,
    make,
    wait,
    chosen,
    percent,
    some,
    a,
    best,
  });
}
