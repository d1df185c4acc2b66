// The model's own labelled samples: pages of pictures, each classified with a click.

import { askJson } from "./api.js";
import { announce, byId, el } from "./dom.js";
import { count, percent, plural } from "./format.js";
import { problemCard } from "./problem.js";
import { Result } from "./result.js";
import { Picture, Runs, pictureUrl } from "./runs.js";

const PAGE = 48; // divides into rows of 4, 6, 8, 12 and 16

export class Gallery {
  /** @param {function} query - returns the parameters of a classification */
  constructor(query) {
    this._result = new Result("sample", (picture) => this.classify(picture));
    this._query = query;
    this._model = null;
    this._offset = 0;
    this._total = 0;
    this._pictures = [];
    this._tiles = new Map();
    this._runs = new Runs((picture) => this._update(picture));
    this._stop = new AbortController();
    this._seen = new IntersectionObserver((entries) => this._load(entries), { rootMargin: "300px" });
    byId("samples-class").addEventListener("change", () => this._turn(0));
    byId("samples-before").addEventListener("click", () => this._turn(this._offset - PAGE));
    byId("samples-after").addEventListener("click", () => this._turn(this._offset + PAGE));
    byId("samples-all").addEventListener("click", () => this._classifyAll());
  }

  /** Show the samples of a model; what was said of them by another version goes. */
  choose(model, classes) {
    if (!model) return;
    const isOther = model !== this._model;
    this._model = model;
    const select = byId("samples-class");
    const before = isOther ? "" : select.value;
    const every = el("option", { value: "", text: "All" });
    const options = classes.map((name) => el("option", { value: name, text: name }));
    select.replaceChildren(every, ...options);
    select.value = classes.includes(before) ? before : "";
    this._turn(isOther || select.value !== before ? 0 : this._offset);
  }

  /** Ask for the same page again. */
  reload() {
    if (this._model) this._turn(this._offset);
  }

  /** Classify one sample and show what came of it. */
  async classify(picture) {
    this._result.show(picture);
    byId("sample").scrollIntoView({ block: "nearest" });
    // A run of its own: neither the one over the page nor another click ends with it.
    const runs = new Runs((each) => this._update(each));
    this._stop.signal.addEventListener("abort", () => runs.stop(), { once: true });
    await runs.run([picture], this._parameters());
    this._count();
  }

  async _turn(offset) {
    this._stop.abort();
    this._runs.stop();
    this._seen.disconnect(); // what is turned away from is not loaded any more
    this._stop = new AbortController();
    const { signal } = this._stop;
    this._offset = Math.max(0, offset);
    const query = { limit: PAGE, offset: this._offset, label: byId("samples-class").value };
    try {
      const answer = await askJson(this._path(""), { query, signal, isQuiet: true });
      if (!signal.aborted) this._show(answer);
    } catch (error) {
      if (error.name !== "AbortError") this._showProblem(error);
    }
  }

  _path(rest) {
    return `v1/models/${encodeURIComponent(this._model)}/samples${rest}`;
  }

  // The model is in the path.
  _parameters() {
    const { model: _, ...query } = this._query();
    return query;
  }

  _show({ count: total, samples }) {
    this._clear();
    this._total = total;
    byId("samples-note").replaceChildren();
    byId("samples-tools").hidden = false;
    byId("samples-shown").hidden = false;
    this._pictures = samples.map((sample) => this._picture(sample));
    const tiles = this._pictures.map((picture) => el("li", {}, this._tile(picture)));
    byId("samples-grid").replaceChildren(...tiles);
    for (const tile of this._tiles.values()) this._seen.observe(tile);
    const last = this._offset + samples.length;
    byId("samples-pages").hidden = total <= PAGE;
    byId("samples-before").disabled = this._offset === 0;
    byId("samples-after").disabled = last >= total;
    const first = samples.length ? this._offset + 1 : 0;
    byId("samples-page").textContent = `${count(first)}–${count(last)} of ${count(total)}`;
    this._count();
  }

  // Most often there are none: the problem document says how to get them.
  _showProblem(error) {
    this._clear();
    byId("samples-shown").hidden = true;
    byId("samples-pages").hidden = true;
    byId("samples-tools").hidden = byId("samples-class").value === "";
    byId("samples-count").textContent = "";
    byId("samples-note").replaceChildren(problemCard(error, { isCalm: true }));
  }

  _clear() {
    this._seen.disconnect();
    for (const { url } of this._pictures) if (url) URL.revokeObjectURL(url);
    this._pictures = [];
    this._tiles.clear();
    this._result.clear();
  }

  _picture({ index, label, class_id: classId }) {
    const path = this._path(`/${index}/predict`);
    const picture = new Picture(null, { name: `Sample ${index}`, url: "", path });
    return Object.assign(picture, { index, label, classId });
  }

  _tile(picture) {
    const image = el("img", { alt: "", width: 64, height: 64 });
    const said = el("span", { class: "said" }, el("b"), el("span"));
    const tile = el("button", {
      type: "button", class: "tile", on: { click: () => this.classify(picture) },
    }, image, said);
    this._tiles.set(picture, tile);
    describe(tile, picture);
    return tile;
  }

  async _load(entries) {
    const { signal } = this._stop;
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      this._seen.unobserve(target);
      const picture = this._pictures.find((each) => this._tiles.get(each) === target);
      if (picture) this._loadImage(picture, target, signal);
    }
  }

  async _loadImage(picture, tile, signal) {
    try {
      const url = await pictureUrl(this._path(`/${picture.index}/image`), signal);
      if (signal.aborted) {
        URL.revokeObjectURL(url);
        return;
      }
      picture.url = url;
      tile.querySelector("img").src = url;
    } catch (error) {
      if (error.name !== "AbortError") tile.title = error.message;
    }
  }

  async _classifyAll() {
    byId("samples-all").disabled = true;
    const isWhole = await this._runs.run(this._pictures, this._parameters());
    byId("samples-all").disabled = false;
    this._count();
    if (isWhole) announce(byId("samples-count").textContent);
  }

  _update(picture) {
    const tile = this._tiles.get(picture);
    if (tile) describe(tile, picture);
    if (this._result.picture === picture) this._result.show(picture);
  }

  _count() {
    const asked = this._pictures.filter(({ answer }) => answer);
    const right = asked.filter(({ answer }) => answer.correct).length;
    const share = asked.length ? ` (${percent(right / asked.length)})` : "";
    byId("samples-count").textContent = asked.length
      ? `${right} of ${asked.length} right${share}`
      : `${plural(this._total, "labelled picture")}: click one`;
  }
}

function describe(tile, picture) {
  const { answer, error, index, label, state } = picture;
  const [real, said] = tile.querySelector(".said").children;
  real.textContent = label;
  tile.classList.remove("right", "wrong", "failed");
  tile.setAttribute("aria-busy", String(state === "running"));
  if (state === "failed") {
    tile.classList.add("failed");
    said.textContent = error.problem?.title ?? "Failed";
    tile.setAttribute("aria-label", `Sample ${index}, ${label}: ${said.textContent}`);
  } else if (state === "done" && answer) {
    const best = answer.predictions[0].label;
    const { label: actual } = answer.actual;
    tile.classList.add(answer.correct ? "right" : "wrong");
    if (answer.correct) said.textContent = "✓ right";
    else said.replaceChildren("✗ says ", el("span", { class: "class", text: best }));
    tile.setAttribute("aria-label", answer.correct
      ? `Sample ${index}, ${actual}: right`
      : `Sample ${index}, actual ${actual}, predicted ${best}: wrong`);
  } else {
    said.textContent = "";
    tile.setAttribute("aria-label", `Sample ${index}, ${label}`);
  }
}
