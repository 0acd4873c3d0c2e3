// From the page to a playing scene, and what other pages may call.

function say(text, problem = false) {
  element("message").textContent = text;
  element("message").classList.toggle("problem", problem);
}

/** A word about what was just done, for a moment. */
function note(text) {
  element("note").textContent = text;
  clearTimeout(note.timer);
  note.timer = setTimeout(() => (element("note").textContent = ""), 2500);
}

/** A driver may take the graphics card away and give it back. */
function connectContext(player) {
  player.canvas.addEventListener("webglcontextlost", (event) => {
    event.preventDefault();
    say("The graphics card was taken away; waiting for it to come back…");
  });
  player.canvas.addEventListener("webglcontextrestored", () => {
    player.renderer = new Renderer(player.canvas, player.scene);
    player.changed = true;
    say("");
  });
}

async function start() {
  const scene = await loadScene();
  const player = new Player(scene, new Renderer(element("canvas"), scene));
  connectControls(player);
  connectContext(player);
  openLink(player);
  player.showAbout();
  player.draw();
  player.drawnAt = performance.now();
  say("");
  while (player.renderer.secondsTaken() === undefined) await new Promise((done) => setTimeout(done, 5));
  performance.mark("first picture");
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
  /** Resolves once all that was changed until now is drawn. */
  async drawn() {
    const { renderer } = await ready;
    const { pictures } = renderer; // the next may have been begun before, the one after it not
    const isUnderWay = (player) => player.changed || renderer.fence;
    while (isUnderWay(await ready) && renderer.pictures < pictures + 2) await new Promise(requestAnimationFrame);
  },
  /** What the last picture took: seconds of sorting. */
  async timings() {
    const { renderer } = await ready;
    return { sort: renderer.sortSeconds };
  },
  async play() {
    (await ready).setPlaying(true);
  },
  async pause() {
    (await ready).setPlaying(false);
  },
};
window.diff4splat.ready.catch(() => {});
