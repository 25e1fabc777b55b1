// The reviewers' queue by keyboard, mouse or finger: the next photos are fetched before they are wanted, so an answer
// is followed by the next photo at once; an answer can be taken back for some seconds.

import { PhotoView, fetchHeat, fetchMasks } from "./photo.js";

const desk = document.getElementById("desk");
const panel = document.getElementById("panel");
const canvas = document.getElementById("photo");
const besideBox = document.getElementById("beside");
const stage = document.querySelector(".stage");
const rest = document.getElementById("rest");
const notice = document.getElementById("notice");
const said = document.getElementById("said");
const help = document.getElementById("help");
const heatSaid = document.getElementById("heat-said");
const words = JSON.parse(desk.dataset.words);
const view = new PhotoView(canvas);
document.documentElement.classList.add("script");

const AHEAD = 3;
const POLL_MS = 4000;
const ARMED_MS = 4000;
const NOTICE_MS = 5000;

const queue = []; // tasks that are ours, each with its panel and picture
const past = []; // answered tasks that can be taken back, the latest last
const skipped = new Set();
const gone = new Set(); // answered or being skipped: the server may still call them ours for a moment
let current = null;
let mode = null; // what digits choose among: {kind: "reasons", verdict} or {kind: "question", at}
let armed = 0;
let filling = false;
let again = false;
let inFlight = 0; // answers that the server has not taken yet: their tasks still count as ours

// ---- the server

async function call(path, body = {}) {
  const answer = await fetch(`/v1/review/${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  if (answer.status === 401 || answer.redirected) location.assign("/signin?to=/review");
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(told.title ?? words.failed), { status: answer.status });
  if ("today" in told) showProgress(told);
  return told;
}

async function fill() {
  if (filling) {
    again = true;
    return;
  }
  filling = true;
  try {
    do {
      again = false;
      if (queue.length < AHEAD) await fetchMore();
      if (!current && queue.length) show(queue[0]);
    } while (again && queue.length < AHEAD);
  } catch (error) {
    tell(error.message);
  } finally {
    filling = false;
  }
  if (!current) restNow();
}

async function fetchMore() {
  const told = await call("next", { most: Math.min(10, AHEAD + inFlight) });
  const isNew = (task) => !gone.has(task.id) && !queue.some((one) => one.id === task.id);
  const fresh = told.tasks.filter(isNew);
  fresh.sort((a, b) => skipped.has(a.id) - skipped.has(b.id));
  for (const task of await Promise.all(fresh.map(prepare))) if (task && isNew(task)) queue.push(task);
}

// The panel and the decoded picture of a task, before it is shown.
async function prepare(told) {
  const [text, image] = await Promise.all([
    fetch(`/review/tasks/${told.id}?part=1`).then((answer) => (answer.ok ? answer.text() : null)),
    loaded(told.view),
  ]);
  if (text === null) return null;
  const page = new DOMParser().parseFromString(text, "text/html");
  const form = document.adoptNode(page.getElementById("answer"));
  const besides = form.querySelector("template[data-beside]");
  for (const one of besides?.content.querySelectorAll("img") ?? []) loaded(one.getAttribute("src"));
  return { id: told.id, form, image, at: 0, beside: besides, size: told.size_hw };
}

async function loaded(address) {
  const image = new Image();
  image.src = address;
  await image.decode().catch(() => {});
  return image;
}

async function renew() {
  const tasks = [...queue];
  for (const task of tasks) {
    try {
      await call(`tasks/${task.id}/renew`);
    } catch (error) {
      if (error.status === 409) lost(task);
    }
  }
}

function lost(task) {
  const place = queue.findIndex((one) => one.id === task.id);
  if (place >= 0) queue.splice(place, 1);
  if (current?.id === task.id) {
    tell(words.lost);
    advance();
  }
}

// ---- what is shown

function show(task) {
  const begun = performance.now();
  current = task;
  leaveMode();
  rest.hidden = true;
  desk.classList.remove("empty-desk");
  panel.replaceChildren(task.form);
  panel.scrollTop = 0;
  window.scrollTo(0, 0);
  const { dataset } = task.form;
  const things = JSON.parse(dataset.things ?? "[]");
  view.show(task.image?.naturalWidth ? task.image : null, { things, size: task.size });
  heatSaid.hidden = true;
  canvas.setAttribute("aria-label", task.image?.naturalWidth ? dataset.alt : words.no_picture);
  besideBox.replaceChildren(task.beside ? task.beside.content.cloneNode(true) : "");
  showTools();
  setActions(true);
  task.since = performance.now();
  desk.dataset.task = task.id;
  requestAnimationFrame(() => {
    desk.dataset.swapMs = (performance.now() - begun).toFixed(1);
  });
  const why = task.form.querySelector(".task-head .tag")?.textContent ?? "";
  speak(`${words.next} ${why}`);
}

function advance() {
  current = null;
  if (queue.length) show(queue[0]);
  else blank();
  fill();
}

function blank() {
  current = null;
  delete desk.dataset.task;
  panel.replaceChildren();
  besideBox.replaceChildren();
  view.clear();
  setActions(false);
}

function restNow() {
  blank();
  rest.hidden = false;
}

function showProgress(told) {
  document.getElementById("today").textContent = told.today;
  document.getElementById("waiting").textContent = told.waiting;
}

function showTools() {
  for (const button of document.querySelectorAll("[data-tool]")) {
    const name = button.dataset.tool;
    if (["boxes", "masks", "heat"].includes(name)) {
      button.hidden = name === "boxes" ? !view.has(name) : current?.form.dataset[name] === undefined;
      button.setAttribute("aria-pressed", String(view.shows[name]));
    } else if (name === "zoom") {
      button.setAttribute("aria-pressed", String(view.zoom > 1));
    } else if (name === "beside") {
      button.setAttribute("aria-pressed", String(!besideBox.hidden));
    }
  }
}

function setActions(on) {
  for (const button of document.querySelectorAll("[data-action]")) {
    if (button.dataset.action === "undo") button.disabled = past.length === 0;
    else button.disabled = !on;
  }
}

function speak(text) {
  said.textContent = text;
}

let noticeTimer = 0;
function tell(text) {
  notice.textContent = text;
  notice.hidden = false;
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => (notice.hidden = true), NOTICE_MS);
}

// ---- answers

function chosen(form, verdict) {
  const truth = {};
  let against = null;
  for (const field of form.querySelectorAll("[data-question]")) {
    const name = field.dataset.question;
    const other = field.querySelector("select")?.value;
    const mark = field.querySelector("input:checked");
    if (other) truth[name] = other;
    else if (mark) {
      const byHand = !mark.hasAttribute("data-machine") || field.hasAttribute("data-touched");
      const passes = mark.hasAttribute("data-passes");
      if (verdict === "accept" ? passes || byHand : byHand) truth[name] = mark.value;
      if (verdict === "accept" && byHand && !passes) against = name;
    }
  }
  return { truth, against };
}

function answer(verdict, clause = "", fake = false) {
  if (!current) return;
  const task = current;
  const { truth, against } = chosen(task.form, verdict);
  if (against) {
    tell(words.against.replace("{question}", against));
    return;
  }
  const note = task.form.querySelector("#note")?.value ?? "";
  queue.splice(queue.indexOf(task), 1);
  const reason = fake ? words.fake : clause && reasonText(task.form, verdict, clause);
  const entry = { task, label: [words[verdict], reason].filter(Boolean).join(": "), until: 0, sent: null };
  past.push(entry);
  gone.add(task.id);
  inFlight += 1;
  entry.sent = call(`tasks/${task.id}/answer`, { verdict, clause, truth, fake, note })
    .then((told) => {
      entry.until = performance.now() + 1000 * told.hold_s;
      speak(`${entry.label}. ${words.undo_hint}`);
      ring();
    })
    .catch((error) => {
      past.splice(past.indexOf(entry), 1);
      gone.delete(task.id);
      if (error.status === 409) tell(words.lost);
      else {
        tell(error.message);
        queue.unshift(task);
        show(task);
      }
      ring();
    })
    .finally(() => (inFlight -= 1));
  entry.until = performance.now() + 10000;
  ring();
  advance();
}

function reasonText(form, verdict, clause) {
  const mark = form.querySelector(`[data-reasons="${verdict}"] input[value="${CSS.escape(clause)}"]`);
  return mark?.closest("label").querySelector("span")?.firstChild.textContent.trim() ?? clause;
}

async function skip() {
  if (!current) return;
  const task = current;
  queue.splice(queue.indexOf(task), 1);
  skipped.add(task.id);
  speak(words.skipped);
  gone.add(task.id);
  const done = call(`tasks/${task.id}/skip`).catch(() => {});
  done.finally(() => gone.delete(task.id));
  if (!queue.length) await done;
  advance();
}

async function undo() {
  const entry = past[past.length - 1];
  if (!entry) return;
  await entry.sent;
  if (!past.includes(entry)) return;
  past.splice(past.indexOf(entry), 1);
  ring();
  try {
    const told = await call("undo");
    gone.delete(told.task);
    if (told.task !== entry.task.id) {
      fill();
      return;
    }
    const place = queue.findIndex((one) => one.id === told.task);
    if (place >= 0) queue.splice(place, 1);
    queue.unshift(entry.task);
    show(entry.task);
    speak(`${words.undone}: ${entry.label}`);
  } catch (error) {
    tell(error.message);
  }
}

// The ring of the latest answer that can still be taken back.
const held = document.getElementById("held");
const ringLeft = held.querySelector(".ring-left");
const ringSeconds = document.getElementById("held-seconds");
const heldSaid = document.getElementById("held-said");
const still = matchMedia("(prefers-reduced-motion: reduce)");
let ringing = 0;
function ring() {
  cancelAnimationFrame(ringing);
  const now = performance.now();
  while (past.length && past[0].until <= now) past.shift();
  const entry = past[past.length - 1];
  document.querySelector('[data-action="undo"]').disabled = !entry;
  held.hidden = !entry;
  if (!entry) return;
  const left = (entry.until - now) / 1000;
  if (heldSaid.textContent !== entry.label) heldSaid.textContent = entry.label;
  const seconds = String(Math.ceil(left));
  if (ringSeconds.textContent !== seconds) ringSeconds.textContent = seconds;
  const shown = still.matches ? Math.ceil(left) : left;
  ringLeft.style.strokeDashoffset = String(100 - 10 * shown);
  ringing = requestAnimationFrame(ring);
}

// ---- digits choose

function enterMode(next) {
  leaveMode();
  mode = next;
  const field = fieldOf(mode);
  if (!field) {
    mode = null;
    return;
  }
  field.classList.add("picking");
  field.scrollIntoView({ block: "nearest" });
  if (mode.kind === "reasons") speak(`${field.querySelector("legend").textContent} ${words.pick}`);
}

function leaveMode() {
  mode = null;
  disarm();
  for (const field of panel.querySelectorAll(".picking")) field.classList.remove("picking");
}

function fieldOf(wanted) {
  if (!current) return null;
  if (wanted.kind === "reasons") return current.form.querySelector(`[data-reasons="${wanted.verdict}"]`);
  return current.form.querySelectorAll("[data-question]")[wanted.at] ?? null;
}

function pick(digit) {
  if (!mode) {
    if (digit > 0) enterMode({ kind: "question", at: digit - 1 });
    return;
  }
  const field = fieldOf(mode);
  const menu = field.querySelector("select");
  if (digit === 0 && menu) {
    menu.focus();
    return;
  }
  const mark = field.querySelectorAll("input[type=radio]")[digit === 0 ? 9 : digit - 1];
  if (!mark) return;
  mark.checked = true;
  if (mode.kind === "reasons") answer(mode.verdict, mark.value);
  else {
    field.setAttribute("data-touched", "");
    if (menu) menu.value = "";
    leaveMode();
    speak(`${field.dataset.question}: ${mark.value}`);
  }
}

function askReason(verdict) {
  const marks = fieldOf({ kind: "reasons", verdict })?.querySelectorAll("input") ?? [];
  const ready = [...marks].find((mark) => mark.checked);
  if (mode?.kind === "reasons" && mode.verdict === verdict && ready) answer(verdict, ready.value);
  else if (marks.length === 1) answer(verdict, marks[0].value);
  else enterMode({ kind: "reasons", verdict });
}

// A fake changes what is known of all its copies, so it is asked for twice.
let armedTimer = 0;
function confirmFake() {
  const button = document.querySelector('[data-action="fake"]');
  if (armed && armed > performance.now()) {
    disarm();
    answer("reject", current.form.dataset.fakeClause ?? "", true);
    return;
  }
  leaveMode();
  armed = performance.now() + ARMED_MS;
  button.classList.add("armed");
  tell(words.fake_again);
  clearTimeout(armedTimer);
  armedTimer = setTimeout(disarm, ARMED_MS);
}

function disarm() {
  armed = 0;
  document.querySelector('[data-action="fake"]').classList.remove("armed");
}

// ---- keys and buttons

// The map of the question that digits are at, else of the one that decided.
async function useHeat() {
  const task = current;
  const asked = mode?.kind === "question" ? fieldOf(mode).dataset.question : task?.form.dataset.heat;
  if (!task?.form.dataset.heat) return;
  if (view.shows.heat && view.heatTold?.question === asked) {
    view.toggle("heat", false);
    heatSaid.hidden = true;
    return;
  }
  heatSaid.hidden = false;
  heatSaid.textContent = words.heat_wait;
  try {
    task.heats ??= {};
    task.heats[asked] ??= await fetchHeat(task.form.dataset.photo, asked);
    if (current !== task) return;
    const told = task.heats[asked];
    view.showHeat(told);
    const answer = Math.max(...told.grid.flat()) > 0.01 ? words.heat : words.heat_flat;
    heatSaid.textContent = answer.replace("{question}", told.question).replace("{answer}", told.answer);
    speak(heatSaid.textContent);
  } catch (error) {
    if (current === task) heatSaid.textContent = error.message;
  }
  showTools();
}

async function useMasks() {
  const task = current;
  if (task?.form.dataset.masks === undefined) return;
  if (view.has("masks")) view.toggle("masks");
  else {
    try {
      task.masked ??= await fetchMasks(task.form.dataset.photo);
      if (current === task) view.showMasks(task.masked);
    } catch (error) {
      if (current === task) tell(error.message);
    }
  }
  showTools();
}

function useTool(name) {
  if (name === "heat") useHeat();
  else if (name === "masks") useMasks();
  else if (name === "zoom") view.zoomTo(view.zoom > 1 ? 1 : 3);
  else if (name === "help") help.showModal();
  else if (name === "beside") {
    besideBox.hidden = !besideBox.hidden;
    stage.classList.toggle("split", !besideBox.hidden);
  } else if (view.has(name)) view.toggle(name);
  showTools();
}

const actions = {
  accept: () => answer("accept"),
  reject: () => askReason("reject"),
  fake: () => current && confirmFake(),
  resubmit: () => askReason("resubmit"),
  skip,
  undo,
};
const keys = {
  a: actions.accept, r: actions.reject, f: actions.fake, n: actions.resubmit, s: actions.skip, u: actions.undo,
  z: () => useTool("zoom"), b: () => useTool("boxes"), m: () => useTool("masks"), h: () => useTool("heat"),
  g: () => useTool("beside"), "?": () => useTool("help"), Escape: leaveMode,
  Enter: () => mode?.kind === "reasons" && askReason(mode.verdict),
};
const steps = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };

// Who speaks to the machine, or hits keys by chance, can turn the single keys off (WCAG 2.1.4).
const singleKeys = document.getElementById("single-keys");
singleKeys.checked = localStorage.getItem("single-keys") !== "off";
singleKeys.addEventListener("change", () => {
  localStorage.setItem("single-keys", singleKeys.checked ? "on" : "off");
  document.documentElement.classList.toggle("no-keys", !singleKeys.checked);
});
document.documentElement.classList.toggle("no-keys", !singleKeys.checked);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || help.open || event.isComposing) return;
  const { target } = event;
  if (target.matches("textarea, select, input:not([type=radio])")) {
    if (event.key === "Escape" || (event.key === "Enter" && target.matches("select"))) {
      event.preventDefault();
      canvas.focus();
      leaveMode();
    }
    return;
  }
  if (event.repeat && !steps[event.key]) return;
  if (steps[event.key] && view.zoom > 1 && target.type !== "radio") {
    view.move(...steps[event.key]);
    event.preventDefault();
    return;
  }
  if (event.key.length === 1 && !singleKeys.checked) return;
  if (/^[0-9]$/.test(event.key)) {
    event.preventDefault();
    pick(Number(event.key));
    return;
  }
  if (event.key === "Enter" && target.matches("button, a, summary")) return;
  const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (!Object.hasOwn(keys, name)) return;
  event.preventDefault();
  if (name !== "f" && armed) disarm();
  keys[name]();
});

for (const button of document.querySelectorAll("[data-action]")) {
  button.addEventListener("click", (event) => {
    event.preventDefault();
    if (button.dataset.action !== "fake") disarm();
    actions[button.dataset.action]();
  });
}
for (const button of document.querySelectorAll("[data-tool]")) {
  button.addEventListener("click", () => useTool(button.dataset.tool));
}
panel.addEventListener("submit", (event) => event.preventDefault());
panel.addEventListener("change", (event) => {
  const field = event.target.closest("[data-question]");
  field?.setAttribute("data-touched", "");
  if (event.target.matches("select") && event.target.value) {
    for (const mark of field.querySelectorAll("input:checked")) mark.checked = false;
  }
});
// With a mouse or a finger a reason is the answer, once reject or another photo was asked for.
panel.addEventListener("click", (event) => {
  const mark = event.target.closest("[data-reasons] input");
  const asked = mark?.closest("[data-reasons]").dataset.reasons;
  if (mark && event.detail > 0 && mode?.kind === "reasons" && mode.verdict === asked) answer(asked, mark.value);
});

window.addEventListener("focus", renew);
setInterval(renew, 1000 * Number(desk.dataset.renew));
setInterval(() => {
  if (!document.hidden && !current) fill();
}, POLL_MS);
window.addEventListener("theme", () => view.draw());
setActions(false);
fill();
