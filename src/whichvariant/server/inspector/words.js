// How things are called, and how numbers and values are written.

// Controls and marks of direction, which could make a text look like another one.
const UNSEEN =
  /[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
const LONGEST_VALUE = 160;

/** A text with what cannot be seen written out. */
export const visible = (text) => String(text).replace(
  UNSEEN, (one) => `\\u${one.codePointAt(0).toString(16).padStart(4, "0")}`,
);

export const shorten = (text, longest = LONGEST_VALUE) =>
  text.length > longest ? `${text.slice(0, longest - 1)}…` : text;

/** A value as JSON of several lines. What is unseen is escaped, so it stays the same JSON. */
export const pretty = (value) => JSON.stringify(value, null, 2).split("\n").map(visible).join("\n");

export const json = (value) => JSON.stringify(value) ?? "";

export const count = (number) => number.toLocaleString("en");

export const plural = (number, one, many = `${one}s`) =>
  `${count(number)} ${number === 1 ? one : many}`;

export const variant = (index) => (index ? `variant ${index}` : "baseline");

export const capital = (words) => words.charAt(0).toUpperCase() + words.slice(1);

/** What a visitor gets of an experience, in a few words; null: the configuration lacks it. */
export const answerOf = (experience) => {
  if (experience === null) return "no such experience";
  return experience.outcome === "selected" ? variant(experience.variantIndex) : experience.outcome;
};

export const nameOf = (thing) => thing.name || thing.id;

/** Two numbers with so many digits that one sees which is the greater. */
export const apart = (one, other) => {
  let digits = 4;
  while (digits < 15 && one !== other && one.toFixed(digits) === other.toFixed(digits)) digits += 1;
  return [one.toFixed(digits), String(other).length > digits + 2 ? other.toFixed(digits)
    : String(other)];
};

const OPERATORS = {
  equal: "is", notEqual: "is not", contains: "contains", notContains: "does not contain",
  startsWith: "starts with", endsWith: "ends with", matches: "matches",
  greaterThan: "is above", greaterThanInclusive: "is at least",
  lessThan: "is below", lessThanInclusive: "is at most",
  in: "is one of", notIn: "is none of", exists: "has any value", notExists: "has no value",
};

/** An operator as one would say it; unknown ones as they are. */
export const operator = (id) => OPERATORS[id] ?? id;

/** An instant, for people, in their own time zone. */
export const instant = (ms) => new Date(ms).toLocaleString("en-GB", {
  day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit",
  second: "2-digit",
});

/** "[path, message]" of the server's complaint; the path is "" where it names none. */
export const placed = (message) => {
  const found = /^([\w.[\]$-]+): /.exec(message);
  return found ? [found[1], message.slice(found[0].length)] : ["", message];
};
