// A photo on a canvas: fitted or zoomed, moved by hand or keys, with boxes, masks and a heat map above it.

const COLOURS = 8;
const MOST_ZOOM = 12;

// The hue of the n-th label, as the program's own drawings have it.
function colourOf(number, alpha = 1) {
  const hue = (0.02 + number * 0.61803398875) % 1;
  return `hsl(${(360 * hue).toFixed(0)} 85% 55% / ${alpha})`;
}

// COCO's compressed run lengths: 5 bits a character; from the fourth on the difference from the last but one.
export function runLengths(text) {
  const lengths = [];
  let value = 0;
  let shift = 0;
  for (const character of text) {
    const bits = character.charCodeAt(0) - 48;
    value += (bits & 31) * 2 ** shift;
    shift += 5;
    if (bits & 32) continue;
    if (bits & 16) value -= 2 ** shift;
    lengths.push(value + (lengths.length > 2 ? lengths[lengths.length - 2] : 0));
    value = 0;
    shift = 0;
  }
  return lengths;
}

function maskCanvas(mask, number) {
  const [height, width] = mask.size;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.fillStyle = colourOf(number, 0.5);
  let place = 0;
  let inside = false;
  for (const length of runLengths(mask.counts)) {
    // columns first: a run may go on in the next column
    for (let left = inside ? length : 0, at = place; left > 0; ) {
      const row = at % height;
      const tall = Math.min(left, height - row);
      context.fillRect(Math.floor(at / height), row, 1, tall);
      at += tall;
      left -= tall;
    }
    place += length;
    inside = !inside;
  }
  return canvas;
}

// A map is told as rows of a grid, 0 to 1; its strongest cell is drawn full, however weak it is.
function heatCanvas({ grid }) {
  const canvas = new OffscreenCanvas(grid[0].length, grid.length);
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(grid[0].length, grid.length);
  const top = Math.max(...grid.flat(), 1e-9);
  grid.flat().forEach((value, i) => {
    const share = Math.max(0, value / top);
    pixels.data.set([255, Math.round(210 * (1 - share)), 30, Math.round(190 * share)], 4 * i);
  });
  context.putImageData(pixels, 0, 0);
  return canvas;
}

async function fetchTold(address) {
  const answer = await fetch(address);
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(told.title ?? String(answer.status));
  return told;
}

// Where in a photo the answer to a question rests on: worked out by the server when it is asked for.
export function fetchHeat(photo, question) {
  return fetchTold(`/v1/photos/${encodeURIComponent(photo)}/heat?${new URLSearchParams({ question })}`);
}

// The outlines of the things in a photo, likewise.
export function fetchMasks(photo) {
  return fetchTold(`/v1/photos/${encodeURIComponent(photo)}/masks`);
}

export class PhotoView {
  constructor(canvas, { moves = true } = {}) {
    this.canvas = canvas;
    this.image = null;
    this.things = [];
    this.shows = { boxes: true, masks: false, heat: false };
    this.zoom = 1;
    this.offset = [0, 0];
    this.masked = null;
    this.masks = null;
    this.heat = null;
    this.size = null;
    new ResizeObserver(() => this.draw()).observe(canvas);
    if (moves) this.#listen();
  }

  // size: height and width of the picture that boxes are told in; that of the image where not given.
  show(image, { things = [], size = null } = {}) {
    this.image = image;
    this.things = things ?? [];
    this.heatTold = null;
    this.shows.heat = false;
    this.shows.masks = false;
    this.masked = null;
    this.masks = null;
    this.heat = null;
    this.size = size;
    this.zoom = 1;
    this.offset = [0, 0];
    this.draw();
  }

  // told: as fetchHeat gives it.
  showHeat(told) {
    this.heatTold = told;
    this.heat = null;
    this.shows.heat = true;
    this.draw();
  }

  // told: as fetchMasks gives it.
  showMasks(told) {
    this.masked = told.things;
    this.masks = null;
    this.shows.masks = true;
    this.draw();
  }

  clear() {
    this.show(null);
  }

  has(name) {
    if (name === "masks") return this.masked !== null;
    return this.things.length > 0;
  }

  toggle(name, wanted = !this.shows[name]) {
    this.shows[name] = wanted;
    this.draw();
    return wanted;
  }

  zoomTo(zoom, [x, y] = [this.canvas.clientWidth / 2, this.canvas.clientHeight / 2]) {
    const next = Math.min(MOST_ZOOM, Math.max(1, zoom));
    const [cx, cy] = [x - this.canvas.clientWidth / 2, y - this.canvas.clientHeight / 2];
    const grown = next / this.zoom;
    this.offset = [cx - (cx - this.offset[0]) * grown, cy - (cy - this.offset[1]) * grown];
    this.zoom = next;
    this.draw();
  }

  move(dx, dy) {
    this.offset = [this.offset[0] + dx, this.offset[1] + dy];
    this.draw();
  }

  draw() {
    const { canvas, image } = this;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const [wide, high] = [canvas.clientWidth, canvas.clientHeight];
    if (!wide || !high) return;
    if (canvas.width !== Math.round(wide * ratio) || canvas.height !== Math.round(high * ratio)) {
      canvas.width = Math.round(wide * ratio);
      canvas.height = Math.round(high * ratio);
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, wide, high);
    if (!image) return;
    const fit = Math.min(wide / image.naturalWidth, high / image.naturalHeight) * this.zoom;
    const [shownWide, shownHigh] = [image.naturalWidth * fit, image.naturalHeight * fit];
    this.offset = [
      limit(this.offset[0], (shownWide - wide) / 2),
      limit(this.offset[1], (shownHigh - high) / 2),
    ];
    const left = (wide - shownWide) / 2 + this.offset[0];
    const top = (high - shownHigh) / 2 + this.offset[1];
    context.imageSmoothingEnabled = fit < 3;
    context.drawImage(image, left, top, shownWide, shownHigh);
    this.#marks(context, left, top, shownWide, shownHigh);
  }

  #marks(context, left, top, wide, high) {
    if (this.shows.heat && this.heatTold) {
      this.heat ??= heatCanvas(this.heatTold);
      const [height, width] = this.#told();
      const [x1, y1, x2, y2] = this.heatTold.frame_xyxy ?? [0, 0, width, height];
      context.imageSmoothingEnabled = true;
      context.save();
      context.beginPath();
      context.rect(left, top, wide, high);
      context.clip();
      const place = [left + (x1 / width) * wide, top + (y1 / height) * high];
      context.drawImage(this.heat, ...place, ((x2 - x1) / width) * wide, ((y2 - y1) / height) * high);
      context.restore();
    }
    const labels = [...new Set([...this.things, ...(this.masked ?? [])].map((thing) => thing.label))].sort();
    if (this.shows.masks && this.masked) {
      this.masks ??= this.masked.map((thing) =>
        thing.mask ? maskCanvas(thing.mask, labels.indexOf(thing.label) % COLOURS) : null,
      );
      context.imageSmoothingEnabled = false;
      for (const mask of this.masks) if (mask) context.drawImage(mask, left, top, wide, high);
    }
    if (!this.shows.boxes) return;
    const [height, width] = this.#told();
    for (const thing of this.things) {
      const [x1, y1, x2, y2] = thing.box_xyxy;
      const box = [left + (x1 / width) * wide, top + (y1 / height) * high];
      const size = [((x2 - x1) / width) * wide, ((y2 - y1) / height) * high];
      drawBox(context, box, size, labels.indexOf(thing.label) % COLOURS, thing);
    }
  }

  // Height and width of the picture that places are told in.
  #told() {
    return this.size ?? [this.image.naturalHeight, this.image.naturalWidth];
  }

  #listen() {
    const { canvas } = this;
    const fingers = new Map();
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, event);
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      if (fingers.size === 2) {
        const other = [...fingers.values()].find((one) => one.pointerId !== event.pointerId);
        const far = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
        const place = canvas.getBoundingClientRect();
        const middle = [(event.clientX + other.clientX) / 2 - place.x, (event.clientY + other.clientY) / 2 - place.y];
        this.zoomTo((this.zoom * far(event)) / Math.max(1, far(before)), middle);
      } else {
        this.move(event.clientX - before.clientX, event.clientY - before.clientY);
      }
      fingers.set(event.pointerId, event);
    });
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => fingers.delete(event.pointerId));
    }
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        this.zoomTo(this.zoom * Math.exp(-event.deltaY / 400), [event.offsetX, event.offsetY]);
      },
      { passive: false },
    );
    canvas.addEventListener("dblclick", (event) => {
      this.zoomTo(this.zoom > 1 ? 1 : 3, [event.offsetX, event.offsetY]);
    });
  }
}

function limit(value, most) {
  const reach = Math.max(0, most);
  return Math.max(-reach, Math.min(reach, value));
}

function drawBox(context, [x, y], [wide, high], number, thing) {
  context.lineWidth = 4;
  context.strokeStyle = "rgb(20 20 20 / .55)";
  context.strokeRect(x, y, wide, high);
  context.lineWidth = 2;
  context.strokeStyle = colourOf(number);
  context.strokeRect(x, y, wide, high);
  const text = `${thing.label} ${Math.round(100 * thing.score)} %`;
  context.font = "600 12px system-ui, sans-serif";
  const plate = Math.ceil(context.measureText(text).width) + 10;
  const up = y >= 19 ? y - 19 : y;
  context.fillStyle = colourOf(number);
  context.fillRect(x - 1, up, plate, 19);
  context.fillStyle = "#0b0b0b";
  context.fillText(text, x + 4, up + 14);
}
