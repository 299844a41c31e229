// What differs between two answers: before and after an edit or an event, or by two configurations.
import { code, h, name, unseen } from "./dom.js";
import { pill, reasons } from "./experiences.js";
import { ruleTree } from "./rules.js";
import { answerOf, json, nameOf, plural, shorten } from "./words.js";

const MOST_ROWS = 200;

const byId = (list) => new Map(list.map((one) => [one.id, one]));

/** Pairs (before, after) of things by id, in the order of the second, then what only the first
 * has. */
const pairs = (before, after) => {
  const old = byId(before);
  const all = after.map((one) => [old.get(one.id) ?? null, one]);
  const kept = byId(after);
  return [...all, ...before.filter((one) => !kept.has(one.id)).map((one) => [one, null])];
};

const gets = (experience) => experience === null ? "none" : json([
  experience.outcome === "selected", experience.variantIndex ?? null, experience.variants ?? null,
  (experience.changes ?? []).map(({ key, value }) => [key, value]),
]);

const values = (changes) => {
  const found = new Map();
  for (const change of changes) {
    if (!found.has(change.key)) found.set(change.key, change.value);
  }
  return found;
};

const flat = (value, path, found) => {
  if (value !== null && typeof value === "object" && !Array.isArray(value)
    && Object.keys(value).length) {
    for (const [key, part] of Object.entries(value)) {
      flat(part, path ? `${path}.${key}` : key, found);
    }
  } else if (path) found.set(path, json(value));
  return found;
};

/** What changed in the profile itself: [path, before, after] of every value, as JSON or null. */
const profileDifferences = (before, after) => {
  const [old, now] = [before, after].map(({ profile, device }) => {
    const found = flat(profile ?? {}, "", new Map());
    found.delete("random");
    found.delete("audiences");
    if (device) found.set("device", json(device));
    return found;
  });
  return [...new Set([...old.keys(), ...now.keys()])]
    .filter((path) => old.get(path) !== now.get(path) && (old.get(path) ?? "{}")
      !== (now.get(path) ?? "{}"))
    .map((path) => [path, old.get(path) ?? null, now.get(path) ?? null]);
};

/** Everything that differs. `before` and `after` hold `explanation`, `selection`, and perhaps
 * `profile` and `device`. */
export const differences = (before, after) => {
  const both = (key) => pairs(before.explanation[key], after.explanation[key]);
  const experiences = both("experiences");
  const audiences = both("audiences");
  const [old, now] = [before, after].map(({ selection }) => values(selection.changes));
  const keys = [...new Set([...old.keys(), ...now.keys()])];
  return {
    experiences: experiences.filter(([one, other]) => gets(one) !== gets(other)
      && !(one === null && other.outcome !== "selected")
      && !(other === null && one.outcome !== "selected")),
    audiences: audiences.filter(([one, other]) =>
      Boolean(one?.matched) !== Boolean(other?.matched)),
    values: keys.filter((key) => json(old.get(key)) !== json(now.get(key)))
      .map((key) => [key, old, now].map((one, i) => (i ? (one.has(key) ? one.get(key) : undefined)
        : one))),
    profile: before.profile && after.profile ? profileDifferences(before, after) : [],
    compared: experiences.length,
  };
};

/** The ids of what differs, to mark it elsewhere. */
export const idsOf = (list) => new Set(list.map(([one, other]) => (other ?? one).id));

/** How much differs, in words. */
export const differing = (found) => {
  const counts = [[found.experiences.length, "experience"], [found.audiences.length, "audience"],
    [found.values.length, "value"]];
  const total = counts.reduce((sum, [number]) => sum + number, 0);
  if (!total) return "Nothing differs that a visitor would notice";
  const parts = counts.filter(([number]) => number).map(([number, one]) => plural(number, one));
  return `${parts.join(", ")} ${total === 1 ? "differs" : "differ"}`;
};

const arrow = () => [h("span", { class: "arrow", "aria-hidden": "true" }, "→"), unseen("becomes")];

const half = (title, thing, body) => h("div", {}, h("h3", {}, title),
  thing === null ? h("p", { class: "soft" }, "The configuration has none.") : body(thing));

const experienceLine = ([one, other], before, after, titles) => h("details", {
  class: "line", "data-id": (other ?? one).id,
},
h("summary", {},
  h("span", { class: "title" }, name(nameOf(other ?? one)),
    one && other && answerOf(one) === answerOf(other)
      ? h("span", { class: "reason" }, "shows something else") : null),
  h("span", { class: "way" }, pill(one), arrow(), pill(other))),
h("div", { class: "inside halves" },
  half(titles[0], one, (x) => reasons(x, before.explanation, "")),
  half(titles[1], other, (x) => reasons(x, after.explanation, ""))));

const audienceWord = (audience) => audience === null ? "no such audience"
  : audience.matched ? "in" : "out";

const audienceLine = ([one, other], titles) => h("details", {
  class: "line", "data-id": (other ?? one).id,
},
h("summary", {},
  h("span", { class: "title" }, name(nameOf(other ?? one)),
    h("span", { class: "reason" }, "audience")),
  h("span", { class: "way" }, [one, other].map((side, i) => [i ? arrow() : null,
    h("span", { class: side?.matched ? "pill chosen" : "pill out" }, audienceWord(side))]))),
h("div", { class: "inside halves" },
  half(titles[0], one, (x) => ruleTree(x.rule, "")),
  half(titles[1], other, (x) => ruleTree(x.rule, ""))));

const valueRows = (rows, titles, caption) => h("table", { class: "differs" },
  h("caption", {}, caption),
  h("thead", {}, h("tr", {}, h("th", { scope: "col" }, unseen("Name")),
    titles.map((title) => h("th", { scope: "col" }, title)))),
  h("tbody", {}, rows.slice(0, MOST_ROWS).map(([key, ...sides]) => h("tr", {},
    h("th", { scope: "row" }, code(key)),
    sides.map((side) => h("td", {}, side === null || side === undefined
      ? h("span", { class: "soft" }, "–") : code(shorten(side))))))));

/** The section. `titles` name the two sides; `note` says what was compared. */
export const differenceSection = (found, before, after, { id, title, titles, note, close }) => {
  const total = found.experiences.length + found.audiences.length + found.values.length;
  return h("section", { id, class: total ? "differences" : "differences none",
    "aria-labelledby": `${id}-title` },
  h("div", { class: "heading" },
    h("h2", { id: `${id}-title` }, `${title} `, h("span", { class: "of" },
      differing(found))), close),
  note,
  found.experiences.length || found.audiences.length ? h("div", { class: "lines" },
    found.experiences.map((pair) => experienceLine(pair, before, after, titles)),
    found.audiences.map((pair) => audienceLine(pair, titles))) : null,
  found.values.length ? valueRows(found.values.map(([key, one, other]) => [key,
    one === undefined ? null : json(one), other === undefined ? null : json(other)]),
  titles, "Values") : null,
  found.profile.length ? h("details", { class: "fold" },
    h("summary", {}, `${plural(found.profile.length, "value")} of the profile changed`),
    valueRows(found.profile, titles, "Profile")) : null);
};
