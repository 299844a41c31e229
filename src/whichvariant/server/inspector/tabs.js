// Tabs as screen readers and keyboards know them: arrows move, Home and End jump.
import { h } from "./dom.js";

export class Tabs {
  /** `all` are pairs (key, title); `chosen(key)` is called when one is shown. */
  constructor(list, panels, all, chosen) {
    this.chosen = chosen;
    this.shown = "";
    this.tabs = new Map();
    this.panels = new Map();
    for (const [key, title] of all) {
      this.tabs.set(key, h("button", { type: "button", role: "tab", id: `tab-${key}`,
        "aria-controls": `panel-${key}`, on: { click: () => this.show(key) } }, title));
      this.panels.set(key, h("div", { role: "tabpanel", id: `panel-${key}`,
        "aria-labelledby": `tab-${key}`, class: "card", hidden: true }));
    }
    list.replaceChildren(...this.tabs.values());
    panels.replaceChildren(...this.panels.values());
    list.addEventListener("keydown", (event) => this.move(event));
  }

  panel(key) {
    return this.panels.get(key);
  }

  show(key, tell = true) {
    const known = this.tabs.has(key) ? key : this.tabs.keys().next().value;
    this.shown = known;
    for (const [one, tab] of this.tabs) {
      tab.setAttribute("aria-selected", String(one === known));
      tab.tabIndex = one === known ? 0 : -1;
      this.panels.get(one).hidden = one !== known;
    }
    if (tell) this.chosen(known);
  }

  move(event) {
    const keys = [...this.tabs.keys()];
    const now = keys.indexOf(this.shown);
    const next = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: -1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    const key = keys.at(next % keys.length);
    this.show(key);
    this.tabs.get(key).focus();
  }
}
