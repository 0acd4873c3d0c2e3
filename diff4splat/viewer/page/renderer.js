// Textures, buffers, and the passes that make a picture.

/** Owns everything on the graphics card. */
class Renderer {
  constructor(canvas, scene) {
    const gl = canvas.getContext("webgl2", {
      alpha: false, antialias: false, depth: false, preserveDrawingBuffer: true, powerPreference: "high-performance",
    });
    if (!gl) throw new Problem("This browser or its graphics driver offers no WebGL 2, which the player needs.");
    Object.assign(this, { gl, canvas, scene, sorter: new Sorter(scene), pictures: 0 });
    // Half floats blend thousands of faint layers without rounding; 8 bits are what is left without them.
    const half = gl.getExtension("EXT_color_buffer_float") || gl.getExtension("EXT_color_buffer_half_float");
    this.format = half ? gl.RGBA16F : gl.RGBA8;
    this.deform = this.program([DEFORM_VERTEX, DEFORM_FRAGMENT], ["center", "axes", "paint"]);
    this.splats = this.program([SPLAT_VERTEX, SPLAT_FRAGMENT]);
    this.resolve = this.program([RESOLVE_VERTEX, RESOLVE_FRAGMENT]);
    this.upload();
    this.allocate();
  }

  /** Buffers: the drawing order, and the ellipses that are computed from it. */
  allocate() {
    const { gl, scene } = this;
    const buffer = (bytes) => {
      const made = gl.createBuffer();
      gl.bindBuffer(gl.ARRAY_BUFFER, made);
      gl.bufferData(gl.ARRAY_BUFFER, bytes, gl.DYNAMIC_DRAW);
      return made;
    };
    this.inOrder = gl.createVertexArray();
    gl.bindVertexArray(this.inOrder);
    this.indices = buffer(4 * scene.count);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribIPointer(0, 1, gl.UNSIGNED_INT, 0, 0);

    const rows = rowsFor(3 * scene.count);
    this.projected = buffer(16 * TEXTURE_WIDTH * rows);
    this.store(5, gl.TEXTURE_2D, gl.RGBA32F, TEXTURE_WIDTH, rows);
    gl.bindBuffer(gl.ARRAY_BUFFER, null); // a buffer that is written to may not be bound elsewhere
    this.feedback = gl.createTransformFeedback();
    gl.bindTransformFeedback(gl.TRANSFORM_FEEDBACK, this.feedback);
    gl.bindBufferBase(gl.TRANSFORM_FEEDBACK_BUFFER, 0, this.projected);
    gl.bindTransformFeedback(gl.TRANSFORM_FEEDBACK, null);
    this.nothing = gl.createVertexArray();
  }

  program(sources, outputs) {
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
    if (outputs) gl.transformFeedbackVaryings(program, outputs, gl.INTERLEAVED_ATTRIBS);
    gl.linkProgram(program);
    const uniforms = {};
    const number = gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS) ?? 0;
    for (let i = 0; i < number; i++) {
      const { name } = gl.getActiveUniform(program, i);
      uniforms[name] = gl.getUniformLocation(program, name);
    }
    return { program, uniforms };
  }

  /** Fixed texture units: 0 base, 1 harmonics, 2 motion, 3 depth colours, 4 the picture, 5 ellipses. */
  upload() {
    const { gl, scene } = this;
    const largest = gl.getParameter(gl.MAX_TEXTURE_SIZE);
    const rows = Math.max(scene.base.length, scene.harmonics.length) / (4 * TEXTURE_WIDTH);
    if (rows > largest || scene.times.length > gl.getParameter(gl.MAX_ARRAY_TEXTURE_LAYERS)) {
      throw new Problem(`This device cannot hold a scene of ${scene.count} Gaussians and ${scene.times.length} times.`);
    }
    [scene.base, scene.harmonics].forEach((texels, unit) => {
      const height = texels.length / (4 * TEXTURE_WIDTH);
      this.store(unit, gl.TEXTURE_2D, gl.RGBA32F, TEXTURE_WIDTH, height);
      gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, TEXTURE_WIDTH, height, gl.RGBA, gl.FLOAT, texels);
    });
    const [height, layers] = [scene.motionLayer / (4 * TEXTURE_WIDTH), scene.times.length];
    const array = gl.TEXTURE_2D_ARRAY;
    this.store(2, array, gl.RGBA16I, TEXTURE_WIDTH, height, layers);
    gl.texSubImage3D(
      array, 0, 0, 0, 0, TEXTURE_WIDTH, height, layers, gl.RGBA_INTEGER, gl.SHORT, scene.motion);
    this.store(3, gl.TEXTURE_2D, gl.RGB8, 256, 1);
    const colors = Uint8Array.from(scene.depth.colors);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, 256, 1, gl.RGB, gl.UNSIGNED_BYTE, colors);
  }

  /** A texture, bound for good to its unit. */
  store(unit, target, format, ...size) {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(target, gl.createTexture());
    gl.texParameteri(target, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(target, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    if (size.length === 3) gl.texStorage3D(target, 1, format, ...size);
    else gl.texStorage2D(target, 1, format, ...size);
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
    const begun = performance.now();
    const visible = sorter.sort(camera, frame);
    this.sortSeconds = (performance.now() - begun) / 1000;
    this.prepareTarget(width, height);
    gl.viewport(0, 0, width, height);
    this.project(camera, frame, visible, { width, height, showDepth });

    gl.bindFramebuffer(gl.FRAMEBUFFER, this.target);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.useProgram(this.splats.program);
    gl.uniform2f(this.splats.uniforms.size, width, height);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.uniform1i(this.splats.uniforms.ellipses, 5);
    gl.bindVertexArray(this.nothing);
    gl.drawArrays(gl.TRIANGLES, 0, 6 * visible);

    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.disable(gl.BLEND);
    gl.useProgram(this.resolve.program);
    gl.uniform1i(this.resolve.uniforms.picture, 4);
    gl.uniform1i(this.resolve.uniforms.depthColors, 3);
    gl.uniform3fv(this.resolve.uniforms.background, scene.background);
    gl.uniform1i(this.resolve.uniforms.showDepth, showDepth);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    gl.deleteSync(this.fence ?? null);
    this.fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    this.begun = performance.now();
    gl.flush();
  }

  /** Seconds that the last picture took; 0 when that is known already, undefined while it is being drawn. */
  secondsTaken() {
    const { gl, fence } = this;
    if (!fence || gl.isContextLost()) return 0;
    if (gl.getSyncParameter(fence, gl.SYNC_STATUS) !== gl.SIGNALED) return undefined;
    gl.deleteSync(fence);
    this.fence = null;
    this.pictures++;
    return (performance.now() - this.begun) / 1000;
  }

  /** Fills the texture of ellipses, in drawing order. */
  project(camera, frame, visible, { width, height, showDepth }) {
    const { gl, scene, sorter } = this;
    const at = this.deform.uniforms;
    const [sx, sy] = [width / camera.width, height / camera.height];
    gl.useProgram(this.deform.program);
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
    gl.bindVertexArray(this.inOrder);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.indices);
    gl.bufferSubData(gl.ARRAY_BUFFER, 0, sorter.order, 0, visible);
    gl.enable(gl.RASTERIZER_DISCARD);
    gl.bindTransformFeedback(gl.TRANSFORM_FEEDBACK, this.feedback);
    gl.beginTransformFeedback(gl.POINTS);
    gl.drawArrays(gl.POINTS, 0, visible);
    gl.endTransformFeedback();
    gl.bindTransformFeedback(gl.TRANSFORM_FEEDBACK, null);
    gl.disable(gl.RASTERIZER_DISCARD);
    gl.bindBuffer(gl.PIXEL_UNPACK_BUFFER, this.projected);
    gl.activeTexture(gl.TEXTURE5);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, TEXTURE_WIDTH, rowsFor(3 * visible), gl.RGBA, gl.FLOAT, 0);
    gl.bindBuffer(gl.PIXEL_UNPACK_BUFFER, null);
  }
}
