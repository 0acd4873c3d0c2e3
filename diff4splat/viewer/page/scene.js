/**
 * Player of a 4D Gaussian scene: draws what the page carries, with WebGL 2 and nothing else.
 *
 * Conventions are those of diff4splat: OpenCV axes (+x right, +y down, +z forward), camera-to-world transforms,
 * intrinsics in pixels with centres at +0.5, quaternions wxyz, time from 0 to 1. The picture at a given camera and
 * time is that of diff4splat's renderer, up to the stored precision. The files are joined, in this order, into one
 * script:
 *   scene.js     from the text in the page to typed arrays
 *   cameras.js   the commanded path, and moving by hand
 *   sorter.js    which Gaussians are drawn, back to front
 *   shaders.js   deform, project, draw, resolve
 *   renderer.js  textures, buffers, passes
 *   player.js    state, what is seen of it, the loop
 *   controls.js  buttons, keys, pointers
 *   sharing.js   a view as a link and as a picture
 *   start.js     from the page to a playing scene; what other pages may call
 */
"use strict";

const TEXTURE_WIDTH = 2048; // every WebGL 2 device has it

/** A problem the viewer of the page should read about, in words. */
class Problem extends Error {}

/** Description of the scene, and its numbers as arrays in the layout of the textures. */
async function loadScene() {
  const scene = JSON.parse(document.getElementById("scene").textContent);
  const payload = document.getElementById("payload");
  let bytes;
  try {
    bytes = await inflate(decodeBase64(payload.textContent));
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Problem("The scene data in this page is damaged: was the file copied completely?");
  }
  payload.remove();
  const reader = new PlaneReader(bytes);
  const countOf = (name) => (name === "logSteps" ? scene.moving : scene.count);
  const arrays = Object.fromEntries(
    scene.arrays.map((entry) => [entry.name, reader.read(entry, countOf(entry.name))]));
  scene.coefficients = (scene.degree + 1) ** 2;
  scene.base = baseTexels(scene, arrays);
  scene.harmonics = harmonicTexels(scene, arrays.harmonics);
  scene.displacementSteps = arrays.logSteps.map(Math.exp);
  scene.motion = motionTexels(scene, reader);
  return scene;
}

function decodeBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes;
}

async function inflate(bytes) {
  let stream;
  try {
    stream = new DecompressionStream("deflate-raw");
  } catch {
    throw new Problem("This browser cannot unpack the scene. Firefox 113, Chrome 103, Safari 16.4 or newer can.");
  }
  const unpacked = new Blob([bytes]).stream().pipeThrough(stream);
  return new Uint8Array(await new Response(unpacked).arrayBuffer());
}

/** Reads numbers stored as planes: all lowest bytes of a channel, then all next bytes, and so on. */
class PlaneReader {
  constructor(bytes) {
    this.bytes = bytes;
    this.offset = 0;
  }

  /** One value per Gaussian and channel, Gaussian-major: 32-bit floats, or steps above a channel's minimum. */
  read({ channels, bits, minimum, step }, count) {
    const { bytes } = this;
    const values = new Float32Array(count * channels);
    const words = new Uint32Array(values.buffer);
    for (let channel = 0; channel < channels; channel++) {
      for (let shift = 0; shift < bits; shift += 8) {
        for (let i = 0, at = channel; i < count; i++, at += channels) words[at] |= bytes[this.offset++] << shift;
      }
      if (bits === 32) continue; // the words are the floats
      for (let i = 0, at = channel; i < count; i++, at += channels) values[at] = minimum[channel] + step * words[at];
    }
    return values;
  }

  /** 16-bit numbers, 0, -1, 1, -2, ... written as 0, 1, 2, 3, ..., on top of the line through two earlier ones. */
  addResiduals(target, [start, last, before], number) {
    const { bytes } = this;
    const high = this.offset + number;
    for (let i = 0, at = 0; i < number; i++, at += 12) {
      const word = bytes[this.offset + i] | (bytes[high + i] << 8);
      target[start + at] = ((word >>> 1) ^ -(word & 1)) + 2 * target[last + at] - target[before + at]; // wraps
    }
    this.offset += 2 * number;
  }
}

const rowsFor = (texels) => Math.max(1, Math.ceil(texels / TEXTURE_WIDTH));

/** Three texels a Gaussian: mean and opacity, quaternion, log-scales and the logarithm of a step of displacement. */
function baseTexels(scene, { means, opacities, rotations, scales, logSteps }) {
  const texels = new Float32Array(rowsFor(3 * scene.count) * TEXTURE_WIDTH * 4);
  for (let i = 0, at = 0; i < scene.count; i++, at += 12) {
    for (let k = 0; k < 3; k++) {
      texels[at + k] = means[3 * i + k];
      texels[at + 8 + k] = scales[3 * i + k];
    }
    texels[at + 3] = opacities[i];
    const [x, y, z] = [rotations[3 * i], rotations[3 * i + 1], rotations[3 * i + 2]];
    const angle = Math.hypot(x, y, z);
    const share = angle > 1e-6 ? Math.sin(angle / 2) / angle : 0.5;
    texels[at + 4] = Math.cos(angle / 2);
    texels[at + 5] = share * x;
    texels[at + 6] = share * y;
    texels[at + 7] = share * z;
    if (i < scene.moving) texels[at + 11] = logSteps[i];
  }
  return texels;
}

/** One texel a coefficient. */
function harmonicTexels(scene, harmonics) {
  const number = scene.count * scene.coefficients;
  const texels = new Float32Array(rowsFor(number) * TEXTURE_WIDTH * 4);
  for (let i = 0; i < number; i++) {
    for (let k = 0; k < 3; k++) texels[4 * i + k] = harmonics[3 * i + k];
  }
  return texels;
}

/** One layer a time, three texels a moving Gaussian: displacement, rotation vector, stretch. */
function motionTexels(scene, reader) {
  const { moving, times, prediction } = scene;
  const layer = rowsFor(3 * moving) * TEXTURE_WIDTH * 4;
  const texels = new Int16Array(layer * times.length); // the first layer stays zero
  for (const place of [0, 1, 2, 4, 5, 6, 8, 9, 10]) {
    for (let time = 1; time < times.length; time++) {
      const last = time - 1; // predicted to stay as it is, or to go on changing as it did
      const before = prediction === 2 ? Math.max(last - 1, 0) : last;
      reader.addResiduals(texels, [time, last, before].map((index) => index * layer + place), moving);
    }
  }
  scene.motionLayer = layer;
  return texels;
}

/** The two stored times around `time` and where between them it lies; held before the first and after the last. */
function bracket(times, time) {
  let upper = times.findIndex((value) => value > time);
  if (upper === -1) upper = times.length;
  if (upper === 0 || upper === times.length) {
    const held = Math.min(upper, times.length - 1);
    return { lower: held, upper: held, fraction: 0 };
  }
  const lower = upper - 1;
  return { lower, upper, fraction: (time - times[lower]) / (times[upper] - times[lower]) };
}
