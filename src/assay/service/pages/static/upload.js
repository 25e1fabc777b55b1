// Photos are chosen, dropped, pasted or taken; each is sent as it is, and its answer stands where it stood.

import { PhotoView, fetchHeat, fetchMasks } from "./photo.js";

const AT_ONCE = 3;
const form = document.getElementById("send");
const cards = document.getElementById("cards");
const said = document.getElementById("said");

// Boxes, masks and heat of a card, on a canvas over its picture.
function dress(card) {
  const things = JSON.parse(card.dataset.things ?? "[]");
  const { heat, photo } = card.dataset;
  const size = card.dataset.size ? JSON.parse(card.dataset.size) : null;
  if (!things.length && !heat) return;
  const canvas = card.querySelector(".marks");
  const image = card.querySelector(".frame img");
  const tools = card.querySelector(".marks-tools");
  const draw = () => {
    canvas.hidden = false;
    const view = new PhotoView(canvas, { moves: false });
    view.show(image, { things, size });
    image.style.visibility = "hidden";
    tools.hidden = false;
    const asks = {
      heat: { fetch: async () => view.showHeat(await fetchHeat(photo, heat)) },
      masks: { fetch: async () => view.showMasks(await fetchMasks(photo)) },
    };
    for (const button of tools.querySelectorAll("[data-mark]")) {
      const name = button.dataset.mark;
      button.addEventListener("click", async () => {
        const ask = asks[name];
        if (!ask || ask.done) {
          button.setAttribute("aria-pressed", String(view.toggle(name)));
          return;
        }
        button.disabled = true;
        try {
          await ask.fetch();
          ask.done = true;
          button.setAttribute("aria-pressed", "true");
        } catch (error) {
          button.title = error.message;
        }
        button.disabled = false;
      });
    }
  };
  if (image.complete && image.naturalWidth) draw();
  else image.addEventListener("load", draw, { once: true });
}

async function fetchCard(id) {
  const answer = await fetch(`/cards/${encodeURIComponent(id)}`);
  if (!answer.ok) throw new Error(String(answer.status));
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  return document.adoptNode(page.querySelector(".answer"));
}

// The machine, or a queue before it, may take a while: ask until there is an answer.
async function follow(card, tries = 0) {
  if (!card.hasAttribute("data-waiting") || tries > 40) return card;
  const id = card.dataset.photo;
  await fetch(`/v1/photos/${encodeURIComponent(id)}?wait=10s`);
  const next = await fetchCard(id);
  card.replaceWith(next);
  dress(next);
  return follow(next, tries + 1);
}

for (const card of document.querySelectorAll(".answer[data-photo]")) {
  dress(card);
  if (form) follow(card).catch(() => {});
}

if (form) {
  const words = JSON.parse(form.dataset.words);
  const most = Number(form.dataset.most);
  const waiting = [];
  let running = 0;

  const sending = document.getElementById("sending");

  const begin = (file) => {
    const card = sending.content.firstElementChild.cloneNode(true);
    card.classList.add("new");
    const preview = URL.createObjectURL(file);
    card.querySelector("img").src = preview;
    card.querySelector("bdi").textContent = file.name;
    card.querySelector(".clause").textContent = words.sending;
    cards.prepend(card);
    document.getElementById("none").hidden = true;
    waiting.push({ file, card, preview });
    next();
  };

  const next = () => {
    while (running < AT_ONCE && waiting.length) {
      running += 1;
      const job = waiting.shift();
      send(job)
        .catch((error) => fail(job, error.message || words.failed))
        .finally(() => {
          running -= 1;
          URL.revokeObjectURL(job.preview);
          next();
        });
    }
  };

  const send = async ({ file, card }) => {
    if (file.size > most) throw new Error(words.large);
    const query = new URLSearchParams({ wait: "10s", name: file.name.slice(0, 200) });
    for (const name of ["item", "sender"]) {
      const value = document.getElementById(name).value.trim();
      if (value) query.set(name, value);
    }
    const token = crypto.randomUUID?.() ?? String(Math.random()).slice(2) + Date.now();
    const told = await put(`/v1/photos?${query}`, file, token);
    const done = await fetchCard(told.photo);
    const image = done.querySelector(".frame img");
    image.loading = "eager";
    await image.decode().catch(() => {});
    card.replaceWith(done);
    dress(done);
    const shown = await follow(done);
    said.textContent = `${file.name}: ${shown.querySelector(".verdict")?.textContent ?? ""}. ${shown.querySelector(".clause")?.textContent ?? ""}`;
  };

  // A busy server says when to come again; the token makes a second try the same photo.
  const put = async (address, file, token, tries = 0) => {
    let answer;
    try {
      answer = await fetch(address, { method: "PUT", body: file, headers: { "Idempotency-Key": token } });
    } catch {
      answer = null;
    }
    if (answer?.ok) return answer.json();
    const again = answer === null || answer.status === 429 || answer.status === 503;
    if (again && tries < 5) {
      const pause = Number(answer?.headers.get("Retry-After")) || 2 ** tries;
      await new Promise((done) => setTimeout(done, 1000 * Math.min(30, pause)));
      return put(address, file, token, tries + 1);
    }
    const problem = await answer?.json().catch(() => null);
    throw new Error([problem?.title ?? words.failed, problem?.fix].filter(Boolean).join(": "));
  };

  const fail = ({ card }, text) => {
    card.querySelector("progress").remove();
    card.querySelector(".clause").textContent = text;
    const mark = card.querySelector(".verdict");
    mark.className = "verdict reject";
    mark.querySelector("use").setAttribute("href", "#i-reject");
    mark.lastChild.textContent = words.not_sent;
    said.textContent = `${words.not_sent}: ${text}`;
  };

  const take = (files) => {
    for (const file of files) if (file) begin(file);
  };

  for (const id of ["files", "camera"]) {
    document.getElementById(id).addEventListener("change", (event) => {
      take(event.target.files);
      event.target.value = "";
    });
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("paste", (event) => take(event.clipboardData?.files ?? []));
  let depth = 0;
  document.addEventListener("dragenter", () => form.classList.toggle("over", ++depth > 0));
  document.addEventListener("dragleave", () => form.classList.toggle("over", --depth > 0));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    form.classList.remove("over");
    take(event.dataTransfer?.files ?? []);
  });
}
