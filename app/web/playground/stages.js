// The stages of a request, as a strip of their shares with a legend.

import { el } from "./dom.js";
import { duration } from "./format.js";

const STAGES = [
  ["decode", "from the file to pixels"],
  ["queue", "waiting for the device"],
  ["execute", "the network at work"],
  ["rest", "receiving, ranking, answering"],
];

/**
 * Make both.
 * @param {Array<number|null>} values - ms of decode, queue, execute and the rest; null is not known
 * @returns {Array<Element>} the strip and the legend
 */
export function stages(values) {
  // Shares of the whole: growth factors that add up to less than 1 leave a part of the strip empty.
  const whole = values.reduce((sum, value) => sum + value, 0) || 1;
  const strip = el("div", { class: "strip", "aria-hidden": "true" });
  const legend = el("ul", { class: "legend" });
  STAGES.forEach(([stage, title], index) => {
    if (values[index] !== null) {
      const piece = el("i", { class: stage });
      piece.style.setProperty("--part", (100 * values[index]) / whole);
      strip.append(piece);
    }
    legend.append(el("li", { class: stage, title },
      el("i", { "aria-hidden": "true" }), `${stage} ${duration(values[index])}`));
  });
  return [strip, legend];
}
