// Elements from values. Whatever profiles and configurations say becomes text, never markup: the
// page's policy forbids that any text be parsed.
import { visible } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";

const fill = (element, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [kind, listener] of Object.entries(value)) {
        element.addEventListener(kind, listener);
      }
    } else if (name === "value") {
      element.value = value;
    } else {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== ""));
  return element;
};

/** An HTML element; `on` among the attributes are listeners. */
export const h = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children);

/** An SVG element. */
export const s = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

export const byId = (id) => document.getElementById(id);

/** A name of somebody else's choice: its direction stays its own, and what is unseen is shown. */
export const name = (text, attributes = {}) => h("bdi", attributes, visible(text));

/** An id, or a value as JSON. */
export const code = (text, attributes = {}) => h("code", attributes, name(text));

/** What only those hear who do not see. */
export const unseen = (words) => h("span", { class: "unseen" }, words);

/** A number that programs can check: `path` says where in the data it stands. */
export const figure = (path, value, words = String(value)) =>
  h("span", { "data-f": path, "data-v": String(value) }, words);

export const mark = (yes, words = yes ? "met" : "not met") =>
  h("span", { class: yes ? "mark yes" : "mark no" },
    h("span", { "aria-hidden": "true" }, yes ? "✓" : "✗"), unseen(words));

/** Show what is wrong with a field, beside it; no words: nothing is. */
export const complain = (input, place, words) => {
  place.textContent = words ? visible(words) : "";
  place.hidden = !words;
  if (!input) return;
  if (words) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
};
