// Says whether the server is there; while it is gone, tries again until it is back.

import { address, events, isAlive } from "./api.js";
import { byId, el } from "./dom.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5000;

/**
 * Watch the connection.
 * @param {function} onBack - called when the server answers again
 */
export function watchConnection(onBack) {
  let isLost = false;
  events.addEventListener("lost", async () => {
    if (isLost) return;
    isLost = true;
    const notice = el("div", { class: "notice bad", role: "alert" },
      el("strong", { text: "The server is gone." }),
      " Trying again until it is back …");
    byId("notices").prepend(notice);
    show("gone", "Gone");
    await answersAgain();
    isLost = false;
    notice.remove();
    await showReadiness();
    onBack();
  });
  showReadiness();
}

async function answersAgain() {
  let waitMs = FIRST_WAIT_MS;
  do {
    await pause(waitMs);
    waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS);
  } while (!(await isAlive()));
}

// As long as asked, or until the page is looked at, or the network is back.
function pause(ms) {
  return new Promise((resolve) => {
    const stop = new AbortController();
    const end = () => {
      stop.abort();
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(end, ms);
    window.addEventListener("online", end, { signal: stop.signal });
    document.addEventListener("visibilitychange", end, { signal: stop.signal });
  });
}

/** Ask whether every model can answer, and say so at the top of the page. */
export async function showReadiness() {
  let document;
  try {
    const response = await fetch(address("readyz"), { cache: "no-store" });
    document = await response.json();
  } catch {
    events.dispatchEvent(new Event("lost"));
    return;
  }
  const reasons = document.reasons ?? [];
  if (document.status === "ready") show("ready", "Ready");
  else show("unready", "Not ready");
  showReasons(reasons);
}

// Requests that do not need what is missing are answered all the same.
function showReasons(reasons) {
  const before = byId("reasons");
  if (before?.textContent === reasons.join("")) return;
  before?.remove();
  if (!reasons.length) return;
  const items = reasons.map((text) => el("li", { text }));
  byId("notices").append(el("ul", { id: "reasons", class: "notice bad", role: "list", "aria-label": "Why the server is not ready" }, ...items));
}

function show(state, text) {
  const shown = byId("server");
  if (shown.dataset.state === state && shown.textContent === text) return;
  shown.dataset.state = state;
  shown.textContent = text;
}
