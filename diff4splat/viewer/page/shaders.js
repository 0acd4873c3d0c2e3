// What the graphics card runs: deform and project each Gaussian, draw it, and turn sums into colours.

const PLACE = `ivec2 place(int texel) { return ivec2(texel % ${TEXTURE_WIDTH}, texel / ${TEXTURE_WIDTH}); }`;

/** Once per Gaussian, in drawing order: moved to the time, projected to an ellipse, coloured; kept in a buffer. */
const DEFORM_VERTEX = `#version 300 es
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

out vec4 center;                // of the ellipse, pixels; and how many standard deviations are drawn, or none
out vec4 axes;                  // standard deviations along the long axis and the short one, pixels
out vec4 paint;                 // colour (or place on the depth scale) and opacity

const float DILATION = 0.3;     // variance added for the pixel, squared pixels
const float MIN_ALPHA = 1.0 / 255.0;

${PLACE}

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
  vec4 first = texelFetch(base, place(3 * gaussian), 0);
  vec4 quaternion = texelFetch(base, place(3 * gaussian + 1), 0);
  vec4 third = texelFetch(base, place(3 * gaussian + 2), 0);
  vec3 scale = exp(third.xyz);
  vec3 mean = first.xyz;
  float opacity = first.w;
  if (gaussian < moving) {
    int texel = 3 * gaussian;
    mean += exp(third.w) * change(texel);
    vec4 start = quaternionOf(motionSteps.x * before(texel + 1));
    quaternion = product(quaternion, slerp(start, quaternionOf(motionSteps.x * after(texel + 1)), fraction));
    vec3 stretch = exp(motionSteps.y * before(texel + 2)), next = exp(motionSteps.y * after(texel + 2));
    scale *= logScale ? exp(motionSteps.y * change(texel + 2)) : mix(stretch, next, fraction);
  }

  // Elliptical weighted average: the projection, linearised at the mean, of the covariance.
  center = axes = paint = vec4(0.0);
  vec3 point = worldToCamera * (mean - eye);
  if (point.z < near || opacity < MIN_ALPHA) return;
  vec2 margin = 0.15 * size / lens.xy; // how far outside the image the linearisation may be taken
  vec2 slope = clamp(point.xy / point.z, -lens.zw / lens.xy - margin, (size - lens.zw) / lens.xy + margin);
  mat3 spread = worldToCamera * rotation(normalize(quaternion));
  spread = mat3(spread[0] * scale.x, spread[1] * scale.y, spread[2] * scale.z);
  vec3 u = lens.x / point.z * (vec3(1.0, 0.0, -slope.x) * spread);
  vec3 v = lens.y / point.z * (vec3(0.0, 1.0, -slope.y) * spread);
  vec3 covariance = vec3(dot(u, u) + DILATION, dot(u, v), dot(v, v) + DILATION);

  float middle = 0.5 * (covariance.x + covariance.z);
  float beyond = length(vec2(0.5 * (covariance.x - covariance.z), covariance.y));
  float angle = 0.5 * atan(2.0 * covariance.y, covariance.x - covariance.z);
  vec2 along = vec2(cos(angle), sin(angle));
  vec2 deviation = sqrt(vec2(middle + beyond, max(middle - beyond, DILATION)));
  axes = vec4(deviation.x * along, deviation.y * vec2(-along.y, along.x));
  float reach = sqrt(max(2.0 * log(opacity / MIN_ALPHA), 0.0)) + 1e-3; // to the threshold of visibility
  center = vec4(lens.xy * point.xy / point.z + lens.zw, reach, 0.0);

  float nearness = (1.0 / point.z - depthLimits.x) / (depthLimits.y - depthLimits.x);
  paint = vec4(showDepth ? vec3(clamp(nearness, 0.0, 1.0)) : color(gaussian, normalize(mean - eye)), opacity);
}`;

const DEFORM_FRAGMENT = `#version 300 es
void main() {}`;

/**
 * A rectangle along the axes of each ellipse, as two triangles. Not instances: drivers are slow at drawing very many
 * very small ones, those in software above all.
 */
const SPLAT_VERTEX = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
uniform sampler2D ellipses;     // three texels a Gaussian, in drawing order
uniform vec2 size;
out vec2 offset;                // from the centre, in standard deviations
flat out vec4 paint;
${PLACE}
void main() {
  int texel = 3 * (gl_VertexID / 6);
  int corner = (0x312210 >> (4 * (gl_VertexID % 6))) & 3; // 0, 1, 2 and 2, 1, 3
  vec3 center = texelFetch(ellipses, place(texel), 0).xyz;
  vec4 axes = texelFetch(ellipses, place(texel + 1), 0);
  paint = texelFetch(ellipses, place(texel + 2), 0);
  offset = center.z * (2.0 * vec2(corner & 1, corner >> 1) - 1.0);
  vec2 pixel = center.xy + offset.x * axes.xy + offset.y * axes.zw;
  gl_Position = center.z > 0.0
    ? vec4(vec2(2.0, -2.0) * pixel / size + vec2(-1.0, 1.0), 0.0, 1.0) : vec4(0.0, 0.0, 2.0, 1.0);
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
