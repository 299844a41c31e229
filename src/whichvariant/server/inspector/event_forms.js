// Events to begin with, filled in as well as what is known of the visitor and the rules allows.

const LIBRARY = { name: "whichvariant inspector", version: "3.14.0" };
const ID_BYTES = 16;

/** The kinds of event that do something. */
export const KINDS = ["page", "track", "identify", "screen", "component"];

/** A new name for an event: one that was sent already would be taken for a repetition. */
export const newMessageId = () => {
  const bytes = crypto.getRandomValues(new Uint8Array(ID_BYTES));
  return `inspector-${[...bytes].map((one) => one.toString(16).padStart(2, "0")).join("")}`;
};

/** The first name that activity rules ask for. */
const namedIn = (counters, kind) => {
  for (const words of counters) {
    const found = new RegExp(`^number of ${kind} events named ("(?:[^"\\\\]|\\\\.)*")`).exec(words);
    if (found) return JSON.parse(found[1]);
  }
  return null;
};

const changedTraits = (subject, stored) => {
  const before = stored?.profile.traits ?? {};
  const traits = Object.entries(subject.profile.traits ?? {})
    .filter(([key, value]) => JSON.stringify(before[key]) !== JSON.stringify(value));
  return traits.length ? Object.fromEntries(traits) : { plan: "gold" };
};

const pageOf = (subject) => {
  const landing = subject.profile.session?.landingPage ?? {};
  const url = landing.url || "https://shop.example/";
  return { path: landing.path || "/", query: landing.query ?? {}, referrer: "",
    search: landing.search ?? "", url };
};

const seen = (experiences, sticky) => {
  const selected = experiences.filter((one) => one.outcome === "selected");
  const one = selected.find(({ id }) => sticky.some((other) => other.id === id)) ?? selected[0];
  if (!one) return { componentId: "component" };
  const entry = Object.values(one.variants)[0];
  return { componentId: entry || one.changes[0]?.key || "component", componentType: "Entry",
    experienceId: one.id, variantIndex: one.variantIndex };
};

/**
 * An event of a kind. `stored` is the profile as it is stored, if it is; what `subject` has beyond
 * that goes into the event, because the API knows nothing of edits.
 */
export const eventOf = (kind, { subject, stored, explanation, counters, sticky }) => {
  const context = { library: LIBRARY };
  const { location } = subject.profile;
  if (location && Object.keys(location).length
    && JSON.stringify(location) !== JSON.stringify(stored?.profile.location ?? {})) {
    context.location = location;
  }
  const event = { type: kind, channel: "web", messageId: newMessageId(), context };
  if (kind === "page") return { ...event, properties: pageOf(subject) };
  if (kind === "track") {
    return { ...event, event: namedIn(counters, "track") ?? "add_to_cart", properties: {} };
  }
  if (kind === "screen") {
    return { ...event, properties: { name: namedIn(counters, "screen") ?? "Home" } };
  }
  if (kind === "identify") {
    return { ...event, userId: stored?.aliases?.[0] ?? "",
      traits: changedTraits(subject, stored) };
  }
  return { ...event, ...seen(explanation.experiences, sticky) };
};
