// An audience's rule as a tree: every part with what it wants, what the profile has, and whether
// that fits.
import { code, h, mark, name } from "./dom.js";
import { json, operator, shorten } from "./words.js";

const MOST_LEAVES = 400;

const leaf = (rule, path) => {
  const wanted = rule.operand === null || rule.operand === undefined ? null
    : code(shorten(json(rule.operand)), { class: "wanted" });
  const has = "actual" in rule
    ? [" — is ", typeof rule.actual === "number"
      ? code(json(rule.actual), { "data-f": `${path}.actual`, "data-v": json(rule.actual) })
      : code(shorten(json(rule.actual)))]
    : " — is missing";
  return h("li", { class: rule.matched ? "leaf met" : "leaf" },
    mark(rule.matched), " ",
    h("span", {},
      name(shorten(rule.attribute, 300), { class: "attribute" }), " ",
      h("span", { class: "operator" }, operator(rule.operator)), wanted ? " " : null, wanted,
      h("span", { class: "actual" }, has)));
};

const node = (rule, path, left) => {
  for (const [key, words] of [["any", "any of"], ["all", "all of"]]) {
    if (!(key in rule)) continue;
    const parts = rule[key];
    if (parts.length === 1) return node(parts[0], `${path}.${key}.0`, left);
    return h("li", {}, mark(rule.matched), " ",
      h("span", { class: "join" }, parts.length ? words : `${words} nothing`),
      parts.length ? h("ul", {}, parts.map((part, i) => node(part, `${path}.${key}.${i}`, left)))
        : null);
  }
  if ("not" in rule) {
    return h("li", {}, mark(rule.matched), " ", h("span", { class: "join" }, "not"),
      h("ul", {}, node(rule.not, `${path}.not`, left)));
  }
  left.count -= 1;
  if (left.count < 0) return left.count === -1 ? h("li", {}, "… and more") : null;
  return leaf(rule, path);
};

/** The tree; `path` is where the rule stands in the data. */
export const ruleTree = (rule, path) =>
  h("ul", { class: "rule" }, node(rule, path, { count: MOST_LEAVES }));

/** Every attribute that rules read, with which the editor offers names. */
export const attributesOf = (rule, found = new Set()) => {
  for (const part of rule.any ?? rule.all ?? (rule.not ? [rule.not] : [])) {
    attributesOf(part, found);
  }
  if (rule.attribute) found.add(rule.attribute);
  return found;
};
