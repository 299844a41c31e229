// What the visitor sees: entries that are replaced, and values that are set. This is the API's part
// of the answer, not the explanation's.
import { code, h, name } from "./dom.js";
import { count, json, nameOf, pretty, shorten, variant } from "./words.js";

const table = (caption, heads, rows) => h("table", {},
  h("caption", { class: "unseen" }, caption),
  h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
  h("tbody", {}, rows));

/** The section, from the API's `experiences` and `changes`. */
export const changeSection = (selection, explanation) => {
  const names = new Map(explanation.experiences.map((one) => [one.id, nameOf(one)]));
  const from = (id, index) => h("small", {}, "by ", name(names.get(id) ?? id),
    ` · ${variant(index)}`);
  const entries = selection.experiences.flatMap((record) => Object.entries(record.variants)
    .filter(([baseline, entry]) => baseline !== entry)
    .map(([baseline, entry]) => [baseline, entry, record]));
  return h("section", { id: "changes", "aria-labelledby": "changes-title" },
    h("h2", { id: "changes-title" }, "What is shown ",
      h("span", { class: "of" }, `${count(selection.changes.length)} values, `
        + `${count(entries.length)} entries replaced`)),
    selection.changes.length ? table("Values", ["Key", "Value"],
      selection.changes.map((change) => h("tr", { "data-key": change.key },
        h("th", { scope: "row" }, code(change.key),
          from(change.meta.experienceId, change.meta.variantIndex)),
        h("td", {}, code(shorten(json(change.value), 400)))))) : null,
    entries.length ? table("Entries", ["Entry", "Shows"],
      entries.map(([baseline, entry, record]) => h("tr", {},
        h("th", { scope: "row" }, code(baseline), from(record.experienceId, record.variantIndex)),
        h("td", {}, entry ? code(entry) : "nothing (the empty variant)")))) : null,
    h("details", { class: "fold" }, h("summary", {}, "The answer as JSON"),
      h("pre", { class: "json" }, pretty(selection))));
};
