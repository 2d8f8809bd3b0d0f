// The page "Fool it yourself": a picture of the reader's own, as 32 x 32 x 3 numbers in [0, 1]. It never leaves the browser.
globalThis.foolIt ??= {};
{
  const [MEGABYTES, MEGAPIXELS] = [20, 60];

  // GIF, PNG and WebP say in their first bytes whether they move.
  async function isAnimated(file) {
    const bytes = new Uint8Array(await file.slice(0, 2 ** 18).arrayBuffer());
    const text = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
    if (text.startsWith("GIF8")) return text.includes("NETSCAPE2.0") || text.split("!\xf9\x04").length > 2;
    return text.includes("acTL") || (text.startsWith("RIFF") && text.includes("ANIM"));
  }

  async function opened(file) {
    const image = new Image();
    image.src = URL.createObjectURL(file);
    try {
      await new Promise((resolve, reject) => Object.assign(image, { onload: resolve, onerror: reject }));
      if (!image.naturalWidth) throw new Error("an image without a size");
    } catch {
      throw new Error(`${file.name} is no image that this browser can read.`);
    }
    return image;
  }

  // The middle square of the (first) image, and a sentence about what was left out. Throws an ``Error`` with one sentence.
  foolIt.upload = async (file) => {
    const size = Math.round(file.size / 2 ** 20);
    if (size > MEGABYTES) throw new Error(`${file.name} has ${size} MB; at most ${MEGABYTES} MB can be used.`);
    const image = await opened(file);
    try {
      const { naturalWidth: width, naturalHeight: height } = image;
      if (width * height > MEGAPIXELS * 1e6) {
        throw new Error(`${file.name} has ${width} x ${height} pixels; at most ${MEGAPIXELS} million can be used.`);
      }
      const canvas = new OffscreenCanvas(foolIt.SIDE, foolIt.SIDE);
      const context = canvas.getContext("2d", { willReadFrequently: true });
      Object.assign(context, { imageSmoothingQuality: "high", fillStyle: "#fff" });
      context.fillRect(0, 0, foolIt.SIDE, foolIt.SIDE);
      const side = Math.min(width, height);
      context.drawImage(image, (width - side) / 2, (height - side) / 2, side, side, 0, 0, foolIt.SIDE, foolIt.SIDE);
      const { data } = context.getImageData(0, 0, foolIt.SIDE, foolIt.SIDE);
      const pixels = Float32Array.from(
        data.filter((_, i) => i % 4 < 3),
        (value) => value / 255,
      );
      const used = (await isAnimated(file)) ? "the first frame" : "the middle";
      return { pixels, note: `${file.name}: ${used} is used, as 32 x 32 pixels. The picture stays in your browser.` };
    } finally {
      URL.revokeObjectURL(image.src);
    }
  };
}
