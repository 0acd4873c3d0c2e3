// Which Gaussians are drawn, and in which order.

/** Orders the Gaussians in front of a camera from far to near, exactly, by two counting passes. */
class Sorter {
  constructor(scene) {
    this.scene = scene;
    this.depths = new Float32Array(scene.count);
    this.bits = new Uint32Array(this.depths.buffer); // of positive floats, bits have the order of the values
    this.first = new Uint32Array(scene.count);
    this.order = new Uint32Array(scene.count);
    this.coarse = new Uint32Array(1 << 14);
    this.fine = new Uint32Array(1 << 14);
  }

  /** Fills `order` and returns how many of its entries count. */
  sort(camera, frame) {
    const { bits, first, order, coarse, fine } = this;
    const visible = this.measure(camera, frame);
    let [low, high] = [0xffffffff, 0];
    for (let i = 0; i < visible; i++) {
      const value = bits[order[i]];
      if (value < low) low = value;
      if (value > high) high = value;
    }
    // 28 bits hold 32 doublings of depth; beyond that, the least significant bits go.
    let shift = 0;
    while ((high - low) >>> shift >= 1 << 28) shift++;
    coarse.fill(0);
    fine.fill(0);
    for (let i = 0; i < visible; i++) {
      const key = (high - bits[order[i]]) >>> shift;
      fine[key & 0x3fff]++;
      coarse[key >>> 14]++;
    }
    toStarts(fine);
    toStarts(coarse);
    for (let i = 0; i < visible; i++) first[fine[((high - bits[order[i]]) >>> shift) & 0x3fff]++] = order[i];
    for (let i = 0; i < visible; i++) order[coarse[(high - bits[first[i]]) >>> shift >>> 14]++] = first[i];
    return visible;
  }

  /** Depths of the deformed means; lists those in front of the near plane in `order`. */
  measure(camera, { lower, upper, fraction }) {
    const { scene, depths, order } = this;
    const { near } = scene;
    const { base, motion, moving, motionLayer, displacementSteps, count } = scene;
    const [x, y, z] = axisOf(camera.rotation, 2);
    const behind = dot([x, y, z], camera.position);
    const [from, to] = [lower * motionLayer, upper * motionLayer];
    let visible = 0;
    // From the last to the first, so that of two at the same depth the first is drawn last, in front.
    for (let i = count - 1; i >= 0; i--) {
      const at = 12 * i;
      let depth = x * base[at] + y * base[at + 1] + z * base[at + 2] - behind;
      if (i < moving) {
        const [p, q] = [from + at, to + at];
        const before = x * motion[p] + y * motion[p + 1] + z * motion[p + 2];
        const after = x * motion[q] + y * motion[q + 1] + z * motion[q + 2];
        depth += displacementSteps[i] * (before + fraction * (after - before));
      }
      depths[i] = depth;
      if (depth > near) order[visible++] = i;
    }
    return visible;
  }
}

/** Counts become the places at which each bucket starts. */
function toStarts(counts) {
  let sum = 0;
  for (let i = 0; i < counts.length; i++) {
    const count = counts[i];
    counts[i] = sum;
    sum += count;
  }
}
