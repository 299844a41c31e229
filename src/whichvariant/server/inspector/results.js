// The results: what stands in the headline and beside the profile.
import { audienceSection } from "./audiences.js";
import { changeSection } from "./changes.js";
import { differenceSection, differences, differing, idsOf } from "./differences.js";
import { byId, code, figure, h, name } from "./dom.js";
import { experienceSection } from "./experiences.js";
import { inShort } from "./facts.js";
import { pastSection } from "./past.js";
import { count, plural } from "./words.js";

const MODES = {
  stored: ["Stored profile", ""],
  past: ["Stored profile, as of then", "past"],
  sent: ["Stored just now", "real"],
  edited: ["Edited, nothing is stored", "trial"],
  madeUp: ["Made up, nothing is stored", "trial"],
  preflight: ["Preflight, nothing is stored", "trial"],
};

const number = (value, of, words, target, path) => h("a", { class: "number", href: `#${target}`,
  on: { click: (event) => { event.preventDefault(); goTo(byId(target)); } } },
h("b", {}, figure(path, value, count(value))),
h("span", {}, of === null ? "" : `of ${count(of)} `, words));

/** Bring a part of the page into view, and the keyboard with it. */
export const goTo = (element) => {
  if (!element) return;
  const heading = element.querySelector("h2") ?? element;
  heading.setAttribute("tabindex", "-1");
  heading.focus({ preventScroll: true });
  element.scrollIntoView({ block: "start" });
};

/** How many there are of everything. */
export const totals = ({ explanation, selection }) => ({
  selected: selection.experiences.length,
  onVariant: selection.experiences.filter((one) => one.variantIndex > 0).length,
  experiences: explanation.experiences.length,
  matched: selection.audiences.length,
  audiences: explanation.audiences.length,
  changes: selection.changes.length,
});

/** The bar that says what is shown: `words` add to it, `undo` is the way back. */
export const fillBar = (bar, { mode, words, undo, note }) => {
  const [title, kind] = MODES[mode];
  bar.className = `mode ${kind}`;
  bar.dataset.mode = mode;
  bar.replaceChildren(
    h("p", {}, h("b", {}, title), words ? h("span", {}, " · ", words) : null,
      note ? h("span", { class: "warn" }, " ", note) : null),
    ...(undo ? [h("button", { type: "button", class: "plain small-button",
      on: { click: undo.act } }, undo.words)] : []));
};

/** The headline: who, and how much of everything. */
export const headline = (view, key) => {
  const found = totals(view);
  return [
    h("div", { class: "who" },
      h("h1", { tabindex: "-1", id: "who" }, name(key)),
      h("p", { class: "soft" }, inShort(view)),
      key === view.profile.stableId ? null
        : h("p", { class: "soft" }, code(view.profile.stableId))),
    h("div", { class: "numbers" },
      number(found.selected, found.experiences, "experiences selected", "experiences", "selected"),
      number(found.onVariant, null, "on a variant", "experiences", "onVariant"),
      number(found.matched, found.audiences, "audiences matched", "audiences", "matched"),
      number(found.changes, null, found.changes === 1 ? "value set" : "values set", "changes",
        "changes")),
  ];
};

/** The same in a sentence, for those who listen. */
export const sentence = (view, found) => {
  const all = totals(view);
  return `${all.selected} of ${plural(all.experiences, "experience")} selected, `
    + `${all.matched} of ${plural(all.audiences, "audience")} matched, `
    + `${plural(all.changes, "value")} set.${found ? ` ${differing(found)}.` : ""}`;
};

const TITLES = {
  edited: ["What the edits change", ["Stored", "Edited"]],
  preflight: ["What the event would change", ["Before", "After"]],
  sent: ["What the event changed", ["Before", "After"]],
};

const against = (view, other, close) => {
  const found = differences(view, other.view);
  const { findings, findingCount, uncounted } = other;
  return differenceSection(found, view, other.view, {
    id: "comparison", title: "What differs", titles: ["Served", "Other"],
    close: h("button", { type: "button", class: "plain small-button", on: { click: close } },
      "Close the comparison"),
    note: [
      h("p", { class: "soft" }, "The served configuration, ",
        code(view.explanation.digest.slice(0, 12)), ", against ", name(other.label), ", ",
        code(other.view.explanation.digest.slice(0, 12)),
        view.explanation.digest === other.view.explanation.digest ? ", which says the same" : "",
        `. ${plural(found.compared, "experience")} compared.`),
      uncounted ? h("p", { class: "notice" }, `${plural(uncounted, "activity counter")} of the`
        + " other configuration cannot be known for this profile and stand at 0.") : null,
      findingCount ? h("details", { class: "fold" },
        h("summary", {}, `${plural(findingCount, "finding")} in the other configuration`),
        h("ul", { class: "findings" }, findings.map((one) => h("li", {}, name(one))))) : null,
    ],
  });
};

/**
 * All sections. `before` is what the view is to be compared with, if with something; `other` what
 * another configuration gives. Gives the elements, and what differs.
 */
export const results = (view, { mode, before, other, closeOther, goBack }) => {
  const found = before ? differences(before, view) : null;
  const [title, titles] = TITLES[mode] ?? [];
  const experiences = idsOf(found?.experiences ?? []);
  const audiences = idsOf(found?.audiences ?? []);
  return {
    found,
    sections: [
      other ? against(view, other, closeOther) : null,
      found && title ? differenceSection(found, before, view, { id: "differences", title, titles,
        note: null, close: null }) : null,
      experienceSection(view.explanation, experiences),
      audienceSection(view.explanation, audiences),
      changeSection(view.selection, view.explanation),
      view.history ? pastSection(view.history, view.historyEvents, goBack) : null,
    ].filter(Boolean),
  };
};
