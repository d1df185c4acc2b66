// Classifies pictures, several at a time; what the server has no room for is sent again later.

import { LostError, ProblemError, ask, askJson } from "./api.js";
import { whyUnreadable } from "./intake.js";

// Browsers open six connections to one host; two are left for everything else.
const AT_ONCE = 4;
// Of one picture, when the server says 429 or 503 and when to come back.
const MOST_TRIES = 5;
const LONGEST_WAIT_S = 30;

/**
 * One picture on its way.
 * @property {File|null} file - what is sent; null for a sample, which the server has
 * @property {string} name - of the file, as people see it
 * @property {string} url - shows it; given back by `release`
 * @property {"waiting"|"running"|"done"|"failed"} state - where it stands
 * @property {object|null} answer - of the server
 * @property {Error|null} error - why there is none
 */
export class Picture {
  constructor(file, { name = file.name, url = URL.createObjectURL(file), path = "v1/classify" } = {}) {
    this.file = file;
    this.name = name || "unnamed";
    this.url = url;
    this.path = path;
    this.query = {};
    this.state = "waiting";
    this.answer = null;
    this.error = null;
    this.tookMs = null;
    this._attempt = null; // the last one: an earlier one that was stopped changes nothing any more
  }

  release() {
    if (this.file) URL.revokeObjectURL(this.url);
  }

  get contentType() {
    return this.file?.type.startsWith("image/") ? this.file.type : "application/octet-stream";
  }

  /** Whether it failed before anybody looked at it: for want of a connection, or of a key. */
  get isUnasked() {
    return this.error instanceof LostError || [401, 403].includes(this.error?.problem?.status);
  }

  /** Ask the server about it; it is `done` or `failed` afterwards, or `waiting` if stopped. */
  async classify(query, signal) {
    const attempt = {};
    this._attempt = attempt;
    this.query = query;
    this.state = "running";
    this.error = null;
    const outcome = await this._ask(query, signal);
    if (this._attempt === attempt) Object.assign(this, outcome);
  }

  async _ask(query, signal) {
    try {
      const unreadable = this.file && (await whyUnreadable(this.file));
      if (unreadable) throw new ProblemError(unreadable);
      const began = performance.now();
      const headers = this.file ? { "Content-Type": this.contentType } : {};
      const options = { method: "POST", query, headers, body: this.file, signal };
      const answer = await askJson(this.path, options);
      return { state: "done", answer, tookMs: performance.now() - began };
    } catch (error) {
      if (error.name === "AbortError") return { state: "waiting" };
      return { state: "failed", answer: null, error };
    }
  }
}

/** Classifies a list of pictures; a new list ends the one before. */
export class Runs {
  /** @param {function} onPicture - called whenever a picture changes its state */
  constructor(onPicture) {
    this._onPicture = onPicture;
    this._stop = new AbortController();
  }

  stop() {
    this._stop.abort();
  }

  /** Classify them all; return whether they were, or false once this was stopped. */
  async run(pictures, query) {
    this.stop();
    this._stop = new AbortController();
    const { signal } = this._stop;
    const waiting = [...pictures];
    // What was said before is not what is asked for now.
    for (const picture of waiting) Object.assign(picture, { state: "waiting", answer: null, error: null });
    const isMany = waiting.length > 1;
    // Many pictures of one person let those of others go before.
    const sent = isMany ? { ...query, priority: "bulk" } : query;
    const worker = async () => {
      while (waiting.length && !signal.aborted) {
        await this._classify(waiting.shift(), sent, signal, isMany ? MOST_TRIES : 1);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    return !signal.aborted;
  }

  async _classify(picture, query, signal, tries) {
    for (let tried = 1; ; tried += 1) {
      const asked = picture.classify(query, signal);
      this._onPicture(picture);
      await asked;
      if (signal.aborted) break;
      const waitS = tried < tries ? picture.error?.retryAfterS : null;
      if (!waitS) break;
      picture.state = "waiting";
      await pause(Math.min(waitS, LONGEST_WAIT_S) * 1000, signal);
      if (signal.aborted) break;
    }
    this._onPicture(picture);
  }
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}

/** Fetch a picture that may need the key, as an address that shows it. */
export async function pictureUrl(path, signal) {
  const response = await ask(path, { signal, isQuiet: true, cache: "default" });
  return URL.createObjectURL(await response.blob());
}
