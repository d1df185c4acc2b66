// Asks for an API key where the server does, or for another one. It is kept until the tab is
// closed, no longer.

import { events, hasKey, setKey } from "./api.js";
import { byId, el } from "./dom.js";

/**
 * Show a field for the key as soon as the server answers 401 or 403, or somebody wants to give one.
 * @param {function} onKey - called once another key is given
 */
export function watchAccess(onKey) {
  const changed = () => {
    showButton();
    onKey();
  };
  events.addEventListener("denied", ({ detail }) => showForm(detail.problem.detail, changed));
  events.addEventListener("key-wanted", () => {
    showForm("The key is kept until this tab is closed.", changed, document.activeElement);
    byId("key").focus();
  });
  byId("key-change").addEventListener("click", wantKey);
  showButton();
}

/** Let another key be given in place of the one in use. */
export function wantKey() {
  events.dispatchEvent(new Event("key-wanted"));
}

function showButton() {
  byId("key-change").hidden = !hasKey();
}

// `opener` is what asked for it, and has the focus again where the key stays as it is.
function showForm(why, onKey, opener = null) {
  const shown = byId("key-why");
  if (shown) {
    // What the server said of the last key says more.
    if (!opener) shown.textContent = why;
    return;
  }
  const field = el("input", {
    id: "key", name: "key", type: "password", autocomplete: "off", spellcheck: "false",
    // Nothing else can stand in a request: the browser would refuse to send it.
    pattern: "\\s*[!-~]+\\s*", title: "A key has no spaces and no letters with accents.",
    required: true, "aria-describedby": "key-why",
  });
  const use = (key) => {
    form.remove();
    setKey(key);
    onKey();
  };
  const submit = (event) => {
    event.preventDefault();
    use(field.value.trim());
  };
  const leave = () => {
    form.remove();
    opener.focus();
  };
  const form = el("form", { class: "notice key", id: "key-form", on: { submit } },
    el("label", { for: "key", text: "API key" }),
    field,
    el("button", { type: "submit", class: "main", text: "Use this key" }),
    hasKey() ? el("button", { type: "button", text: "Forget the key", on: { click: () => use("") } }) : null,
    opener && el("button", { type: "button", text: "Leave it as it is", on: { click: leave } }),
    el("p", { id: "key-why", role: "status", text: why }));
  byId("notices").append(form);
}
