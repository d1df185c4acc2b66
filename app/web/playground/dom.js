// Builds elements. Text goes in as text, never as markup: file names and classes may hold any.

/**
 * Make an element.
 * @param {string} tag - its name
 * @param {object} given - attributes; `on` holds listeners, `text` the text; null, undefined and
 *   false leave an attribute out, true makes it empty
 * @param {...(Node|string|null)} children - what it contains
 */
export function el(tag, given = {}, ...children) {
  return fill(document.createElement(tag), given, children);
}

/** Make an element of SVG, as `el` does. */
export function svg(tag, given = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), given, children);
}

function fill(element, { on = {}, text, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value);
    }
  }
  for (const [name, listener] of Object.entries(on)) element.addEventListener(name, listener);
  if (text !== undefined) element.textContent = text;
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Say something to those who do not see the page. */
export function announce(text) {
  byId("announce").textContent = text;
}
