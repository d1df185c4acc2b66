// Several pictures as a table that can be sorted, and downloaded as CSV.

import { picturesCsv } from "./csv.js";
import { announce, byId, el } from "./dom.js";
import { duration, percent, plural } from "./format.js";

const COLUMNS = [
  { name: "File", value: ({ name }) => name.toLowerCase() },
  { name: "Label", value: ({ answer }) => answer?.predictions[0].label.toLowerCase() },
  { name: "Score", value: ({ answer }) => answer?.predictions[0].score, isNumber: true },
  { name: "Time", value: ({ answer }) => answer?.timing.total_ms, isNumber: true },
  { name: "Batch", value: ({ answer }) => answer?.timing.batch_size, isNumber: true },
];

export class Table {
  /**
   * @param {function} onPick - called with a picture that somebody wants to see
   * @param {function} onStop - called when the rest is not wanted any more
   * @param {function} onGo - called when it is wanted after all
   */
  constructor(onPick, onStop, onGo) {
    this._onPick = onPick;
    this._isStopped = false;
    this._pictures = [];
    this._rows = new Map();
    this._sorted = { column: null, isDescending: false };
    this._body = el("tbody");
    this._heads = COLUMNS.map((column) => this._head(column));
    byId("table").replaceChildren(
      el("thead", {}, el("tr", {}, el("td", {}, el("span", { class: "unseen", text: "Picture" })), ...this._heads)),
      this._body);
    byId("csv").addEventListener("click", () => this._download());
    byId("stop").addEventListener("click", () => (this._isStopped ? onGo() : onStop()));
  }

  /** Show these pictures; none hides the table. */
  show(pictures) {
    this._pictures = pictures;
    byId("many").hidden = pictures.length === 0;
    this._rows = new Map(pictures.map((picture) => [picture, this._row(picture)]));
    this._sorted = { column: null, isDescending: false };
    this._order();
    this._count();
  }

  /** Show what has become of a picture. */
  update(picture) {
    const row = this._rows.get(picture);
    if (!row) return;
    row.replaceChildren(...this._cells(picture));
    this._count();
  }

  begin() {
    this._isStopped = false;
    this._count();
  }

  /** Sort again and say what came of it, once all is done or stopped. */
  finish({ isStopped = false } = {}) {
    this._isStopped = isStopped;
    if (this._sorted.column) this._order();
    this._count();
    if (this._pictures.length) announce(byId("many-count").textContent);
  }

  /** Mark the row of the picture that is shown. */
  mark(shown) {
    for (const [picture, row] of this._rows) row.classList.toggle("shown", picture === shown);
  }

  _head(column) {
    const button = el("button", {
      type: "button", class: "plain", text: column.name, on: { click: () => this._sortBy(column) },
    });
    return el("th", { scope: "col", class: column.isNumber ? "number" : null }, button);
  }

  _row(picture) {
    return el("tr", {}, ...this._cells(picture));
  }

  _cells(picture) {
    const { answer, error, state, name, url } = picture;
    const image = el("img", { src: url, alt: "", loading: "lazy", decoding: "async", width: 40, height: 40 });
    image.addEventListener("error", () => image.classList.add("broken"));
    const pick = el("button", {
      type: "button", class: "plain name", text: name, title: name, on: { click: () => this._onPick(picture) },
    });
    const cells = [el("td", { class: "thumb" }, image), el("th", { scope: "row" }, pick)];
    if (state === "failed") {
      const { title, detail } = error.problem ?? { title: "Failed", detail: String(error) };
      return [...cells, el("td", { colspan: 4, class: "failure" }, el("strong", { text: title }), ` ${detail}`)];
    }
    if (!answer || state !== "done") {
      return [...cells, el("td", { colspan: 4, class: "quiet", text: state === "running" ? "Asking …" : "Waiting" })];
    }
    const [best] = answer.predictions;
    const track = el("span", { class: "track", "aria-hidden": "true" }, el("i"));
    track.firstChild.style.setProperty("--share", best.score);
    return [
      ...cells,
      el("td", { text: best.label }),
      el("td", { class: "number" }, track, percent(best.score)),
      el("td", { class: "number", text: duration(answer.timing.total_ms) }),
      el("td", { class: "number", text: String(answer.timing.batch_size) }),
    ];
  }

  _sortBy(column) {
    const { column: before, isDescending } = this._sorted;
    // Numbers begin with the largest, which is what one looks for.
    const isFirst = before !== column;
    this._sorted = { column, isDescending: isFirst ? Boolean(column.isNumber) : !isDescending };
    this._order();
  }

  _order() {
    const { column, isDescending } = this._sorted;
    COLUMNS.forEach((each, index) => {
      const order = each === column ? (isDescending ? "descending" : "ascending") : "none";
      this._heads[index].setAttribute("aria-sort", order);
    });
    this._body.replaceChildren(...this.sorted().map((picture) => this._rows.get(picture)));
  }

  /** The pictures as they are shown; those without a value come last, whatever the direction. */
  sorted() {
    const { column, isDescending } = this._sorted;
    if (!column) return this._pictures;
    const compare = (one, other) => {
      const [a, b] = [column.value(one), column.value(other)];
      if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
      const order = column.isNumber ? a - b : a.localeCompare(b, undefined, { numeric: true });
      return isDescending ? -order : order;
    };
    return this._pictures.toSorted(compare);
  }

  _count() {
    const all = this._pictures.length;
    const done = this._pictures.filter(({ state }) => state === "done").length;
    const failed = this._pictures.filter(({ state }) => state === "failed").length;
    const parts = [`${done} of ${plural(all, "picture")} classified`];
    if (failed) parts.push(`${failed} failed`);
    if (this._isStopped && done + failed < all) parts.push("stopped");
    byId("many-count").textContent = parts.join(", ");
    const progress = byId("many-progress");
    progress.max = Math.max(1, all);
    progress.value = done + failed;
    progress.hidden = done + failed === all;
    byId("stop").hidden = progress.hidden;
    byId("stop").textContent = this._isStopped ? "Go on" : "Stop";
  }

  _download() {
    const url = URL.createObjectURL(new Blob([picturesCsv(this.sorted())], { type: "text/csv;charset=utf-8" }));
    el("a", { href: url, download: "keraserve.csv" }).click();
    // Once the browser has taken it: it does so after this turn.
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }
}
