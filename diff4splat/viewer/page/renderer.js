// Shaders, textures, one draw call and a resolve pass.

const SPLAT_VERTEX = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
precision highp isampler2DArray;

layout(location = 0) in uint index;
uniform sampler2D base;         // three texels a Gaussian: mean and opacity, quaternion, log-scales and -step
uniform sampler2D harmonics;    // one texel a coefficient
uniform isampler2DArray motion; // a layer per time; three texels: displacement, rotation vector, stretch
uniform int moving, coefficients;
uniform ivec2 layers;
uniform float fraction;
uniform vec2 motionSteps;       // of rotation vectors and of stretch; that of displacement is each Gaussian's
uniform bool logScale, showDepth;
uniform mat3 worldToCamera;
uniform vec3 eye;
uniform vec4 lens;              // fx, fy, cx, cy in pixels of this picture
uniform vec2 size;
uniform float near;             // z-depth below which nothing is drawn
uniform vec2 depthLimits;       // inverse depth of the far and near ends of the scale

out vec2 offset;                // from the centre, in standard deviations
flat out vec4 paint;            // colour (or place on the depth scale) and opacity

const float DILATION = 0.3;     // variance added for the pixel, squared pixels
const float MIN_ALPHA = 1.0 / 255.0;

ivec2 place(int texel) { return ivec2(texel % ${TEXTURE_WIDTH}, texel / ${TEXTURE_WIDTH}); }

vec3 before(int texel) { return vec3(texelFetch(motion, ivec3(place(texel), layers.x), 0).xyz); }
vec3 after(int texel) { return vec3(texelFetch(motion, ivec3(place(texel), layers.y), 0).xyz); }
vec3 change(int texel) { return mix(before(texel), after(texel), fraction); }

vec4 quaternionOf(vec3 vector) {
  float angle = length(vector);
  return vec4(cos(0.5 * angle), (angle > 1e-6 ? sin(0.5 * angle) / angle : 0.5) * vector);
}

vec4 slerp(vec4 p, vec4 q, float t) { // the short way round, at constant speed
  float cosine = dot(p, q);
  q = cosine < 0.0 ? -q : q;
  float angle = acos(min(abs(cosine), 1.0));
  if (angle < 1e-3) return mix(p, q, t);
  return (sin((1.0 - t) * angle) * p + sin(t * angle) * q) / sin(angle);
}

vec4 product(vec4 p, vec4 q) { // Hamilton product, wxyz
  return vec4(p.x * q.x - dot(p.yzw, q.yzw), p.x * q.yzw + q.x * p.yzw + cross(p.yzw, q.yzw));
}

mat3 rotation(vec4 q) {
  float w = q.x, x = q.y, y = q.z, z = q.w;
  return mat3(
    1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + w * z), 2.0 * (x * z - w * y),
    2.0 * (x * y - w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z + w * x),
    2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y));
}

vec3 color(int gaussian, vec3 d) {
  int at = gaussian * coefficients;
  #define K(i) texelFetch(harmonics, place(at + i), 0).rgb
  vec3 c = 0.5 + 0.28209479177387814 * K(0);
  if (coefficients > 1) {
    c += 0.4886025119029199 * (d.z * K(2) - d.y * K(1) - d.x * K(3));
  }
  vec3 s = d * d;
  if (coefficients > 4) {
    c += 1.0925484305920792 * (d.x * d.y * K(4) - d.y * d.z * K(5) - d.x * d.z * K(7));
    c += 0.31539156525252005 * (3.0 * s.z - 1.0) * K(6) + 0.5462742152960396 * (s.x - s.y) * K(8);
  }
  if (coefficients > 9) {
    c -= 0.5900435899266435 * (d.y * (3.0 * s.x - s.y) * K(9) + d.x * (s.x - 3.0 * s.y) * K(15));
    c -= 0.4570457994644658 * (5.0 * s.z - 1.0) * (d.y * K(11) + d.x * K(13));
    c += 2.890611442640554 * d.x * d.y * d.z * K(10) + 0.3731763325901154 * d.z * (5.0 * s.z - 3.0) * K(12);
    c += 1.445305721320277 * d.z * (s.x - s.y) * K(14);
  }
  return max(c, 0.0);
}

void main() {
  int gaussian = int(index);
  vec4 point = texelFetch(base, place(3 * gaussian), 0);
  vec4 quaternion = texelFetch(base, place(3 * gaussian + 1), 0);
  vec4 third = texelFetch(base, place(3 * gaussian + 2), 0);
  vec3 scale = exp(third.xyz);
  vec3 mean = point.xyz;
  float opacity = point.w;
  if (gaussian < moving) {
    int texel = 3 * gaussian;
    mean += exp(third.w) * change(texel);
    vec4 start = quaternionOf(motionSteps.x * before(texel + 1));
    quaternion = product(quaternion, slerp(start, quaternionOf(motionSteps.x * after(texel + 1)), fraction));
    vec3 first = exp(motionSteps.y * before(texel + 2)), last = exp(motionSteps.y * after(texel + 2));
    scale *= logScale ? exp(motionSteps.y * change(texel + 2)) : mix(first, last, fraction);
  }

  // Elliptical weighted average: the projection, linearised at the mean, of the covariance.
  gl_Position = vec4(0.0, 0.0, 2.0, 1.0); // outside, until shown otherwise
  vec3 center = worldToCamera * (mean - eye);
  if (center.z < near || opacity < MIN_ALPHA) return;
  vec2 margin = 0.15 * size / lens.xy; // how far outside the image the linearisation may be taken
  vec2 slope = clamp(center.xy / center.z, -lens.zw / lens.xy - margin, (size - lens.zw) / lens.xy + margin);
  mat3 axes = worldToCamera * rotation(normalize(quaternion));
  axes = mat3(axes[0] * scale.x, axes[1] * scale.y, axes[2] * scale.z);
  vec3 u = lens.x / center.z * (vec3(1.0, 0.0, -slope.x) * axes);
  vec3 v = lens.y / center.z * (vec3(0.0, 1.0, -slope.y) * axes);
  vec3 covariance = vec3(dot(u, u) + DILATION, dot(u, v), dot(v, v) + DILATION);

  // A rectangle along the ellipse's axes, as large as the threshold of visibility.
  float middle = 0.5 * (covariance.x + covariance.z);
  float spread = length(vec2(0.5 * (covariance.x - covariance.z), covariance.y));
  float angle = 0.5 * atan(2.0 * covariance.y, covariance.x - covariance.z);
  vec2 along = vec2(cos(angle), sin(angle));
  float reach = sqrt(max(2.0 * log(opacity / MIN_ALPHA), 0.0)) + 1e-3;
  offset = reach * (2.0 * vec2(gl_VertexID & 1, gl_VertexID >> 1) - 1.0);
  vec2 deviation = sqrt(vec2(middle + spread, max(middle - spread, DILATION)));
  vec2 pixel = lens.xy * center.xy / center.z + lens.zw;
  pixel += offset.x * deviation.x * along + offset.y * deviation.y * vec2(-along.y, along.x);
  gl_Position = vec4(vec2(2.0, -2.0) * pixel / size + vec2(-1.0, 1.0), 0.0, 1.0);

  float nearness = (1.0 / center.z - depthLimits.x) / (depthLimits.y - depthLimits.x);
  paint = vec4(showDepth ? vec3(clamp(nearness, 0.0, 1.0)) : color(gaussian, normalize(mean - eye)), opacity);
}`;

const SPLAT_FRAGMENT = `#version 300 es
precision highp float;
in vec2 offset;
flat in vec4 paint;
out vec4 result;
void main() {
  float alpha = min(0.999, paint.a * exp(-0.5 * dot(offset, offset)));
  if (alpha < 1.0 / 255.0) discard;
  result = vec4(paint.rgb * alpha, alpha);
}`;

const RESOLVE_VERTEX = `#version 300 es
void main() { gl_Position = vec4(4.0 * float(gl_VertexID & 1) - 1.0, 4.0 * float(gl_VertexID >> 1) - 1.0, 0, 1); }`;

const RESOLVE_FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D picture;
uniform sampler2D depthColors;
uniform vec3 background;
uniform bool showDepth;
out vec4 result;
void main() {
  vec4 sum = texelFetch(picture, ivec2(gl_FragCoord.xy), 0);
  vec3 color = sum.rgb + (1.0 - sum.a) * background;
  if (showDepth) {
    float place = sum.r / max(sum.a, 1e-4);
    color = texture(depthColors, vec2((255.0 * place + 0.5) / 256.0, 0.5)).rgb * sum.a;
  }
  result = vec4(color, 1.0);
}`;

/** Owns everything on the graphics card. */
class Renderer {
  constructor(canvas, scene) {
    const gl = canvas.getContext("webgl2", {
      alpha: false, antialias: false, depth: false, preserveDrawingBuffer: true, powerPreference: "high-performance",
    });
    if (!gl) throw new Problem("This browser or its graphics driver offers no WebGL 2, which the player needs.");
    Object.assign(this, { gl, canvas, scene, sorter: new Sorter(scene) });
    // Half floats blend thousands of faint layers without rounding; 8 bits are what is left without them.
    const half = gl.getExtension("EXT_color_buffer_float") || gl.getExtension("EXT_color_buffer_half_float");
    this.format = half ? gl.RGBA16F : gl.RGBA8;
    this.splats = this.program(SPLAT_VERTEX, SPLAT_FRAGMENT);
    this.resolve = this.program(RESOLVE_VERTEX, RESOLVE_FRAGMENT);
    this.upload();
    this.indices = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, this.indices);
    gl.bufferData(gl.ARRAY_BUFFER, 4 * scene.count, gl.DYNAMIC_DRAW);
    this.vertices = gl.createVertexArray();
    gl.bindVertexArray(this.vertices);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribIPointer(0, 1, gl.UNSIGNED_INT, 0, 0);
    gl.vertexAttribDivisor(0, 1);
    this.nothing = gl.createVertexArray();
  }

  program(...sources) {
    const { gl } = this;
    const program = gl.createProgram();
    sources.forEach((source, i) => {
      const shader = gl.createShader(i ? gl.FRAGMENT_SHADER : gl.VERTEX_SHADER);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS) && !gl.isContextLost()) {
        throw new Problem(`The graphics driver refused a shader: ${gl.getShaderInfoLog(shader)}`);
      }
    });
    gl.linkProgram(program);
    const uniforms = {};
    const number = gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS) ?? 0;
    for (let i = 0; i < number; i++) {
      const { name } = gl.getActiveUniform(program, i);
      uniforms[name] = gl.getUniformLocation(program, name);
    }
    return { program, uniforms };
  }

  /** Fixed texture units: 0 base, 1 harmonics, 2 motion, 3 depth colours, 4 the picture. */
  upload() {
    const { gl, scene } = this;
    const largest = gl.getParameter(gl.MAX_TEXTURE_SIZE);
    const rows = Math.max(scene.base.length, scene.harmonics.length) / (4 * TEXTURE_WIDTH);
    if (rows > largest || scene.times.length > gl.getParameter(gl.MAX_ARRAY_TEXTURE_LAYERS)) {
      throw new Problem(`This device cannot hold a scene of ${scene.count} Gaussians and ${scene.times.length} times.`);
    }
    const store = (unit, target, format, ...size) => {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(target, gl.createTexture());
      gl.texParameteri(target, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
      gl.texParameteri(target, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
      if (size.length === 3) gl.texStorage3D(target, 1, format, ...size);
      else gl.texStorage2D(target, 1, format, ...size);
    };
    [scene.base, scene.harmonics].forEach((texels, unit) => {
      const height = texels.length / (4 * TEXTURE_WIDTH);
      store(unit, gl.TEXTURE_2D, gl.RGBA32F, TEXTURE_WIDTH, height);
      gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, TEXTURE_WIDTH, height, gl.RGBA, gl.FLOAT, texels);
    });
    const [height, layers] = [scene.motionLayer / (4 * TEXTURE_WIDTH), scene.times.length];
    const array = gl.TEXTURE_2D_ARRAY;
    store(2, array, gl.RGBA16I, TEXTURE_WIDTH, height, layers);
    gl.texSubImage3D(
      array, 0, 0, 0, 0, TEXTURE_WIDTH, height, layers, gl.RGBA_INTEGER, gl.SHORT, scene.motion);
    store(3, gl.TEXTURE_2D, gl.RGB8, 256, 1);
    const colors = Uint8Array.from(scene.depth.colors);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, 256, 1, gl.RGB, gl.UNSIGNED_BYTE, colors);
  }

  /** The picture that is blended into, of the size of the canvas. */
  prepareTarget(width, height) {
    const { gl, canvas } = this;
    if (this.target && canvas.width === width && canvas.height === height) return;
    Object.assign(canvas, { width, height });
    gl.deleteTexture(this.picture ?? null);
    gl.deleteFramebuffer(this.target ?? null);
    this.picture = gl.createTexture();
    gl.activeTexture(gl.TEXTURE4);
    gl.bindTexture(gl.TEXTURE_2D, this.picture);
    gl.texStorage2D(gl.TEXTURE_2D, 1, this.format, width, height);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    this.target = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.target);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, this.picture, 0);
  }

  /** One picture. Positions are stored from the scene's origin, so that scenes far from zero keep their detail. */
  draw(camera, time, { width, height, showDepth }) {
    const { gl, scene, sorter } = this;
    if (gl.isContextLost()) return;
    const frame = bracket(scene.times, time);
    camera = { ...camera, position: camera.position.map((value, i) => value - scene.origin[i]) };
    const visible = sorter.sort(camera, frame);
    this.prepareTarget(width, height);
    gl.viewport(0, 0, width, height);

    gl.bindFramebuffer(gl.FRAMEBUFFER, this.target);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.useProgram(this.splats.program);
    const at = this.splats.uniforms;
    const [sx, sy] = [width / camera.width, height / camera.height];
    gl.uniform1i(at.base, 0);
    gl.uniform1i(at.harmonics, 1);
    gl.uniform1i(at.motion, 2);
    gl.uniform1i(at.moving, scene.moving);
    gl.uniform1i(at.coefficients, scene.coefficients);
    gl.uniform2i(at.layers, frame.lower, frame.upper);
    gl.uniform1f(at.fraction, frame.fraction);
    gl.uniform2f(at.motionSteps, scene.rotationStep, scene.stretchStep);
    gl.uniform1f(at.near, scene.near);
    gl.uniform1i(at.logScale, scene.scaleSpace === "log");
    gl.uniform1i(at.showDepth, showDepth);
    gl.uniformMatrix3fv(at.worldToCamera, false, camera.rotation); // row-major read as column-major: transposed
    gl.uniform3fv(at.eye, camera.position);
    gl.uniform4f(at.lens, camera.fx * sx, camera.fy * sy, camera.cx * sx, camera.cy * sy);
    gl.uniform2f(at.size, width, height);
    gl.uniform2f(at.depthLimits, 1 / scene.depth.far, 1 / scene.depth.near);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.bindVertexArray(this.vertices);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.indices);
    gl.bufferSubData(gl.ARRAY_BUFFER, 0, sorter.order, 0, visible);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, visible);

    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.disable(gl.BLEND);
    gl.useProgram(this.resolve.program);
    gl.uniform1i(this.resolve.uniforms.picture, 4);
    gl.uniform1i(this.resolve.uniforms.depthColors, 3);
    gl.uniform3fv(this.resolve.uniforms.background, scene.background);
    gl.uniform1i(this.resolve.uniforms.showDepth, showDepth);
    gl.bindVertexArray(this.nothing);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }
}
