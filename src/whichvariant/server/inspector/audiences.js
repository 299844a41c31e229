// Which audiences the profile is in, and by what.
import { code, h, mark, name } from "./dom.js";
import { ruleTree } from "./rules.js";
import { count, nameOf, plural } from "./words.js";

const line = (audience, number, users, changed) => h("details", {
  class: audience.matched ? "line chosen" : "line", "data-id": audience.id,
  "data-words": `${audience.name} ${audience.id}`.toLowerCase(),
},
h("summary", {},
  mark(audience.matched, audience.matched ? "matched" : "not matched"),
  h("span", { class: "title" }, name(nameOf(audience)),
    changed ? h("span", { class: "badge new" }, "differs") : null),
  h("span", { class: "soft used" }, users.length ? plural(users.length, "experience") : "unused")),
h("div", { class: "inside" },
  h("p", { class: "soft id" }, code(audience.id)),
  ruleTree(audience.rule, `explanation.audiences.${number}.rule`),
  users.length ? h("p", { class: "soft" }, "Decides who is in ",
    users.map((one, i) => [i ? ", " : "", name(nameOf(one))]), ".") : null));

/** The section: those matched first. */
export const audienceSection = (explanation, changed) => {
  const all = explanation.audiences.map((audience, number) => [audience, number]);
  const users = new Map();
  for (const one of explanation.experiences) {
    users.set(one.audience.id, [...(users.get(one.audience.id) ?? []), one]);
  }
  const matched = all.filter(([audience]) => audience.matched);
  const sorted = [...matched, ...all.filter(([audience]) => !audience.matched)];
  return h("section", { id: "audiences", "aria-labelledby": "audiences-title" },
    h("h2", { id: "audiences-title" }, "Audiences ",
      h("span", { class: "of" }, `${count(matched.length)} of ${count(all.length)} matched`)),
    all.length ? h("div", { class: "lines" }, sorted.map(([audience, number]) =>
      line(audience, number, users.get(audience.id) ?? [], changed.has(audience.id))))
      : h("p", { class: "soft" }, "The configuration has none."));
};
