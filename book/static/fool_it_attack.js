// The page "Fool it yourself": what needs no network. Pictures and maps are 32 x 32 x 3 numbers, row by row, and masks are
// 32 x 32; a patch of radius r hides [row - r, row + r) x [column - r, column + r), as in the paper's Algorithm 1.
globalThis.foolIt ??= {};
{
  const SIDE = 32;
  const REGION = 4;
  const [COUNTS, RADII] = [10, 4]; // the largest mask
  const FILLS = { black: 0, gray: 0.5, white: 1 };
  const MAGMA = [
    [0, 0, 4],
    [59, 15, 112],
    [140, 41, 129],
    [222, 73, 104],
    [254, 159, 109],
    [252, 253, 191],
  ];

  const clip = (value, low, high) => Math.min(high, Math.max(low, value));

  function patch(row, column, radius, mask = new Uint8Array(SIDE * SIDE)) {
    for (let y = Math.max(0, row - radius); y < Math.min(SIDE, row + radius); y++) {
      mask.fill(1, y * SIDE + Math.max(0, column - radius), y * SIDE + Math.min(SIDE, column + radius));
    }
    return mask;
  }

  const area = (mask) => mask.reduce((total, hidden) => total + hidden, 0);
  const hide = (pixels, mask, fill) => pixels.map((value, i) => (mask[Math.floor(i / 3)] ? FILLS[fill] : value));

  // Centres of the 4x4 regions, the largest signed sum of the map first; ties row by row.
  function centres(map) {
    const columns = SIDE / REGION;
    const sums = new Float64Array(columns * columns);
    map.forEach((value, i) => {
      const [row, column] = [Math.floor(i / 3 / SIDE), Math.floor(i / 3) % SIDE];
      sums[Math.floor(row / REGION) * columns + Math.floor(column / REGION)] += value;
    });
    const order = [...sums.keys()].sort((a, b) => sums[b] - sums[a] || a - b);
    return order.map((place) => [Math.floor(place / columns), place % columns].map((at) => at * REGION + REGION / 2));
  }

  // All masks of Algorithm 1 in its order, n outer and r inner; one that hides no more than with a patch less is not ``isNew``.
  function masks(map) {
    const places = centres(map).slice(0, COUNTS);
    const grid = [];
    for (let count = 1; count <= COUNTS; count++) {
      for (let radius = 1; radius <= RADII; radius++) {
        const mask = new Uint8Array(SIDE * SIDE);
        for (const [row, column] of places.slice(0, count)) patch(row, column, radius, mask);
        const hidden = area(mask);
        grid.push({ count, radius, mask, area: hidden, isNew: count === 1 || hidden > grid.at(-RADII).area });
      }
    }
    return grid;
  }

  // The n-th change of a picture: a patch, or N(0, 1) in normalised space added inside of one and cut off at [0, 1].
  function stamp(pixels, { kind, row, column, radius }, n, std) {
    const mask = patch(row, column, radius);
    if (kind !== "noise") return hide(pixels, mask, kind);
    const random = normal(n + 1);
    return pixels.map((value, i) => (mask[Math.floor(i / 3)] ? clip(value + std[i % 3] * random(), 0, 1) : value));
  }

  // Standard normal numbers that depend on the seed alone (mulberry32, then Box and Muller).
  function normal(seed) {
    let state = seed * 0x9e3779b9;
    const uniform = () => {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    };
    return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  }

  // What a canvas shows: the picture, or with a map a dark gray one on which the important pixels glow. Masks cover both.
  function drawn(pixels, map, mask) {
    const out = new Uint8ClampedArray(4 * SIDE * SIDE).fill(255);
    const size = Array.from({ length: SIDE * SIDE }, (_, i) =>
      map ? Math.abs(map[3 * i]) + Math.abs(map[3 * i + 1]) + Math.abs(map[3 * i + 2]) : 0,
    );
    const top = [...size].sort((a, b) => a - b)[SIDE * SIDE - 6] || 1; // a few outliers do not dim the rest
    for (let i = 0; i < SIDE * SIDE; i++) {
      const colour = [0, 1, 2].map((c) => 255 * pixels[3 * i + c]);
      const glow = Math.min(1, size[i] / top);
      out.set(map && !mask?.[i] ? blend(colour, glow) : colour, 4 * i);
    }
    return out;
  }

  function blend(colour, glow) {
    const gray = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2];
    const at = glow * (MAGMA.length - 1);
    const [low, high] = [MAGMA[Math.floor(at)], MAGMA[Math.ceil(at)]];
    const share = clip(0.1 + 1.2 * glow, 0, 1);
    return low.map((value, c) => (1 - share) * 0.75 * gray + share * (value + (at % 1) * (high[c] - value)));
  }

  // A state as the part of an address behind #, and back; what is not understood is left out.
  const KINDS = { b: "black", g: "gray", w: "white", n: "noise" };
  const link = {
    write({ picture, networks, baseline, stamps, algorithm }) {
      const short = stamps.map(
        ({ kind, row, column, radius }) => `${kind[0]}${row.toString(36)}${column.toString(36)}${radius}`,
      );
      const parts = { picture, networks: networks.join("-"), baseline, patches: short.join(""), algorithm };
      return `#${new URLSearchParams(Object.entries(parts).filter(([, value]) => value !== "" && value !== undefined))}`;
    },
    read(hash) {
      const parts = new URLSearchParams(hash.slice(1));
      const found = [...(parts.get("patches") ?? "").matchAll(/([bgwn])([0-9a-w])([0-9a-w])([1-4])/g)].slice(0, 200);
      const number = (text) => Number.parseInt(text, 36);
      return {
        picture: parts.has("picture") ? Number(parts.get("picture")) : undefined,
        networks: (parts.get("networks") ?? "").split("-").map(Number),
        baseline: parts.get("baseline"),
        algorithm: parts.get("algorithm") in FILLS ? parts.get("algorithm") : undefined,
        stamps: found.map(([, kind, row, column, radius]) => ({
          kind: KINDS[kind],
          row: number(row),
          column: number(column),
          radius: Number(radius),
        })),
      };
    },
  };

  Object.assign(foolIt, { SIDE, RADII, clip, patch, area, hide, masks, stamp, drawn, link });
}
