// Why was this slow? The slowest and the last failed requests, asked for when somebody looks.

import { wantKey } from "./access.js";
import { askJson, hasKey } from "./api.js";
import { byId, el } from "./dom.js";
import { count, duration, plural } from "./format.js";
import { problemCard } from "./problem.js";
import { stages } from "./stages.js";

// More than one reads; the rest is at the route.
const MOST = 10;

export function watchRequests() {
  const details = byId("requests");
  details.addEventListener("toggle", () => details.open && load());
  byId("requests-again").addEventListener("click", load);
}

async function load() {
  const shown = byId("requests-shown");
  shown.setAttribute("aria-busy", "true");
  let parts;
  try {
    parts = lists(await askJson("v1/debug/requests", { isQuiet: true }));
  } catch (error) {
    // Without a key in use, one may be of no help: this machine itself needs none.
    const isDenied = hasKey() && [401, 403].includes(error.problem?.status);
    const onRetry = isDenied ? wantKey : load;
    const retry = isDenied ? "Use another key" : "Try again";
    parts = [problemCard(error, { isCalm: true, onRetry, retry })];
  }
  shown.replaceChildren(...parts);
  shown.removeAttribute("aria-busy");
}

function lists({ slowest, failed, window_s }) {
  const minutes = plural(Math.round((2 * window_s) / 60), "minute");
  return [
    ...list("Slowest", slowest, `Nothing was classified in the last ${minutes}.`),
    ...list("Failed last", failed, "Nothing has failed since the server started."),
  ];
}

function list(title, requests, nothing) {
  const shown = requests.slice(0, MOST);
  const kept = requests.length > MOST ? ` (${MOST} of ${count(requests.length)} kept)` : "";
  return [
    el("h3", { text: `${title}${kept}` }),
    shown.length ? el("ol", { class: "flights", "aria-label": title }, ...shown.map(flight))
      : el("p", { class: "quiet", text: nothing }),
  ];
}

function flight(request) {
  const { total_ms, decode_ms, queue_ms, execute_ms, rest_ms, status, error } = request;
  const isFailed = status >= 400;
  return el("li", {},
    el("p", { class: "verdict" },
      el("strong", { text: duration(total_ms) }),
      isFailed ? el("span", { class: "failed", text: failure(status, error) }) : null,
      el("span", { class: "quiet", text: what(request) })),
    ...stages([decode_ms, queue_ms, execute_ms, rest_ms]),
    el("p", { class: "mono quiet", text: facts(request) }));
}

function failure(status, error) {
  return status === 499 ? "the client left" : `${status} ${error ?? ""}`;
}

function what({ model, version, route, started_at }) {
  const who = model === null ? route : `${model}, version ${version}`;
  return `${who}, ${new Date(started_at).toLocaleTimeString()}`;
}

function facts({ request_id, queue_position, companions }) {
  return [
    queue_position === null ? "" : `place ${count(queue_position)} in the queue`,
    companions === null ? "" : companions ? `executed with ${plural(companions, "other")}` : "executed alone",
    `request ${request_id}`,
  ].filter(Boolean).join(" · ");
}
