// Shows what went wrong in the words of its problem document.

import { el } from "./dom.js";
import { plural } from "./format.js";

/**
 * Show an error.
 * @param {Error} error - a ProblemError, or what the page itself stumbled over
 * @param {object} options - `onRetry`: called by a button, `retry`: its words; `isCalm`: not an alert
 */
export function problemCard(error, { onRetry = null, retry = "Try again", isCalm = false } = {}) {
  const problem = error.problem ?? { title: "The page failed", detail: String(error), code: "" };
  const small = [
    problem.status ? `${problem.status} ${problem.code}` : problem.code,
    problem.request_id ? `request ${problem.request_id}` : "",
  ].filter(Boolean);
  return el("div", { class: isCalm ? "problem calm" : "problem", role: isCalm ? null : "alert" },
    el("p", { class: "problem-title", text: problem.title }),
    el("p", {}, ...breakable(problem.detail)),
    retryNote(error),
    small.length ? el("p", { class: "mono quiet", text: small.join(" · ") }) : null,
    onRetry && el("button", { type: "button", text: retry, on: { click: onRetry } }));
}

// Names of settings are longer than a phone is wide: they go on after an underscore.
function breakable(text) {
  return text.split(/(?<=_)/).flatMap((part) => [part, el("wbr")]);
}

function retryNote(error) {
  if (!error.retryAfterS) return null;
  const text = `There should be room again in ${plural(error.retryAfterS, "second")}.`;
  return el("p", { class: "retry", text });
}
