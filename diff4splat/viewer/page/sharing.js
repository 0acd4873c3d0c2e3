// A view as a link, and as a picture.

/**
 * Settings in the address, after the #: t (time), camera (position and quaternion wxyz, seven numbers), view=depth,
 * play=0, bars=0 (for embedding: the scene alone). What makes no sense is passed over.
 */
function openLink(player) {
  const settings = new URLSearchParams(location.hash.slice(1));
  const numbers = (name) => (settings.get(name) ?? "").split(",").map((text) => (text.trim() ? Number(text) : NaN));
  document.body.classList.toggle("bare", settings.get("bars") === "0");
  if (settings.get("view")) player.setShowDepth(settings.get("view") === "depth");
  const [time] = numbers("t");
  if (Number.isFinite(time)) player.setTime(time);
  const place = numbers("camera");
  const valid = place.length === 7 && place.every(Number.isFinite) && place.slice(3).some(Boolean);
  if (valid) {
    const rotation = quaternionToRotation(place.slice(3));
    player.take((camera) => ({ ...camera, position: place.slice(0, 3), rotation }));
  }
  if (settings.get("play") === "0" || (!settings.has("play") && (valid || Number.isFinite(time)))) {
    player.setPlaying(false);
  }
}

function linkTo(player) {
  const { camera, time, following, showDepth } = player;
  const short = (value) => String(Number(value.toPrecision(7)));
  const parts = [`t=${short(time)}`];
  if (!following) {
    parts.push(`camera=${[...camera.position, ...rotationToQuaternion(camera.rotation)].map(short).join(",")}`);
  }
  if (showDepth) parts.push("view=depth");
  return `#${parts.join("&")}`;
}

async function copyLink(player) {
  player.setPlaying(false);
  try {
    history.replaceState(null, "", linkTo(player));
    await navigator.clipboard.writeText(location.href);
    note("Link to this view copied");
  } catch {
    note("The address of this page now leads to this view");
  }
}

function savePicture(player) {
  player.draw();
  const name = `${player.scene.title.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60) || "scene"}.png`;
  player.canvas.toBlob((blob) => {
    const address = URL.createObjectURL(blob);
    Object.assign(document.createElement("a"), { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
    note(`Saved ${name}`);
  });
}
