// Asks the server: with the key, if there is one, and with its errors as they are meant.

/** Told of what concerns the whole page: `denied` (401, 403), `lost` (no answer). */
export const events = new EventTarget();

/**
 * The server's own words for what went wrong (RFC 9457).
 * @property {object} problem - the document: title, status, code, detail, request_id
 * @property {number|null} retryAfterS - from `Retry-After`
 */
export class ProblemError extends Error {
  constructor(problem, retryAfterS = null) {
    super(problem.detail);
    this.problem = problem;
    this.retryAfterS = retryAfterS;
  }
}

/** The server did not answer at all. */
export class LostError extends ProblemError {
  constructor() {
    super({
      title: "No answer",
      status: 0,
      code: "no_answer",
      detail: "The server does not answer. This goes on by itself once it is back.",
    });
  }
}

const KEY = "keraserve-key";
let key = readKey();

function readKey() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

export const hasKey = () => key !== "";

/** Use a key from now on; it is kept until the tab is closed. */
export function setKey(value) {
  key = value;
  try {
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
  } catch {
    // Not kept, but used.
  }
}

/** The address of a path below the server, which may lie below a path itself. */
export function address(path, query = {}) {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  return url;
}

/**
 * Send a request and return its answer, if it is a good one.
 * @param {string} path - below the server, without a slash in front
 * @param {object} options - those of fetch, and `query`, `isQuiet`: nobody is told of 401 and 403
 * @throws {ProblemError} the server refuses
 * @throws {LostError} the server is gone
 */
export async function ask(path, { query, isQuiet = false, headers = {}, ...options } = {}) {
  const sent = key ? { ...headers, Authorization: `Bearer ${key}` } : headers;
  let response;
  try {
    response = await fetch(address(path, query), { cache: "no-store", ...options, headers: sent });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw await whyUnanswered();
  }
  if (response.ok) return response;
  const error = await problemOf(response);
  if (!isQuiet && (response.status === 401 || response.status === 403)) {
    events.dispatchEvent(new CustomEvent("denied", { detail: error }));
  }
  throw error;
}

/** The same for an answer in JSON. */
export async function askJson(path, options) {
  const response = await ask(path, options);
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw await whyUnanswered();
  }
}

async function problemOf(response) {
  const seconds = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  const retryAfterS = Number.isNaN(seconds) ? null : seconds;
  const fallback = {
    title: response.statusText || "Error",
    status: response.status,
    code: "",
    detail: `Something answered ${response.status}, in words that are not the server's.`,
    request_id: response.headers.get("X-Request-Id") ?? "",
  };
  try {
    const document = await response.json();
    return new ProblemError({ ...fallback, ...document }, retryAfterS);
  } catch {
    return new ProblemError(fallback, retryAfterS);
  }
}

// A browser does not say why there was no answer: it can be the request alone.
async function whyUnanswered() {
  if (await isAlive()) {
    return new ProblemError({
      title: "Broken off",
      status: 0,
      code: "broken_off",
      detail: "The server is there, but this request was broken off before its answer.",
    });
  }
  events.dispatchEvent(new Event("lost"));
  return new LostError();
}

/** Whether the server answers at all. */
export async function isAlive() {
  try {
    return (await fetch(address("livez"), { cache: "no-store" })).ok;
  } catch {
    return false;
  }
}
