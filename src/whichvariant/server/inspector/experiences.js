// What every experience decides for the profile, and why.
import { code, figure, h, mark, name } from "./dom.js";
import { ruleTree } from "./rules.js";
import { distributionScale, patch, smallScale, trafficScale } from "./scales.js";
import { answerOf, apart, capital, count, json, nameOf, shorten, variant } from "./words.js";

/** One step of the decision; `yes` null: it does not count. */
const step = (yes, title, ...rest) => {
  const kind = yes === null ? "step" : yes ? "step yes" : "step no";
  const said = yes === null ? null : mark(yes, yes ? "yes:" : "no:");
  return h("li", { class: kind }, h("p", { class: "what" }, said, " ", title), rest);
};

const audienceStep = (experience, explanation, path) => {
  const { id, matched } = experience.audience;
  if (id === null) return step(true, "Audience: everyone");
  const number = explanation.audiences.findIndex((one) => one.id === id);
  const audience = explanation.audiences[number];
  if (!audience) return step(matched, ["Audience ", name(id)]);
  return step(matched, [matched ? "In the audience " : "Not in the audience ",
    name(nameOf(audience))],
  ruleTree(audience.rule, path ? `${path}.audiences.${number}.rule` : ""));
};

const trafficStep = (traffic, path, counts) => {
  const [drawn, limit] = apart(traffic.draw, traffic.allocation);
  const title = [`${traffic.in ? "In" : "Not in"} the traffic: draw `,
    figure(`${path}.traffic.draw`, traffic.draw, drawn),
    traffic.in ? " is below " : " is not below ",
    figure(`${path}.traffic.allocation`, traffic.allocation, limit)];
  return step(counts ? traffic.in : null, title, trafficScale(traffic),
    h("p", { class: "soft exact" }, "hash ", figure(`${path}.traffic.hash`, traffic.hash), "; the ",
      figure(`${path}.traffic.hashesIn`, traffic.hashesIn, count(traffic.hashesIn)),
      " lowest are in"));
};

const distributionStep = (experience, path, counts) => {
  const { distribution, sticky } = experience;
  const used = sticky && sticky.used ? sticky.stored : distribution.index;
  const title = ["Distribution: draw ",
    figure(`${path}.distribution.draw`, distribution.draw, distribution.draw.toFixed(4)),
    " falls to ", variant(distribution.index)];
  const kept = sticky && sticky.stored !== null;
  const words = !sticky ? null : kept
    ? sticky.used
      ? `Sticky: the stored ${variant(sticky.stored)} counts instead of the draw.`
      : `Sticky: the stored variant ${json(sticky.stored)} does not exist, so the draw counts.`
    : "Sticky: nothing is stored yet; a component event will store the choice.";
  return step(counts ? true : null, title, distributionScale(distribution, used),
    h("p", { class: "soft exact" }, "hash ",
      figure(`${path}.distribution.hash`, distribution.hash)),
    words ? h("p", { class: "sticky" }, words) : null);
};

/** Where one entry is replaced, and which values are set. */
const shown = (experience) => {
  const entries = Object.entries(experience.variants);
  return h("ul", { class: "shown" },
    entries.map(([baseline, entry]) => h("li", {},
      h("span", { class: "soft" }, "entry "), code(baseline),
      entry === baseline ? h("span", { class: "soft" }, " stays as it is")
        : [" → ", entry ? code(entry) : h("span", {}, "nothing (the empty variant)")])),
    experience.changes.map((change) => h("li", {},
      h("span", { class: "soft" }, "value "), code(change.key), " = ",
      code(shorten(json(change.value))))),
    entries.length || experience.changes.length ? null
      : h("li", { class: "soft" }, "nothing that can be shown"));
};

/** Why one experience decides as it does. `path`: where the explanation stands, "" for nowhere. */
export const reasons = (experience, explanation, path) => {
  const number = explanation.experiences.indexOf(experience);
  const at = path ? `${path}.experiences.${number}` : "";
  const matched = experience.audience.matched;
  return h("ol", { class: "steps" },
    audienceStep(experience, explanation, path),
    trafficStep(experience.traffic, at, matched),
    distributionStep(experience, at, matched && experience.traffic.in),
    experience.outcome === "selected" ? step(null, [patch(experience.variantIndex), " ",
      capital(variant(experience.variantIndex))], shown(experience)) : null);
};

const because = (experience, explanation) => {
  const { id, matched } = experience.audience;
  const audience = explanation.audiences.find((one) => one.id === id);
  const who = id === null ? "everyone" : name(audience ? nameOf(audience) : id);
  if (!matched) return ["not in ", who];
  if (experience.outcome !== "selected") {
    const [drawn, limit] = apart(experience.traffic.draw, experience.traffic.allocation);
    return `draw ${drawn} is not below the traffic, ${limit}`;
  }
  return [id === null ? who : ["in ", who], experience.sticky?.used ? " · sticky choice" : ""];
};

/** The pill that says what a visitor gets. */
export const pill = (experience) => {
  if (experience === null) return h("span", { class: "pill none" }, answerOf(null));
  const chosen = experience.outcome === "selected";
  return h("span", { class: chosen ? "pill chosen" : "pill out" },
    chosen ? patch(experience.variantIndex) : null,
    chosen ? capital(answerOf(experience)) : "out");
};

const line = (experience, explanation, changed) => {
  const chosen = experience.outcome === "selected";
  const reason = because(experience, explanation);
  return h("details", {
    class: chosen ? "line chosen" : "line", "data-id": experience.id,
    "data-words": `${experience.name} ${experience.id}`.toLowerCase(),
  },
  h("summary", {},
    h("span", { class: "title" }, name(nameOf(experience)),
      experience.sticky ? h("span", { class: "badge" }, "sticky") : null,
      changed ? h("span", { class: "badge new" }, "differs") : null,
      h("span", { class: "reason" }, reason)),
    smallScale(experience),
    pill(experience)),
  h("div", { class: "inside" },
    h("p", { class: "soft id" }, code(experience.id), " · ",
      experience.type === "nt_experiment" ? "experiment" : "personalisation"),
    reasons(experience, explanation, "explanation")));
};

/** The section: those selected first, each list in the order of the answer. */
export const experienceSection = (explanation, changed) => {
  const all = explanation.experiences;
  const selected = all.filter((one) => one.outcome === "selected");
  const others = all.filter((one) => one.outcome !== "selected");
  const lines = (some) => some.map((one) => line(one, explanation, changed.has(one.id)));
  return h("section", { id: "experiences", "aria-labelledby": "experiences-title" },
    h("h2", { id: "experiences-title" }, "Experiences ",
      h("span", { class: "of" }, `${count(selected.length)} of ${count(all.length)} selected`)),
    selected.length ? h("div", { class: "lines" }, lines(selected))
      : h("p", { class: "soft" }, "None is selected."),
    others.length ? [h("h3", {}, "Not selected ", h("span", { class: "of" }, count(others.length))),
      h("div", { class: "lines" }, lines(others))] : null);
};
