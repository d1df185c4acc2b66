// The answer about one picture: bars, where the time went, and the request to copy.

import { address, hasKey } from "./api.js";
import { announce, byId, el } from "./dom.js";
import { bytes, duration, percent } from "./format.js";
import { isUnsaved } from "./intake.js";
import { problemCard } from "./problem.js";
import { curl, python } from "./snippets.js";
import { stages } from "./stages.js";

/** Shows one picture at a time. */
export class Result {
  /**
   * @param {string} home - id of the element that it is shown in
   * @param {function} onRetry - called with a picture that is to be sent again
   */
  constructor(home, onRetry) {
    this._onRetry = onRetry;
    this._home = byId(home);
    this._blank = [...this._home.childNodes];
    this._language = "curl";
    this.picture = null;
  }

  /** Show a picture with whatever is known of it; what was shown of it before goes. */
  show(picture) {
    const isOther = this.picture !== picture;
    this.picture = picture;
    this._home.setAttribute("aria-busy", String(picture.state === "running"));
    // The answer before stays, dimmed, until this one is there: it is a matter of milliseconds.
    if (isPending(picture) && !isOther) {
      const waiting = this._home.querySelector(".waiting");
      if (waiting) waiting.textContent = pending(picture);
      return;
    }
    this._home.replaceChildren(this._figure(picture), this._outcome(picture));
    if (!isPending(picture)) announce(spoken(picture));
  }

  /** Show nothing, as in the beginning. */
  clear() {
    this.picture = null;
    this._home.setAttribute("aria-busy", "false");
    this._home.replaceChildren(...this._blank);
  }

  _figure(picture) {
    const preview = el("img", { src: picture.url, alt: `The picture ${picture.name}` });
    const frame = el("div", { class: "preview" }, preview);
    // Not every format that the server reads is one that browsers show.
    preview.addEventListener("error", () => frame.replaceChildren(el("span", { text: "No preview" })));
    return el("figure", { class: "figure" }, frame,
      el("figcaption", {},
        el("span", { class: "name", title: picture.name, text: picture.name }),
        el("span", { class: "quiet", text: facts(picture) })));
  }

  _outcome(picture) {
    if (picture.state === "failed") {
      const retry = () => this._onRetry(picture);
      return el("div", { class: "outcome" }, problemCard(picture.error, { onRetry: retry }));
    }
    if (!picture.answer) return el("p", { class: "outcome waiting quiet", text: pending(picture) });
    const { answer } = picture;
    return el("div", { class: "outcome" },
      verdict(answer),
      bars(answer),
      times(picture),
      this._copying(picture));
  }

  _copying(picture) {
    const request = {
      url: address(picture.path, picture.query),
      fileName: picture.file ? picture.name : null,
      contentType: picture.contentType,
      hasKey: hasKey(),
    };
    const texts = { curl: curl(request), Python: python(request) };
    const code = el("pre", { class: "mono", tabindex: "0", "aria-label": "The request" });
    const said = el("span", { class: "quiet", role: "status" });
    const tabs = Object.keys(texts).map((language) =>
      el("button", { type: "button", text: language, on: { click: () => pick(language) } }));
    const pick = (language) => {
      this._language = language;
      code.textContent = texts[language];
      for (const tab of tabs) tab.setAttribute("aria-pressed", String(tab.textContent === language));
    };
    pick(this._language);
    const copy = el("button", {
      type: "button",
      text: "Copy",
      on: { click: async () => { said.textContent = await copied(code) ? "Copied." : "Select it and copy."; } },
    });
    return el("details", { class: "copy" },
      el("summary", { text: "Copy as curl or Python" }),
      el("div", { class: "buttons", role: "group", "aria-label": "Copy the request" }, ...tabs, copy, said),
      code,
      saving(picture));
  }
}

const isPending = ({ state }) => state === "waiting" || state === "running";
const pending = ({ state }) => (state === "running" ? "Asking …" : "Waiting");

function facts({ file, answer }) {
  const size = file ? bytes(file.size) : "";
  if (!answer) return size;
  const { format, width, height, mode } = answer.image;
  return [`${format}, ${width} × ${height} px, ${mode}`, size].filter(Boolean).join(", ");
}

function spoken({ answer, error, name }) {
  if (!answer) return `${name}: ${error.problem?.title ?? "failed"}.`;
  const [best] = answer.predictions;
  const actual = answer.actual ? ` It really is: ${answer.actual.label}.` : "";
  return `${name}: ${best.label}, ${percent(best.score)}.${actual}`;
}

function verdict({ model, version, actual, correct }) {
  const by = el("span", { class: "quiet", text: `${model}, version ${version}` });
  if (!actual) return el("p", { class: "verdict" }, by);
  return el("p", { class: `verdict ${correct ? "right" : "wrong"}` },
    el("strong", { text: correct ? "✓ Right" : "✗ Wrong" }),
    el("span", { text: `it really is: ${actual.label}` }), by);
}

function bars({ predictions, actual }) {
  return el("ol", { class: "bars", "aria-label": "Labels, best first" }, ...predictions.map((found) => {
    const fill = el("i");
    fill.style.setProperty("--share", found.score);
    const isActual = actual?.class_id === found.class_id;
    return el("li", { class: isActual ? "actual" : null },
      el("span", { class: "label", text: found.label, title: found.label }),
      el("span", { class: "track", "aria-hidden": "true" }, fill),
      el("span", { class: "score", text: percent(found.score) }));
  }));
}

// The request reads a file, which whoever pasted pixels does not have.
function saving({ file, name, url }) {
  if (!file || !isUnsaved(file)) return null;
  return el("p", { class: "quiet" }, `It reads ${name} from the folder that it is run in: `,
    el("a", { href: url, download: name, text: "save the picture" }), " there first.");
}

function times({ answer: { timing }, tookMs }) {
  const known = timing.decode_ms + timing.queue_ms + timing.execute_ms;
  const rest = Math.max(0, timing.total_ms - known);
  const batch = timing.batch_size === 0 ? "known from before, not executed"
    : timing.batch_size === 1 ? "executed alone"
    : `executed with ${timing.batch_size - 1} other${timing.batch_size === 2 ? "" : "s"}`;
  const size = timing.batch_size ? ` (batch of ${timing.batch_size})` : "";
  return el("div", { class: "times" },
    el("p", {},
      el("strong", { text: duration(timing.total_ms) }), " in the server, ", batch,
      el("span", { class: "quiet", text: `${size}. ${duration(tookMs)} as seen from here.` })),
    ...stages([timing.decode_ms, timing.queue_ms, timing.execute_ms, rest]));
}

// Without https, only this machine's own address may use the clipboard: the old way does elsewhere.
async function copied(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return true;
  } catch {
    const range = document.createRange();
    range.selectNodeContents(code);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    return document.execCommand("copy");
  }
}
