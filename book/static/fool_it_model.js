// The page "Fool it yourself": the networks, run by TensorFlow.js. Pictures are (32, 32, 3) floats in [0, 1], row by row.
// inequality_phenomenon.book.live_page writes what is decoded here.
globalThis.foolIt ??= {};
foolIt.networks = {};

// The value of each of the 65,536 numbers in half precision.
const HALVES = Float32Array.from({ length: 2 ** 16 }, (_, bits) => {
  const [exponent, rest] = [(bits >> 10) & 31, bits & 1023];
  return (bits >> 15 ? -1 : 1) * (exponent ? 2 ** (exponent - 25) * (1024 + rest) : 2 ** -24 * rest);
});

foolIt.decode = {
  bytes: (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)),
  halves: (text) => Float32Array.from(new Uint16Array(foolIt.decode.bytes(text).buffer), (bits) => HALVES[bits]),
  singles: (text) => new Float32Array(foolIt.decode.bytes(text).buffer),
};

// A convolution with PyTorch's padding. Backwards it is a convolution too: much faster than TensorFlow.js's own gradient.
class Convolution {
  constructor(kernel, summand, stride) {
    Object.assign(this, { kernel, summand, stride, padding: (kernel.shape[0] - 1) / 2 });
    this.flipped = tf.transpose(tf.reverse(kernel, [0, 1]), [0, 1, 3, 2]);
  }

  forward(x) {
    return tf.add(tf.conv2d(x, this.kernel, this.stride, this.padding, "NHWC", 1, "floor"), this.summand);
  }

  backward(slope) {
    return tf.conv2d(this.stride === 1 ? slope : spread(slope), this.flipped, 1, "same");
  }
}

// Zeros after every row and every column.
function spread(x) {
  const [n, height, width, channels] = x.shape;
  const rows = tf.reshape(tf.stack([x, tf.zerosLike(x)], 2), [n, 2 * height, width, channels]);
  return tf.reshape(tf.stack([rows, tf.zerosLike(rows)], 3), [n, 2 * height, 2 * width, channels]);
}

const same = { forward: (x) => x, backward: (slope) => slope };

foolIt.Network = class {
  constructor(stored, { mean, std }) {
    tf.tidy(() => {
      const layers = this.read(stored);
      [this.stem, this.last] = [layers.shift(), layers.pop()];
      this.blocks = [];
      while (layers.length) {
        const [first, second] = layers.splice(0, 2);
        this.blocks.push([first, second, layers[0]?.padding === 0 ? layers.shift() : same]); // only a shortcut is 1x1
      }
      [this.mean, this.std] = [tf.keep(tf.tensor(mean)), tf.keep(tf.tensor(std))];
    });
  }

  read({ kernels, numbers, shapes }) {
    const [halves, singles] = [foolIt.decode.halves(kernels), foolIt.decode.singles(numbers)];
    let [k, n] = [0, 0];
    return shapes.map(([height, width, inputs, outputs, stride]) => {
      const kernel = tf.tensor(halves.subarray(k, (k += height * width * inputs * outputs)), [
        height,
        width,
        inputs,
        outputs,
      ]);
      const factor = tf.tensor(singles.subarray(n, (n += outputs)));
      const layer = new Convolution(tf.mul(kernel, factor), tf.tensor(singles.subarray(n, (n += outputs))), stride);
      [layer.kernel, layer.summand, layer.flipped].forEach(tf.keep);
      return layer;
    });
  }

  // Normalised pictures (n, 32, 32, 3) -> all that a step back needs; the last one are the logits (n, 1, 1, 10).
  forward(x) {
    const seen = [tf.relu(this.stem.forward(x))];
    for (const [first, second, shortcut] of this.blocks) {
      const [from, inside] = [seen.at(-1), tf.relu(first.forward(seen.at(-1)))];
      seen.push(inside, tf.relu(tf.add(second.forward(inside), shortcut.forward(from))));
    }
    return [...seen, this.last.forward(tf.mean(seen.at(-1), [1, 2], true))];
  }

  // The gradient of a logit with respect to the normalised pictures.
  gradient(x, label) {
    const seen = this.forward(x).slice(0, -1);
    const open = (slope) => tf.mul(slope, tf.step(seen.pop())); // back through the last relu that is left
    const [, height, width] = seen.at(-1).shape;
    const chosen = tf.reshape(tf.oneHot(tf.tensor1d([label], "int32"), 10), [1, 1, 1, 10]);
    const shared = tf.div(this.last.backward(tf.cast(chosen, "float32")), height * width);
    let slope = tf.mul(shared, tf.onesLike(seen.at(-1)));
    for (const [first, second, shortcut] of [...this.blocks].reverse()) {
      const out = open(slope);
      slope = tf.add(first.backward(open(second.backward(out))), shortcut.backward(out));
    }
    return this.stem.backward(open(slope));
  }

  logits(pixels) {
    return tf.tidy(() => {
      const x = tf.div(tf.sub(tf.tensor(pixels, [1, 32, 32, 3]), this.mean), this.std);
      return [...this.forward(x).at(-1).dataSync()];
    });
  }

  // Integrated Gradients at some points of the line from ``start`` to ``x`` (both normalised): the sum of weight x gradient.
  gradients(x, start, label, nodes, weights) {
    return tf.tidy(() => {
      const [to, from] = [tf.tensor(x, [1, 32, 32, 3]), tf.tensor(start, [1, 32, 32, 3])];
      const each = (values) => tf.tensor(values, [values.length, 1, 1, 1]);
      const points = tf.add(from, tf.mul(each(nodes), tf.sub(to, from)));
      return tf.sum(tf.mul(this.gradient(points, label), each(weights)), 0).dataSync();
    });
  }
};
