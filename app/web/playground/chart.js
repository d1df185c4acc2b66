// One figure of the live panel: its number now, and a line of the last minutes.

import { el, svg } from "./dom.js";

const WIDTH = 300;
const HEIGHT = 60;
const TOP = 4;

export class Chart {
  /**
   * @param {string} title - what is drawn
   * @param {string[]} names - of its lines; a single one may be ""
   * @param {function} format - a value as text
   * @param {number} spanS - how far back it reaches
   */
  constructor(title, names, format, spanS) {
    this._title = title;
    this._names = names;
    this._format = format;
    this._spanS = spanS;
    this._numbers = names.map(() => el("strong", { text: "–" }));
    this._most = el("span", { class: "most quiet" });
    this._lines = names.map((_, index) => svg("path", { class: `line line-${index}` }));
    this._area = svg("path", { class: "area" });
    this._drawing = svg("svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": title,
    }, this._area, ...this._lines);
    const numbers = names.map((name, index) =>
      el("span", { class: `number-${index}` }, name ? el("small", { text: `${name} ` }) : null, this._numbers[index]));
    this.element = el("div", { class: "chart" },
      el("h3", { text: title }),
      el("p", { class: "now" }, ...numbers),
      el("div", { class: "drawing" }, this._drawing, this._most),
      el("p", { class: "axis quiet" },
        el("span", { text: `${spanS / 60} min ago` }), el("span", { text: "now" })));
  }

  /**
   * Draw what is known.
   * @param {Array<{atS: number, values: Array<number|null>}>} points - oldest first
   * @param {number} nowS - the right edge
   */
  draw(points, nowS) {
    const known = points.flatMap(({ values }) => values).filter((value) => value !== null);
    const most = Math.max(0, ...known);
    const x = (atS) => WIDTH * (1 - (nowS - atS) / this._spanS);
    const y = (value) => HEIGHT - 1 - (HEIGHT - 1 - TOP) * (most > 0 ? value / most : 0);
    this._lines.forEach((line, index) => line.setAttribute("d", path(points, index, x, y)));
    this._area.setAttribute("d", this._names.length === 1 ? under(points, x, y) : "");
    const last = points.at(-1)?.values ?? [];
    const now = this._names.map((_, index) => this._format(last[index] ?? null));
    now.forEach((text, index) => { this._numbers[index].textContent = text; });
    this._most.textContent = most > 0 ? `most ${this._format(most)}` : "";
    const said = this._names.map((name, index) => `${name} ${now[index]}`.trim()).join(", ");
    const label = `${this._title}: now ${said}${most > 0 ? `, at most ${this._format(most)}` : ""}`;
    this._drawing.setAttribute("aria-label", label);
  }
}

// Where a value is not known, the line is broken.
function path(points, index, x, y) {
  let isDrawn = false;
  return points.map(({ atS, values }) => {
    const value = values[index];
    if (value === null || value === undefined) {
      isDrawn = false;
      return "";
    }
    const to = `${x(atS).toFixed(1)} ${y(value).toFixed(1)}`;
    const step = isDrawn ? `L${to}` : `M${to}L${to}`; // a value that stands alone is a dot
    isDrawn = true;
    return step;
  }).join("");
}

function under(points, x, y) {
  const known = points.filter(({ values }) => values[0] !== null && values[0] !== undefined);
  if (known.length < 2) return "";
  const first = x(known[0].atS).toFixed(1);
  const last = x(known.at(-1).atS).toFixed(1);
  const along = known.map(({ atS, values }) => `L${x(atS).toFixed(1)} ${y(values[0]).toFixed(1)}`);
  return `M${first} ${HEIGHT}${along.join("")}L${last} ${HEIGHT}Z`;
}
