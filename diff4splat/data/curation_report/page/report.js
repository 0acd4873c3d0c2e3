"use strict";
const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const STEP = 60;
const controls = ["search", "status", "dataset", "kind", "sort", "order", "pictured"].map(byId);
const [search, status, dataset, kind, sort, order, pictured] = controls;
let found = [];
let count = STEP;
let open = -1;

function element(tag, words = "", name = "") {
  const made = document.createElement(tag);
  made.textContent = words;
  if (name) made.className = name;
  return made;
}

function addOptions(select, words, values) {
  words.forEach((word, index) => {
    const option = element("option", word);
    option.value = values[index];
    select.append(option);
  });
}

function picture(index, words) {
  const image = element("img");
  image.src = data.pictures[index];
  image.alt = words;
  image.loading = "lazy";
  image.decoding = "async";
  return image;
}

function amount(value) {
  if (value === null) return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number" || Number.isInteger(value)) return String(value);
  return String(Number(value.toPrecision(5)));
}

function measured(clip) {
  const [part, column] = sort.value.split(" ");
  if (part === "uid") return clip.uid;
  const value = clip[part][Number(column)];
  return typeof value === "boolean" ? Number(value) : value;
}

/* Numbers before texts before what is not known, in either direction. */
function compare(a, b) {
  const rank = (value) => (typeof value === "number" ? 0 : value === null ? 2 : 1);
  if (rank(a) !== rank(b)) return rank(a) - rank(b);
  return a === b ? 0 : Number(order.value) * (a < b ? -1 : 1);
}

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  found = [];
  data.clips.forEach((clip, index) => {
    if (status.value && clip.status !== status.value) return;
    if (dataset.value && clip.dataset !== Number(dataset.value)) return;
    if (kind.value && clip.kind !== Number(kind.value)) return;
    if (pictured.checked && !(index in data.pictures)) return;
    const text = `${clip.uid} ${clip.reason} ${clip.stage} ${data.datasets[clip.dataset]}`.toLowerCase();
    if (words.every((word) => text.includes(word))) found.push(index);
  });
  const isBare = (index) => Number(!(index in data.pictures));
  const direction = Number(order.value);
  if (sort.value === "run") found.sort((a, b) => direction * (a - b));
  else if (!sort.value) found.sort((a, b) => isBare(a) - isBare(b) || direction * (a - b));
  else found.sort((a, b) => compare(measured(data.clips[a]), measured(data.clips[b])) || a - b);
  count = STEP;
  draw(0);
}

function draw(from) {
  const gallery = byId("gallery");
  if (from === 0) gallery.replaceChildren();
  found.slice(from, count).forEach((index, offset) => gallery.append(card(index, from + offset)));
  const drawn = Math.min(count, found.length);
  const of = found.length === data.clips.length ? "" : ` of ${data.clips.length.toLocaleString("en")}`;
  byId("shown").textContent = `${found.length.toLocaleString("en")}${of} clips` + (drawn < found.length ? `, the first ${drawn} shown` : "");
  byId("more").hidden = drawn >= found.length;
}

function card(index, place) {
  const clip = data.clips[index];
  const button = element("button", "", "card");
  button.type = "button";
  const frame = element("span", "", "picture");
  if (index in data.pictures) frame.append(picture(index, ""));
  else frame.textContent = "no picture here";
  button.append(frame, element("span", clip.uid, "name"), element("span", clip.status, `chip ${clip.status}`));
  if (clip.reason) button.append(element("span", clip.reason, "why"));
  if (sort.value.includes(" ")) {
    const label = sort.options[sort.selectedIndex].textContent;
    button.append(element("span", `${label}: ${amount(measured(clip))}`, "why"));
  }
  button.addEventListener("click", () => show(place));
  return button;
}

function rows(title, names, values) {
  const known = names.map((name, column) => [name, values[column]]).filter(([, value]) => value !== null);
  if (!known.length) return [];
  const table = element("table");
  for (const [name, value] of known) {
    const row = element("tr");
    const head = element("th", name);
    head.scope = "row";
    row.append(head, element("td", amount(value), "number"));
    table.append(row);
  }
  return [element("h3", title), table];
}

function show(place) {
  open = place;
  const index = found[place];
  const clip = data.clips[index];
  byId("detail-title").textContent = clip.uid;
  const body = byId("detail-body");
  body.replaceChildren();
  if (index in data.pictures) body.append(picture(index, `Frames of ${clip.uid}`));
  const where = data.datasets[clip.dataset] ? `, ${data.datasets[clip.dataset]}` : "";
  const how = clip.status === "kept" ? "kept" : `${clip.status} in stage ${clip.stage || "?"}`;
  body.append(element("p", how + where, `chip ${clip.status}`));
  if (clip.status !== "kept") body.append(element("p", clip.reason || "no reason given"));
  body.append(...rows("Measured", data.metrics, clip.values));
  body.append(...rows("Seconds", data.stages, clip.seconds));
  byId("previous").disabled = place === 0;
  byId("next").disabled = place === found.length - 1;
  const dialog = byId("detail");
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  byId("detail-title").focus();
}

function step(by) {
  if (open + by >= 0 && open + by < found.length) show(open + by);
}

function closed() {
  if (open >= count) {
    const from = count;
    count = open + 1;
    draw(from);
  }
  byId("gallery").children[open]?.focus();
}

addOptions(dataset, data.datasets.map((name) => name || "(not named)"), [...data.datasets.keys()]);
addOptions(kind, data.kinds, [...data.kinds.keys()]);
addOptions(sort, ["name"], ["uid"]);
addOptions(sort, data.metrics, data.metrics.map((_, column) => `values ${column}`));
addOptions(sort, data.stages.map((name) => `seconds of ${name}`), data.stages.map((_, column) => `seconds ${column}`));
dataset.parentElement.hidden = data.datasets.length < 2;
kind.parentElement.hidden = data.kinds.length < 1;
byId("filters").hidden = data.clips.length === 0;

for (const control of controls) control.addEventListener(control === search ? "input" : "change", filter);
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("filters").addEventListener("reset", () => setTimeout(filter));
byId("more").addEventListener("click", () => {
  const from = count;
  count += STEP;
  draw(from);
  byId("gallery").children[from]?.focus();
});
for (const button of document.querySelectorAll("#reasons button")) {
  const place = data.kinds.indexOf(button.dataset.kind);
  button.disabled = place < 0;
  button.addEventListener("click", () => {
    byId("filters").reset();
    status.value = button.dataset.status;
    kind.value = String(place);
    setTimeout(() => {
      filter();
      byId("clips").scrollIntoView();
      byId("clips").focus({ preventScroll: true });
    });
  });
}
byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));
byId("close").addEventListener("click", () => byId("detail").close());
byId("detail").addEventListener("close", closed);
byId("detail").addEventListener("click", (event) => {
  if (event.target === byId("detail")) byId("detail").close();
});
byId("detail").addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
filter();
