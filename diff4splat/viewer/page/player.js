// State, controls and the loop.

const MAX_PIXELS = 3e6;
const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 4];

const element = (id) => document.getElementById(id);

class Player {
  constructor(scene, renderer) {
    Object.assign(this, { scene, renderer, canvas: renderer.canvas });
    this.hand = new HandCamera(scene.cameras, scene.depth.focus);
    this.canFollow = scene.cameras.frames.length > 1;
    this.time = 0;
    this.speed = 1;
    this.looping = true;
    this.following = true;
    this.showDepth = false;
    this.exact = false; // canvas pixels are camera pixels, for `setCamera`
    this.quality = 1;
    this.adapts = true;
    this.camera = pathCamera(scene.cameras, 0);
    this.playing = !matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.held = new Set();
    this.changed = true;
    this.connect();
    this.showState();
  }

  // What can be done. Everything below ends in `changed`, and the loop draws.

  setTime(time) {
    this.time = Math.min(1, Math.max(0, Number(time)));
    if (this.following) this.camera = pathCamera(this.scene.cameras, this.time);
    this.changed = true;
  }

  setPlaying(playing) {
    this.playing = playing;
    if (playing && this.time >= 1) this.setTime(0);
    this.showState();
  }

  setFollowing(following) {
    this.following = following;
    this.exact = false;
    if (following) {
      this.hand.focus = this.hand.startFocus;
      this.setTime(this.time);
    }
    this.changed = true;
    this.showState();
  }

  /** Moves the camera by hand, from wherever it is. */
  take(move) {
    if (this.following || this.exact) this.setFollowing(false);
    this.camera = move(this.camera);
    this.changed = true;
  }

  setShowDepth(showDepth) {
    this.showDepth = showDepth;
    this.changed = true;
    this.showState();
  }

  setSpeed(speed) {
    this.speed = speed;
    this.showState();
  }

  stepSpeed(steps, wrap = false) {
    const place = SPEEDS.indexOf(this.speed) + steps;
    this.setSpeed(SPEEDS[wrap ? place % SPEEDS.length : Math.min(Math.max(place, 0), SPEEDS.length - 1)]);
  }

  stepTime(steps) {
    this.setPlaying(false);
    const frames = Math.max(this.scene.cameras.frames.length, this.scene.times.length, 2);
    this.setTime(this.time + steps / (frames - 1));
  }

  toggleFullscreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else document.documentElement.requestFullscreen().catch(() => {});
  }

  toggleHelp() {
    const sheet = element("sheet");
    if (sheet.open) sheet.close();
    else sheet.showModal();
  }

  // What is seen.

  draw() {
    this.changed = false;
    const { camera, canvas, exact } = this;
    const stage = element("stage").getBoundingClientRect();
    const scale = Math.min(stage.width / camera.width, stage.height / camera.height);
    const [cssWidth, cssHeight] = [camera.width * scale, camera.height * scale].map((side) => Math.max(1, side));
    canvas.style.width = `${cssWidth}px`;
    canvas.style.height = `${cssHeight}px`;
    const density = Math.min(
      Math.min(devicePixelRatio || 1, 2) * this.quality, Math.sqrt(MAX_PIXELS / (cssWidth * cssHeight)));
    const [width, height] = exact
      ? [camera.width, camera.height]
      : [cssWidth, cssHeight].map((side) => Math.max(1, Math.round(side * density)));
    this.renderer.draw(camera, this.time, { width, height, showDepth: this.showDepth });
    const { seconds } = this.scene;
    element("clock").textContent = `${(this.time * seconds).toFixed(2)} s`;
    element("time").value = this.time;
    element("time").style.setProperty("--done", `${100 * this.time}%`);
  }

  showState() {
    const press = (id, pressed) => element(id).setAttribute("aria-pressed", String(pressed));
    press("play", this.playing);
    press("loop", this.looping);
    press("follow", this.following && this.canFollow);
    press("depth", this.showDepth);
    element("speed").textContent = `${this.speed}×`;
    element("follow").disabled = !this.canFollow;
    element("fullscreen").hidden = !document.fullscreenEnabled;
    const view = this.following ? (this.canFollow ? "Camera path" : "First view") : "Free view";
    element("view").textContent = this.showDepth ? `${view} · depth` : view;
  }

  showAbout() {
    const { count, moving, times, degree, about } = this.scene;
    const rows = [
      ["Gaussians", `${count.toLocaleString("en")}, of which ${moving.toLocaleString("en")} move`],
      ["Stored times", String(times.length)],
      ["Colour", degree ? `depends on the view (degree ${degree})` : "the same from everywhere"],
      ...Object.entries(about),
    ];
    for (const [name, value] of rows) {
      const row = document.createElement("div");
      row.append(document.createElement("dt"), document.createElement("dd"));
      row.children[0].textContent = name; // text, never markup
      row.children[1].textContent = value;
      element("about").append(row);
    }
  }

  // The loop.

  run() {
    let last = performance.now();
    const tick = (now) => {
      const elapsed = Math.min(Math.max(now - last, 0) / 1000, 0.25);
      last = now;
      this.fly(elapsed);
      if (this.playing) this.advance(elapsed);
      if (this.changed) {
        this.draw();
        this.adapt(elapsed);
      }
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  advance(elapsed) {
    let time = this.time + (elapsed * this.speed) / this.scene.seconds;
    if (time >= 1 && this.looping) time %= 1;
    if (time >= 1) this.setPlaying(false);
    this.setTime(time);
  }

  fly(elapsed) {
    const along = (plus, minus) => this.held.has(plus) - this.held.has(minus);
    const [right, down, forward] = [along("KeyD", "KeyA"), along("KeyQ", "KeyE"), along("KeyW", "KeyS")];
    if (!right && !down && !forward) return;
    const step = elapsed * this.hand.startFocus * (this.fast ? 1.8 : 0.6);
    this.take((camera) => this.hand.move(camera, right * step, down * step, forward * step));
  }

  /** Draws fewer pixels on a device that cannot keep up. */
  adapt(elapsed) {
    if (!this.adapts) return;
    this.pace = 0.9 * (this.pace ?? 1 / 60) + 0.1 * elapsed;
    if (this.pace > 1 / 20 && this.quality > 0.5) {
      this.quality *= 0.8;
      this.pace = 1 / 60;
    }
  }

  // The controls.

  connect() {
    const click = (id, action) =>
      element(id).addEventListener("click", (event) => {
        action();
        if (event.detail) event.currentTarget.blur(); // by pointer: the next space plays or pauses
      });
    click("play", () => this.setPlaying(!this.playing));
    click("speed", () => this.stepSpeed(1, true));
    click("loop", () => this.toggleLoop());
    click("follow", () => this.setFollowing(!this.following));
    click("depth", () => this.setShowDepth(!this.showDepth));
    click("reset", () => this.setFollowing(true));
    click("fullscreen", () => this.toggleFullscreen());
    click("help", () => this.toggleHelp());
    element("time").addEventListener("input", (event) => {
      this.setPlaying(false);
      this.setTime(event.target.value);
    });
    element("sheet").addEventListener("click", (event) => {
      if (event.target === element("sheet")) element("sheet").close(); // beside the sheet
    });
    addEventListener("keydown", (event) => this.onKey(event));
    addEventListener("keyup", (event) => {
      this.held.delete(event.code);
      this.fast = event.shiftKey;
    });
    addEventListener("blur", () => this.held.clear());
    new ResizeObserver(() => (this.changed = true)).observe(element("stage"));
    document.addEventListener("fullscreenchange", () => (this.changed = true));
    this.connectPointers();
    this.connectContext();
  }

  toggleLoop() {
    this.looping = !this.looping;
    this.showState();
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase();
    if (element("sheet").open) {
      if (key === "h" || key === "?") this.toggleHelp();
      return;
    }
    this.fast = event.shiftKey;
    if (["KeyW", "KeyA", "KeyS", "KeyD", "KeyQ", "KeyE"].includes(event.code)) {
      this.held.add(event.code);
      return;
    }
    if (key === " " && event.target instanceof HTMLButtonElement) return; // the button's own key
    const actions = {
      " ": () => this.setPlaying(!this.playing),
      arrowleft: () => this.stepTime(-1),
      arrowright: () => this.stepTime(1),
      "[": () => this.stepSpeed(-1),
      "]": () => this.stepSpeed(1),
      l: () => this.toggleLoop(),
      p: () => this.canFollow && this.setFollowing(!this.following),
      v: () => this.setShowDepth(!this.showDepth),
      r: () => this.setFollowing(true),
      f: () => this.toggleFullscreen(),
      h: () => this.toggleHelp(),
      "?": () => this.toggleHelp(),
    };
    if (!actions[key]) return;
    event.preventDefault();
    actions[key]();
  }

  /** Mouse, pen and touch: one pointer orbits, shift or another button pans, two fingers pan and pinch. */
  connectPointers() {
    const { canvas, hand } = this;
    const pointers = new Map();
    const pan = (dx, dy) => {
      const unit = (hand.focus / this.camera.fx) * (this.camera.width / canvas.clientWidth);
      this.take((camera) => hand.move(camera, -dx * unit, -dy * unit, 0));
    };
    const summary = () => {
      const [a, b] = [...pointers.values()];
      return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, spread: Math.hypot(a.x - b.x, a.y - b.y) };
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      canvas.classList.add("dragging");
    });
    canvas.addEventListener("pointermove", (event) => {
      const pointer = pointers.get(event.pointerId);
      if (!pointer) return;
      const [dx, dy] = [event.clientX - pointer.x, event.clientY - pointer.y];
      const before = pointers.size === 2 && summary();
      Object.assign(pointer, { x: event.clientX, y: event.clientY });
      if (before) {
        const after = summary();
        pan(after.x - before.x, after.y - before.y);
        if (after.spread > 0) this.take((camera) => hand.dolly(camera, before.spread / after.spread));
      } else if (pointers.size === 1 && (event.shiftKey || event.buttons & 6)) {
        pan(dx, dy);
      } else if (pointers.size === 1) {
        const pace = Math.PI / Math.max(canvas.clientWidth, canvas.clientHeight);
        this.take((camera) => hand.orbit(camera, -dx * pace, -dy * pace));
      }
    });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(name, (event) => {
        pointers.delete(event.pointerId);
        if (!pointers.size) canvas.classList.remove("dragging");
      });
    }
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 18 : 1;
        const amount = Math.min(Math.max(event.deltaY * lines, -150), 150) * (event.ctrlKey ? 5 : 1);
        this.take((camera) => hand.dolly(camera, Math.exp(amount * 0.0012)));
      },
      { passive: false },
    );
  }

  /** A driver may take the graphics card away and give it back. */
  connectContext() {
    this.canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault();
      say("The graphics card was taken away; waiting for it to come back…");
    });
    this.canvas.addEventListener("webglcontextrestored", () => {
      this.renderer = new Renderer(this.canvas, this.scene);
      this.changed = true;
      say("");
    });
  }
}

function say(text, problem = false) {
  element("message").textContent = text;
  element("message").classList.toggle("problem", problem);
}

async function start() {
  const scene = await loadScene();
  const player = new Player(scene, new Renderer(element("canvas"), scene));
  player.showAbout();
  player.draw();
  say("");
  player.run();
  return player;
}

const ready = start();
ready.catch((error) => {
  say(error instanceof Problem ? error.message : `The player could not start: ${error.message}`, true);
  element("canvas").hidden = true;
  document.querySelectorAll("#bar button, #bar input").forEach((control) => (control.disabled = true));
});

/** For embedding pages and tests. Each call pauses and draws before it returns. */
window.diff4splat = {
  /** Resolves once the first picture is drawn; rejects, after telling the viewer why, if that is not possible. */
  ready: ready.then(() => undefined),
  /** Time in [0, 1]. */
  async setTime(time) {
    const player = await ready;
    player.setPlaying(false);
    player.setTime(time);
    player.draw();
  },
  /** Camera-to-world transform, 4 x 4 row-major (flat or nested), and intrinsics in pixels. */
  async setCamera(cameraToWorld, fx, fy, cx, cy, width, height) {
    const player = await ready;
    const m = Array.from(cameraToWorld).flat();
    player.setPlaying(false);
    player.setFollowing(false);
    player.exact = true;
    const rotation = [m[0], m[1], m[2], m[4], m[5], m[6], m[8], m[9], m[10]];
    player.camera = { position: [m[3], m[7], m[11]], rotation, fx, fy, cx, cy, width, height };
    player.draw();
  },
  /** "color" or "depth". */
  async setView(view) {
    const player = await ready;
    player.setShowDepth(view === "depth");
    player.draw();
  },
  /** Canvas pixels per screen pixel, in (0, 1]; without a number, as many as the device keeps up with. */
  async setQuality(quality) {
    const player = await ready;
    player.adapts = quality === undefined;
    player.quality = quality ?? 1;
    player.draw();
  },
  async play() {
    (await ready).setPlaying(true);
  },
  async pause() {
    (await ready).setPlaying(false);
  },
};
window.diff4splat.ready.catch(() => {});
