// The model, its version or label, and how many labels are shown.

import { askJson } from "./api.js";
import { byId, el } from "./dom.js";
import { count, percent, plural } from "./format.js";
import { problemCard } from "./problem.js";

export class Chooser {
  /** @param {function} onChange - called with what is chosen, whenever it changes */
  constructor(onChange) {
    this._onChange = onChange;
    this._models = [];
    this._default = null;
    this._model = byId("model");
    this._version = byId("version");
    this._labels = byId("labels");
    this._model.addEventListener("change", () => this._modelChanged());
    this._version.addEventListener("change", () => this._changed());
    this._labels.addEventListener("change", () => this._onChange({ isShownOnly: true }));
    byId("chooser").addEventListener("submit", (event) => event.preventDefault());
  }

  /** Ask the server what there is; what is chosen stays chosen where it still is there. */
  async load() {
    let answer;
    try {
      answer = await askJson("v1/models");
    } catch (error) {
      // Where a key is asked for, its field says so.
      const isDenied = [401, 403].includes(error.problem?.status);
      byId("about").replaceChildren(...(isDenied ? [] : [problemCard(error, { isCalm: true })]));
      return;
    }
    const before = this._key();
    this._models = answer.models;
    this._default = answer.default;
    this._fillModels();
    this._fillVersions();
    this._describe();
    if (this._key() !== before) this._onChange({ isShownOnly: false });
  }

  /** Parameters for a classification. */
  get query() {
    const [kind, value] = this._version.value.split(" ");
    const classes = this._shown()?.classes?.length ?? Infinity;
    const wanted = Number(this._labels.value) || classes;
    const most = Math.min(wanted, classes);
    return {
      model: this._model.value || null,
      version: kind === "version" ? value : null,
      label: kind === "label" ? value : null,
      top_k: Number.isFinite(most) ? most : null,
    };
  }

  get model() {
    return this._model.value || this._default;
  }

  get classes() {
    return this._shown()?.classes ?? [];
  }

  /** Choose another model, if it is there; say whether it is chosen now. */
  choose(name) {
    if (!this._models.some((model) => model.name === name)) return false;
    if (this._model.value !== name) {
      this._model.value = name;
      this._modelChanged({ isSilent: true });
    }
    return true;
  }

  _key() {
    return JSON.stringify([this._model.value, this._version.value, this._shown()?.version, this.classes]);
  }

  _modelChanged({ isSilent = false } = {}) {
    this._fillVersions();
    this._changed({ isSilent });
  }

  _changed({ isSilent = false } = {}) {
    this._describe();
    this._onChange({ isShownOnly: false, isSilent });
  }

  _current() {
    return this._models.find((model) => model.name === this._model.value);
  }

  // The version that answers, as far as one can know: a canary answers some of the requests.
  _shown() {
    const model = this._current();
    if (!model) return undefined;
    const [kind, value] = this._version.value.split(" ");
    const number = { version: Number(value), label: model.labels[value] }[kind];
    return model.versions.find((each) => each.version === (number ?? model.default_version));
  }

  _fillModels() {
    const wanted = this._model.value || this._default;
    const options = this._models.map(({ name, default_version: version }) =>
      el("option", { value: name, text: version === null ? `${name} (not ready)` : name }));
    this._model.replaceChildren(...options);
    this._model.value = this._models.some(({ name }) => name === wanted) ? wanted : this._default;
    this._model.disabled = this._models.length === 0;
  }

  _fillVersions() {
    const model = this._current();
    const wanted = this._version.value;
    const options = model ? versionOptions(model) : [];
    this._version.replaceChildren(...options);
    const isThere = [...this._version.options].some(({ value, disabled }) => value === wanted && !disabled);
    this._version.value = isThere ? wanted : "";
    this._version.disabled = !model;
  }

  _describe() {
    const version = this._shown();
    const about = byId("about");
    if (!version) {
      const reason = this._current()?.versions[0]?.reason;
      about.textContent = this._current() ? `No version of this model can answer: ${reason ?? "it is on its way"}.` : "";
      return;
    }
    const classes = version.classes ?? [];
    const accuracy = version.metrics?.test_accuracy;
    const facts = [
      `Knows ${plural(classes.length, "class", "classes")}: ${listed(classes)}.`,
      version.parameters ? ` ${count(version.parameters)} parameters` : "",
      accuracy ? `, right on ${percent(accuracy)} of its test pictures` : "",
      version.engine ? `; ${version.engine} in ${version.precision}` : "",
    ];
    about.textContent = `${facts.join("").trim()}${facts.slice(1).some(Boolean) ? "." : ""}`;
  }
}

const SHOWN_CLASSES = 12;

function listed(classes) {
  const shown = classes.slice(0, SHOWN_CLASSES).join(", ");
  const more = classes.length - SHOWN_CLASSES;
  return more > 0 ? `${shown} and ${count(more)} more` : shown;
}

function versionOptions(model) {
  const byDefault = model.default_version === null ? "Default" : `Default (${model.default_version})`;
  const options = [el("option", { value: "", text: byDefault })];
  const labels = Object.entries(model.labels).map(([label, version]) =>
    el("option", { value: `label ${label}`, text: `${label} (${version})` }));
  const versions = model.versions.map(({ version, state }) =>
    el("option", {
      value: `version ${version}`,
      text: state === "AVAILABLE" ? `Version ${version}` : `Version ${version}: ${state}`,
      disabled: state !== "AVAILABLE",
    }));
  if (labels.length) options.push(el("optgroup", { label: "Labels" }, ...labels));
  if (versions.length) options.push(el("optgroup", { label: "Versions" }, ...versions));
  return options;
}
