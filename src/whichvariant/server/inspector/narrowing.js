// Narrowing the lists by a word, opening and closing all of them, and keeping what is open while
// the results are drawn anew.
import { h } from "./dom.js";
import { plural } from "./words.js";

const keyOf = (line) => `${line.closest("section").id} ${line.dataset.id ?? ""}`;

export class Narrowing {
  constructor(root) {
    this.root = root;
    this.status = h("output", { "aria-live": "polite", class: "soft" });
    this.input = h("input", { type: "search", id: "narrow", autocomplete: "off",
      placeholder: "Name or id", "aria-label": "Narrow experiences and audiences by name or id",
      on: { input: () => this.apply(), keydown: (event) => {
        if (event.key !== "Escape" || !this.input.value) return;
        event.preventDefault();
        this.input.value = "";
        this.apply();
      } } });
    const all = (open) => () => {
      for (const line of this.lines()) if (!line.hidden) line.open = open;
    };
    this.element = h("div", { class: "tools", role: "search", "aria-label": "Results" },
      this.input,
      h("button", { type: "button", class: "plain small-button", on: { click: all(true) } },
        "Open all"),
      h("button", { type: "button", class: "plain small-button", on: { click: all(false) } },
        "Close all"),
      this.status);
  }

  lines() {
    return [...this.root.querySelectorAll("details.line[data-words]")];
  }

  apply() {
    const query = this.input.value.trim().toLowerCase();
    const lines = this.lines();
    for (const line of lines) line.hidden = query !== "" && !line.dataset.words.includes(query);
    const left = lines.filter((line) => !line.hidden).length;
    this.status.textContent = query ? `${plural(left, "match", "matches")}` : "";
  }

  /** Replace the results; what was open stays so. */
  redraw(sections) {
    const open = new Set([...this.root.querySelectorAll("details.line[open]")].map(keyOf));
    this.root.replaceChildren(...sections);
    for (const line of this.root.querySelectorAll("details.line")) {
      if (open.has(keyOf(line))) line.open = true;
    }
    this.apply();
  }
}
