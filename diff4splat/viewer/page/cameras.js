// Cameras: { position, rotation, fx, fy, cx, cy, width, height }; rotation is camera-to-world, row-major.

const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const mix = (a, b, t) => a.map((value, i) => value + (b[i] - value) * t);
const axisOf = (rotation, column) => [rotation[column], rotation[3 + column], rotation[6 + column]];
const advance = (point, direction, length) => point.map((value, i) => value + direction[i] * length);

function quaternionToRotation([w, x, y, z]) {
  const s = 2 / (w * w + x * x + y * y + z * z);
  return [
    1 - s * (y * y + z * z), s * (x * y - w * z), s * (x * z + w * y),
    s * (x * y + w * z), 1 - s * (x * x + z * z), s * (y * z - w * x),
    s * (x * z - w * y), s * (y * z + w * x), 1 - s * (x * x + y * y),
  ];
}

/** Of a proper rotation: the column of 4 q q^T - 1 that is largest on the diagonal, which divides by nothing small. */
function rotationToQuaternion([a, b, c, d, e, f, g, h, i]) {
  const columns = [
    [1 + a + e + i, h - f, c - g, d - b],
    [h - f, 1 + a - e - i, b + d, c + g],
    [c - g, b + d, 1 - a + e - i, f + h],
    [d - b, c + g, f + h, 1 - a - e + i],
  ];
  const best = columns.reduce((last, column, k) => (column[k] > columns[last][k] ? k : last), 0);
  const length = Math.hypot(...columns[best]);
  return columns[best].map((value) => value / length);
}

function slerp(a, b, t) {
  let cosine = a.reduce((sum, value, i) => sum + value * b[i], 0);
  const sign = cosine < 0 ? -1 : 1;
  cosine = Math.min(1, cosine * sign);
  const angle = Math.acos(cosine);
  const [near, far] = angle < 1e-4 ? [1 - t, t] : [Math.sin((1 - t) * angle), Math.sin(t * angle)];
  return a.map((value, i) => near * value + sign * far * b[i]); // its length does not matter
}

/** Rotation by `angle` about a unit axis (Rodrigues' formula). */
function turn([x, y, z], angle) {
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  const t = 1 - c;
  return [
    t * x * x + c, t * x * y - s * z, t * x * z + s * y,
    t * x * y + s * z, t * y * y + c, t * y * z - s * x,
    t * x * z - s * y, t * y * z + s * x, t * z * z + c,
  ];
}

const apply = (m, v) => [dot(m.slice(0, 3), v), dot(m.slice(3, 6), v), dot(m.slice(6, 9), v)];

function multiply(a, b) {
  const columns = [0, 1, 2].map((column) => apply(a, axisOf(b, column)));
  return [0, 1, 2].flatMap((row) => columns.map((column) => column[row]));
}

/** The commanded camera at a time: frames are evenly spread from 0 to 1. */
function pathCamera({ frames, width, height }, time) {
  const place = time * (frames.length - 1);
  const lower = Math.min(Math.floor(place), frames.length - 1);
  const [a, b] = [frames[lower], frames[Math.min(lower + 1, frames.length - 1)]];
  const t = place - lower;
  const [fx, fy, cx, cy] = mix(a.slice(7), b.slice(7), t);
  const rotation = quaternionToRotation(slerp(a.slice(3, 7), b.slice(3, 7), t));
  return { position: mix(a.slice(0, 3), b.slice(0, 3), t), rotation, fx, fy, cx, cy, width, height };
}

/** A camera that is moved by hand around a pivot, which lies `focus` ahead of it. */
class HandCamera {
  constructor(cameras, focus) {
    this.up = axisOf(pathCamera(cameras, 0).rotation, 1).map((value) => -value);
    this.startFocus = focus;
    this.focus = focus;
  }

  orbit(camera, yaw, pitch) {
    const forward = axisOf(camera.rotation, 2);
    const pivot = advance(camera.position, forward, this.focus);
    let rotation = multiply(turn(this.up, yaw), camera.rotation);
    const tilted = multiply(turn(axisOf(rotation, 0), pitch), rotation);
    const steep = (candidate) => Math.abs(dot(axisOf(candidate, 2), this.up));
    if (steep(tilted) < 0.995 || steep(tilted) < steep(rotation)) rotation = tilted; // stay off the poles
    return { ...camera, rotation, position: advance(pivot, axisOf(rotation, 2), -this.focus) };
  }

  /** Moves along the camera's own right, down and forward axes. */
  move(camera, right, down, forward) {
    const world = apply(camera.rotation, [right, down, forward]);
    return { ...camera, position: advance(camera.position, world, 1) };
  }

  /** Comes `factor` times as near to the pivot, and pushes the pivot ahead once it is close. */
  dolly(camera, factor) {
    const step = this.focus * (1 - factor);
    this.focus = Math.max(this.focus - step, 0.05 * this.startFocus);
    return this.move(camera, 0, 0, step);
  }
}
