// Draws on a scale from 0 to 1: against the traffic's threshold, and among the variants.
import { s } from "./dom.js";
import { apart, variant } from "./words.js";

const COLOURS = 6;
const LEAST_LABEL = 0.085;
const LEAST_GAP = 0.13;

const at = (share) => `${(Math.min(Math.max(share, 0), 1) * 100).toFixed(3)}%`;
const side = (share) => (share < 0.12 ? "start" : share > 0.88 ? "end" : "middle");

const rectangle = (kind, from, to, y, height) =>
  s("rect", { class: kind, x: at(from), width: at(to - from), y, height });

const needle = (draw, top, bottom) => [
  s("line", { class: "needle-edge", x1: at(draw), x2: at(draw), y1: top, y2: bottom }),
  s("line", { class: "needle", x1: at(draw), x2: at(draw), y1: top, y2: bottom }),
];

const words = (text, share, y, kind = "tick") =>
  s("text", { class: kind, x: at(share), y, "text-anchor": side(share) }, text);

/** Labels below the bar, as many as fit beside each other. The first ones matter most. */
const ticks = (labels) => {
  const placed = [];
  for (const [share, text] of labels) {
    if (placed.every(([other]) => Math.abs(other - share) >= LEAST_GAP)) placed.push([share, text]);
  }
  return placed.map(([share, text]) => words(text, share, 48));
};

const short = (number) => String(Number(number.toFixed(4)));

/** The traffic draw against what is let in. */
export const trafficScale = ({ allocation, draw, in: isIn }) => {
  const [drawn, limit] = apart(draw, allocation);
  return s("svg", {
    class: "scale", role: "img",
    "aria-label": `Traffic: the draw ${drawn} on a scale from 0 to 1, of which everything below`
      + ` ${limit} is in. It is ${isIn ? "in" : "out"}.`,
  },
  rectangle("band-in", 0, allocation, 18, 16),
  rectangle("band-out", allocation, 1, 18, 16),
  allocation > 0.1 ? words("in", allocation / 2, 30, "inside") : null,
  allocation < 0.9 ? words("out", (1 + allocation) / 2, 30, "inside outside") : null,
  needle(draw, 14, 38),
  words(`draw ${drawn}`, draw, 10, "drawn"),
  ticks([[allocation, short(allocation)], [0, "0"], [1, "1"]]));
};

const segmentKind = (index) => `seg seg${index === 0 ? 0 : ((index - 1) % (COLOURS - 1)) + 1}`;

const bars = (segments, y, height) => segments
  .filter(({ start, end }) => end > start)
  .map(({ index, start, end }) => rectangle(segmentKind(index), start, end, y, height));

/** The distribution draw in the variants' segments; `used` is the index that counts. */
export const distributionScale = ({ segments, draw, index }, used = index) => {
  const wide = segments.filter(({ start, end }) => end - start > LEAST_LABEL);
  return s("svg", {
    class: "scale", role: "img",
    "aria-label": `Distribution: the draw ${draw.toFixed(4)} on a scale from 0 to 1 falls to`
      + ` ${variant(index)}.`,
  },
  bars(segments, 18, 16),
  wide.map((one) => words(
    one.end - one.start > 0.28 ? variant(one.index) : String(one.index),
    (one.start + one.end) / 2, 30, one.index === used ? "inside used" : "inside",
  )),
  needle(draw, 14, 38),
  words(`draw ${draw.toFixed(4)}`, draw, 10, "drawn"),
  ticks([
    ...segments.slice(0, -1).filter(({ end }) => end > 0 && end < 1)
      .map(({ end }) => [end, short(end)]),
    [0, "0"], [1, "1"],
  ]));
};

/** The same, small, for a line of a list: the words beside it say what it shows. */
export const smallScale = (experience) => {
  const { traffic, distribution } = experience;
  if (!experience.audience.matched) return null;
  const isIn = traffic.in;
  return s("svg", { class: "small scale", "aria-hidden": "true" },
    isIn ? bars(distribution.segments, 3, 10) : [
      rectangle("band-in", 0, traffic.allocation, 3, 10),
      rectangle("band-out", traffic.allocation, 1, 3, 10),
    ],
    needle(isIn ? distribution.draw : traffic.draw, 0, 16));
};

/** A patch in a variant's colour. */
export const patch = (index) => s("svg", { class: "patch", "aria-hidden": "true" },
  s("rect", { class: segmentKind(index), width: "100%", height: "100%", rx: "2" }));
