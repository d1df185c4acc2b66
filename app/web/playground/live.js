// What the server does now, for all its callers: drawn from /metrics while the page is looked at.

import { wantKey } from "./access.js";
import { LostError, ask, hasKey } from "./api.js";
import { Chart } from "./chart.js";
import { showReadiness } from "./connection.js";
import { byId, el } from "./dom.js";
import { duration, rate } from "./format.js";
import { problemCard } from "./problem.js";
import { buckets, increase, parse, quantile, total, without } from "./prometheus.js";

const EVERY_MS = 2000;
const SPAN_S = 300;
// Quantiles of fewer seconds are of a handful of requests.
const QUANTILES_OF_S = 10;
// Nobody is hurried by what the metrics would not tell.
const READINESS_EVERY_MS = 5000;

const isImage = ({ outcome }) => outcome === "ok";
const isClassification = ({ route }) => /\/classify(\/batch)?$|\/predict$/.test(route);

export class Live {
  /** @param {function} onVersions - called when a version has come, gone, or changed its state */
  constructor(onVersions) {
    this._onVersions = onVersions;
    this._timer = null;
    this._readings = [];
    this._points = [];
    this._states = null;
    this._isAllowed = true;
    this._round = 0;
    this._charts = [
      new Chart("Pictures per second", [""], rate, SPAN_S),
      new Chart("Time of an answer", ["p50", "p99"], (s) => duration(s === null ? null : s * 1000), SPAN_S),
      new Chart("Pictures waiting", [""], rate, SPAN_S),
      new Chart("Pictures in a batch", [""], rate, SPAN_S),
    ];
    byId("live-charts").append(...this._charts.map(({ element }) => element));
    document.addEventListener("visibilitychange", () => this._resume());
  }

  /** Begin, or begin again with another key, or once the server is back. */
  begin() {
    this._isAllowed = true;
    this._resume();
  }

  // One round at a time; none while nobody looks, or while the server is gone: begin() ends that.
  _resume() {
    clearTimeout(this._timer);
    this._round += 1;
    if (!document.hidden) this._go(this._round);
  }

  async _go(round) {
    const goesOn = await (this._isAllowed ? this._read(round) : this._ask());
    if (!goesOn || round !== this._round) return;
    const waitMs = this._isAllowed ? EVERY_MS : READINESS_EVERY_MS;
    this._timer = setTimeout(() => this._go(round), waitMs);
  }

  // Without metrics, this notices that the server is gone.
  async _ask() {
    await showReadiness();
    return true;
  }

  async _read(round) {
    let text;
    try {
      text = await (await ask("metrics", { isQuiet: true })).text();
    } catch (error) {
      if (error instanceof LostError || round !== this._round) return false;
      const isKeyWrong = [401, 403].includes(error.problem?.status);
      this._isAllowed = !isKeyWrong && error.problem?.status !== 404; // at the admin port
      const retry = hasKey() ? "Use another key" : "Give a key";
      const card = { isCalm: true, onRetry: isKeyWrong ? wantKey : null, retry };
      byId("live-note").replaceChildren(problemCard(error, card));
      byId("live-charts").hidden = !this._isAllowed;
      return true;
    }
    if (round !== this._round) return false; // the page was hidden meanwhile, or begun again
    byId("live-note").replaceChildren();
    byId("live-charts").hidden = false;
    this._take(reading(text));
    return true;
  }

  _take(now) {
    const before = this._readings.at(-1);
    // Another process counts, or a version has gone with its counts.
    const isAnew = now.startedS !== before?.startedS || now.images < before.images;
    if (isAnew) this._readings = [];
    this._readings.push(now);
    const span = this._readings.filter(({ atS }) => atS >= now.atS - QUANTILES_OF_S - 1);
    this._readings = span;
    this._points.push(point(span, now));
    this._points = this._points.filter(({ atS }) => atS >= now.atS - SPAN_S);
    this._charts.forEach((chart, index) => {
      chart.draw(this._points.map(({ atS, figures }) => ({ atS, values: figures[index] })), now.atS);
    });
    this._showStates(now.states);
  }

  _showStates(states) {
    const key = JSON.stringify(states);
    if (key === this._states) return;
    const isFirst = this._states === null;
    this._states = key;
    const head = ["Model", "Version", "State"].map((text) => el("th", { scope: "col", text }));
    const rows = states.map(({ model, version, state }) => el("tr", {},
      el("td", { text: model }),
      el("td", { text: version }),
      el("td", {}, el("span", { class: "state", "data-state": state, text: state }))));
    byId("versions").replaceChildren(
      el("caption", { class: "unseen", text: "State of every version" }),
      el("thead", {}, el("tr", {}, ...head)),
      el("tbody", {}, ...rows));
    if (!isFirst) {
      showReadiness();
      this._onVersions();
    }
  }
}

function reading(text) {
  const series = parse(text);
  const states = (series.get("keraserve_model_state") ?? [])
    .filter(({ value }) => value === 1)
    .map(({ labels: { model, version, state } }) => ({ model, version, state }))
    .sort((one, other) => one.model.localeCompare(other.model) || other.version - one.version);
  return {
    atS: performance.now() / 1000,
    startedS: total(series, "process_start_time_seconds"),
    images: total(series, "keraserve_images_total", isImage),
    waiting: total(series, "keraserve_queue_size"),
    batchSum: total(series, "keraserve_batch_size_sum"),
    batchCount: total(series, "keraserve_batch_size_count"),
    durations: buckets(series, "keraserve_request_duration_seconds", isClassification),
    failures: buckets(series, "keraserve_failed_request_duration_seconds", isClassification),
    states,
  };
}

// In the order of the charts.
function point(readings, now) {
  const before = readings.at(-2);
  const first = readings[0];
  const batches = now.batchCount - first.batchCount;
  const all = increase(first.durations, now.durations);
  const failed = increase(first.failures, now.failures);
  // Refusals come at once: with them, a server that refuses most would look fast.
  const counts = all && failed && without(all, failed);
  const figures = [
    [before ? (now.images - before.images) / (now.atS - before.atS) : null],
    counts ? [quantile(0.5, counts), quantile(0.99, counts)] : [null, null],
    [now.waiting],
    [batches > 0 ? (now.batchSum - first.batchSum) / batches : null],
  ];
  return { atS: now.atS, figures };
}
