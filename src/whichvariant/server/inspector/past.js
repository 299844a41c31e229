// What happened to a stored profile: its newest events.
import { h, name } from "./dom.js";
import { count, instant, json, pretty, shorten } from "./words.js";

const what = (event) => {
  const properties = event.properties ?? {};
  if (event.type === "page") return properties.path || properties.url;
  if (event.type === "track") return event.event;
  if (event.type === "screen") return properties.name;
  if (event.type === "identify") {
    return [event.userId, ...Object.entries(event.traits ?? {})
      .map(([key, value]) => `${key}=${json(value)}`)].filter(Boolean).join(" ");
  }
  if (event.type === "component") {
    return `${event.componentId}${event.experienceId ? ` of ${event.experienceId}` : ""}`;
  }
  return "";
};

const row = ({ atMs, at, event }, goTo) => h("details", { class: "line past" },
  h("summary", {},
    h("time", { datetime: at, title: at }, instant(atMs)),
    h("span", { class: "title" }, h("b", {}, name(event.type)), " ",
      name(shorten(String(what(event) ?? ""), 200), { class: "soft" }))),
  h("div", { class: "inside" },
    h("p", {}, h("button", { type: "button", class: "plain small-button",
      on: { click: () => goTo(at) } }, "Show the profile as of then")),
    h("pre", { class: "json" }, pretty(event))));

/** The section; `goTo` is called with an instant to look at the profile as of then. */
export const pastSection = (history, kept, goTo) =>
  h("section", { id: "history", "aria-labelledby": "history-title" },
    h("h2", { id: "history-title" }, "History ",
      h("span", { class: "of" }, history.length < kept ? `the newest ${count(history.length)} of `
        + `${count(kept)} events` : `${count(history.length)} events`)),
    history.length ? h("div", { class: "lines" }, history.map((one) => row(one, goTo)))
      : h("p", { class: "soft" }, "No event is kept."));
