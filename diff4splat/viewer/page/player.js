// State, what is seen of it, and the loop.

const MAX_PIXELS = 3e6;
const PAUSE = 300; // milliseconds without change before a picture that was made with fewer pixels is made again
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
    this.velocity = [0, 0, 0]; // right, down, forward: flying by keys
    this.changed = true;
    this.showTime();
    this.showState();
  }

  // What can be done. Everything below ends in `changed`, and the loop draws.

  setTime(time) {
    this.time = Math.min(1, Math.max(0, Number(time)));
    if (this.following) this.camera = pathCamera(this.scene.cameras, this.time);
    this.changed = true;
    this.showTime();
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

  toggleLoop() {
    this.looping = !this.looping;
    this.showState();
  }

  nextBackground() {
    const { scene } = this;
    scene.backgrounds ??= [scene.background, [1, 1, 1], [0.5, 0.5, 0.5], [0, 0, 0]];
    scene.background = scene.backgrounds[(scene.backgrounds.indexOf(scene.background) + 1) % 4];
    this.changed = true;
  }

  toggleFullscreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else document.documentElement.requestFullscreen().catch(() => {});
  }

  // What is seen.

  draw(quality = this.quality) {
    this.changed = false;
    this.isSharp = quality === 1;
    this.screenDensity = devicePixelRatio;
    const { camera, canvas, exact } = this;
    const stage = element("stage").getBoundingClientRect();
    const scale = Math.min(stage.width / camera.width, stage.height / camera.height);
    const [cssWidth, cssHeight] = [camera.width * scale, camera.height * scale].map((side) => Math.max(1, side));
    canvas.style.width = `${cssWidth}px`;
    canvas.style.height = `${cssHeight}px`;
    const density = Math.min(
      Math.min(devicePixelRatio || 1, 2) * quality, Math.sqrt(MAX_PIXELS / (cssWidth * cssHeight)));
    const [width, height] = exact
      ? [camera.width, camera.height]
      : [cssWidth, cssHeight].map((side) => Math.max(1, Math.round(side * density)));
    this.renderer.draw(camera, this.time, { width, height, showDepth: this.showDepth });
  }

  showTime() {
    const { time, scene } = this;
    const slider = element("time");
    slider.value = time;
    slider.style.setProperty("--done", `${100 * time}%`);
    slider.ariaValueText = element("clock").textContent = `${(time * scene.seconds).toFixed(2)} s`;
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
      if (this.screenDensity !== devicePixelRatio) this.changed = true; // zoomed, or moved to another screen
      const seconds = this.renderer.secondsTaken(); // nothing while the last picture is still being drawn
      if (seconds && this.adapts) this.adapt(seconds);
      if (seconds !== undefined) this.drawNext(now);
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  /** What changed; once nothing has for a while, the same in full. */
  drawNext(now) {
    if (this.changed) {
      this.draw();
      this.drawnAt = now;
    } else if (this.adapts && this.quality < 1 && !this.isSharp && now - this.drawnAt > PAUSE) {
      this.draw(1);
    }
  }

  advance(elapsed) {
    let time = this.time + (elapsed * this.speed) / this.scene.seconds;
    if (time >= 1 && this.looping) time %= 1;
    if (time >= 1) this.setPlaying(false);
    this.setTime(time);
  }

  fly(elapsed) {
    if (!this.velocity.some(Boolean)) return;
    const steps = this.velocity.map((share) => share * elapsed * this.hand.startFocus);
    this.take((camera) => this.hand.move(camera, ...steps));
  }

  /** Draws fewer pixels on a device that cannot keep up. */
  adapt(seconds) {
    if (this.isSharp && this.quality < 1) return; // that one may take its time
    this.pace = 0.7 * (this.pace ?? 1 / 60) + 0.3 * seconds;
    if (this.pace > 1 / 15 && this.quality > 0.35) {
      this.quality = Math.max(0.35, this.quality * Math.max(0.6, Math.sqrt(1 / 15 / this.pace)));
      this.pace = 1 / 60;
    }
  }
}
