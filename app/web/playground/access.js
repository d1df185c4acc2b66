// Asks for an API key where the server does. It is kept until the tab is closed, no longer.

import { events, hasKey, setKey } from "./api.js";
import { byId, el } from "./dom.js";

/**
 * Show a field for the key as soon as the server answers 401 or 403.
 * @param {function} onKey - called once another key is given
 */
export function watchAccess(onKey) {
  events.addEventListener("denied", ({ detail }) => showForm(detail.problem, onKey));
}

function showForm(problem, onKey) {
  const shown = byId("key-why");
  if (shown) {
    shown.textContent = problem.detail;
    return;
  }
  const field = el("input", {
    id: "key", name: "key", type: "password", autocomplete: "off", spellcheck: "false",
    // Nothing else can stand in a request: the browser would refuse to send it.
    pattern: "\\s*[!-~]+\\s*", title: "A key has no spaces and no letters with accents.",
    required: true, "aria-describedby": "key-why",
  });
  const submit = (event) => {
    event.preventDefault();
    setKey(field.value.trim());
    form.remove();
    onKey();
  };
  const form = el("form", { class: "notice key", id: "key-form", on: { submit } },
    el("label", { for: "key", text: "API key" }),
    field,
    el("button", { type: "submit", class: "main", text: "Use this key" }),
    hasKey() ? el("button", { type: "button", text: "Forget the key", on: { click: forget } }) : null,
    el("p", { id: "key-why", role: "status", text: problem.detail }));
  byId("notices").append(form);

  function forget() {
    setKey("");
    form.remove();
    onKey();
  }
}
