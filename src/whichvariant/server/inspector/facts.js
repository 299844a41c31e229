// What is known of the profile, to read.
import { code, figure, h, name } from "./dom.js";
import { count, instant, json, plural, pretty, shorten, variant } from "./words.js";

const fact = (title, ...value) => h("div", {}, h("dt", {}, title), h("dd", {}, value));

const list = (values, none) => Object.keys(values).length
  ? h("ul", { class: "pairs" }, Object.entries(values).map(([key, value]) => h("li", {},
    name(key, { class: "key" }), " ", code(shorten(json(value), 300)))))
  : h("span", { class: "soft" }, none);

const placeWords = (location) => ["city", "region", "country"].map((key) => location[key])
  .filter(Boolean).join(", ") || location.countryCode || location.continent || "";

/** One line about a profile, for its headline. */
export const inShort = ({ profile, device }) => {
  const session = profile.session ?? {};
  const place = placeWords(profile.location ?? {});
  return [
    session.count ? `visit ${count(session.count)}` : "",
    session.isReturningVisitor ? "returning" : session.count ? "new" : "",
    device && device !== "unknown" ? device : "",
    place,
  ].filter(Boolean).map((part, i) => [i ? " · " : "", name(shorten(String(part), 80))]);
};

const sessionFacts = (session) => [
  fact("Session", `number ${count(session.count ?? 1)}, `,
    session.isReturningVisitor ? "returning visitor" : "new visitor",
    h("br"), h("span", { class: "soft" }, `${count(session.activeSessionLength ?? 0)} s so far, `
      + `${count(session.averageSessionLength ?? 0)} s on average`)),
  session.landingPage && (session.landingPage.url || session.landingPage.path)
    ? fact("Landing page", name(shorten(session.landingPage.url || session.landingPage.path, 200)))
    : null,
];

const activity = (counts, words) => {
  const rows = words.map((word, number) => [word, counts[number] ?? 0, number])
    .sort((a, b) => Number(b[1] > 0) - Number(a[1] > 0));
  return h("details", { class: "fold", open: rows.some(([, number]) => number) },
    h("summary", {}, "What activity rules count"),
    h("ul", { class: "counters" }, rows.map(([word, number, at]) =>
      h("li", { class: number ? "" : "zero" }, h("b", {}, figure(`counts.${at}`, number,
        count(number))), " ", name(shorten(word, 300))))));
};

/** The panel. `counters` are the words for what is counted. */
export const facts = (subject, counters, sticky) => {
  const { profile } = subject;
  const choices = Object.entries(profile.stickyVariants ?? {});
  const names = new Map(sticky.map((one) => [one.id, one.name || one.id]));
  return [
    h("dl", { class: "facts" },
      fact("Stable id", code(profile.stableId)),
      profile.id && profile.id !== profile.stableId ? fact("Id", code(profile.id)) : null,
      subject.aliases ? fact("Aliases", subject.aliases.length
        ? subject.aliases.map((alias, i) => [i ? ", " : "", code(alias)])
        : h("span", { class: "soft" }, "none")) : null,
      subject.createdMs !== undefined ? fact("Made", instant(subject.createdMs)) : null,
      fact("Traits", list(profile.traits ?? {}, "none")),
      fact("Location", list(profile.location ?? {}, "unknown")),
      fact("Device", subject.device ?? "unknown"),
      profile.session ? sessionFacts(profile.session) : null,
      fact("Sticky choices", choices.length ? h("ul", { class: "pairs" },
        choices.map(([id, index]) => h("li", {}, name(names.get(id) ?? id), ": ",
          Number.isInteger(index) ? variant(index) : code(json(index)))))
        : h("span", { class: "soft" }, "none"))),
    counters.length ? activity(subject.counts ?? [], counters) : null,
    h("details", { class: "fold" }, h("summary", {}, "The profile as JSON"),
      h("pre", { class: "json" }, pretty(profile))),
  ];
};

/** What an environment serves. */
export const served = (place) => {
  const { configuration } = place;
  if (!configuration) return [fact("Configuration", "none is loaded")];
  return [
    fact("Configuration", code(configuration.digest.slice(0, 12)),
      place.trouble ? h("span", { class: "badge warn" }, "newest is not in use") : null),
    fact("Scheme", configuration.scheme),
    fact("Experiences", count(configuration.experiences.length)),
    fact("Audiences", count(configuration.audiences)),
    fact("Findings", configuration.findings ? plural(configuration.findings, "finding") : "none"),
  ];
};
