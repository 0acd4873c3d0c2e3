// Buttons, keys, mouse, pen and touch.

const FLYING = { KeyD: [0, 1], KeyA: [0, -1], KeyQ: [1, 1], KeyE: [1, -1], KeyW: [2, 1], KeyS: [2, -1] };

function connectControls(player) {
  connectButtons(player);
  connectKeys(player);
  connectPointers(player);
  new ResizeObserver(() => (player.changed = true)).observe(element("stage"));
  addEventListener("hashchange", () => openLink(player));
}

function connectButtons(player) {
  const click = (id, action) =>
    element(id).addEventListener("click", (event) => {
      action();
      if (event.detail) event.currentTarget.blur(); // by pointer: the next space plays or pauses
    });
  click("play", () => player.setPlaying(!player.playing));
  click("speed", () => player.stepSpeed(1, true));
  click("loop", () => player.toggleLoop());
  click("follow", () => player.setFollowing(!player.following));
  click("depth", () => player.setShowDepth(!player.showDepth));
  click("reset", () => player.setFollowing(true));
  click("fullscreen", () => player.toggleFullscreen());
  click("help", toggleHelp);
  const fromSheet = (id, action) =>
    click(id, () => {
      element("sheet").close();
      action(player);
    });
  fromSheet("picture", savePicture);
  fromSheet("link", copyLink);
  element("time").addEventListener("input", (event) => {
    player.setPlaying(false);
    player.setTime(event.target.value);
  });
  element("sheet").addEventListener("click", (event) => {
    if (event.target === element("sheet")) element("sheet").close(); // beside the sheet
  });
}

function toggleHelp() {
  const sheet = element("sheet");
  if (sheet.open) sheet.close();
  else sheet.showModal();
}

function connectKeys(player) {
  const held = new Set();
  const fly = (fast) => {
    player.velocity = [0, 0, 0];
    for (const code of held) player.velocity[FLYING[code][0]] += FLYING[code][1] * (fast ? 1.8 : 0.6);
  };
  const actions = {
    " ": () => player.setPlaying(!player.playing),
    arrowleft: () => player.stepTime(-1),
    arrowright: () => player.stepTime(1),
    "[": () => player.stepSpeed(-1),
    "]": () => player.stepSpeed(1),
    l: () => player.toggleLoop(),
    p: () => player.canFollow && player.setFollowing(!player.following),
    v: () => player.setShowDepth(!player.showDepth),
    b: () => player.nextBackground(),
    r: () => player.setFollowing(true),
    i: () => savePicture(player),
    c: () => copyLink(player),
    f: () => player.toggleFullscreen(),
    h: toggleHelp,
    "?": toggleHelp,
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase();
    if (element("sheet").open && key !== "h" && key !== "?") return;
    if (event.code in FLYING) held.add(event.code);
    fly(event.shiftKey);
    if (event.code in FLYING || !actions[key]) return;
    if (key === " " && event.target instanceof HTMLButtonElement) return; // the button's own key
    event.preventDefault();
    actions[key]();
  });
  addEventListener("keyup", (event) => {
    held.delete(event.code);
    fly(event.shiftKey);
  });
  addEventListener("blur", () => {
    held.clear();
    fly(false);
  });
}

/** One pointer orbits, shift or another button pans, two fingers pan and pinch, a wheel comes nearer. */
function connectPointers(player) {
  const { canvas, hand } = player;
  const pointers = new Map();
  const pan = (dx, dy) => {
    const unit = (hand.focus / player.camera.fx) * (player.camera.width / canvas.clientWidth);
    player.take((camera) => hand.move(camera, -dx * unit, -dy * unit, 0));
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
      if (after.spread > 0) player.take((camera) => hand.dolly(camera, before.spread / after.spread));
    } else if (pointers.size === 1 && (event.shiftKey || event.buttons & 6)) {
      pan(dx, dy);
    } else if (pointers.size === 1) {
      const pace = Math.PI / Math.max(canvas.clientWidth, canvas.clientHeight);
      player.take((camera) => hand.orbit(camera, -dx * pace, -dy * pace));
    }
  });
  for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
    canvas.addEventListener(name, (event) => {
      pointers.delete(event.pointerId);
      if (!pointers.size) canvas.classList.remove("dragging");
    });
  }
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  const onWheel = (event) => {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 18 : 1;
    const amount = Math.min(Math.max(event.deltaY * lines, -150), 150) * (event.ctrlKey ? 5 : 1);
    player.take((camera) => hand.dolly(camera, Math.exp(amount * 0.0012)));
  };
  canvas.addEventListener("wheel", onWheel, { passive: false });
}
