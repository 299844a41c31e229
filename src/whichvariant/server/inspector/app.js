// The page as a whole: what is shown, and what happens when somebody does something.
import * as address from "./address.js";
import { Comparer } from "./comparing.js";
import { byId, complain, h } from "./dom.js";
import { differing } from "./differences.js";
import { blankSubject, Editor } from "./editor.js";
import { facts, served } from "./facts.js";
import { Narrowing } from "./narrowing.js";
import { data, Failure, hasToken, send, setToken } from "./requests.js";
import { fillBar, headline, results, sentence } from "./results.js";
import { attributesOf } from "./rules.js";
import { Sender } from "./sending.js";
import { Tabs } from "./tabs.js";
import { instant, placed, plural, visible } from "./words.js";

const PAUSE_MS = 250;
const NARROW_PX = 960; // Below, the results stand below what was asked.
const TABS = [["profile", "Profile"], ["edit", "Edit"], ["event", "Event"],
  ["compare", "Compare"]];

/** What is shown. A *view* is an answer of the server: explanation, selection, profile, … */
const state = {
  places: [],
  place: null,
  mode: "stored",
  key: "", // What was typed in to find the stored profile.
  at: "",
  stored: null, // The view of the stored profile.
  view: null, // The view on the page.
  before: null, // The view that it is compared with.
  note: "", // What is odd about it.
  happened: "", // Words for the event that was sent.
  other: null, // The view of another configuration.
};
const named = ({ organization, environment }) => `${organization}/${environment}`;
const placeOf = ({ organization, environment }) => ({ organization, environment });

const narrowing = new Narrowing(h("div", { id: "sections" }));
byId("results").append(narrowing.element, narrowing.root);
const tabs = new Tabs(byId("tabs"), byId("panels"), TABS, opened);
let editor = null;
let sender = null;
let comparer = null;
let turn = 0; // Of questions asked, only the answer to the last one is shown.
let pause = 0;

// ---- what panels ask for ------------------------------------------------------------------------

const configuration = () => state.place.configuration ?? { counters: [], experiences: [] };
const sticky = () => configuration().experiences.filter((one) => one.sticky);
const traitKeys = () => {
  const found = new Set();
  for (const { rule } of state.view.explanation.audiences) {
    for (const attribute of attributesOf(rule)) {
      if (attribute.startsWith("traits.")) found.add(attribute.split(".")[1]);
    }
  }
  return [...found].sort();
};
const known = () => ({
  subject: state.view, stored: state.stored, key: state.key || state.view.profile.stableId,
  edited: state.mode === "edited", explanation: state.view.explanation,
  counters: configuration().counters, sticky: sticky(),
});

/** Ask something, and show the answer unless something newer was asked meanwhile. */
const asking = async (question) => {
  turn += 1;
  const mine = turn;
  byId("results").setAttribute("aria-busy", "true");
  try {
    const answer = await question();
    return mine === turn ? answer : null;
  } catch (error) {
    if (mine !== turn) return null;
    if (error instanceof Failure && error.status === 401) signIn();
    throw error;
  } finally {
    if (mine === turn) byId("results").removeAttribute("aria-busy");
  }
};

// ---- drawing ------------------------------------------------------------------------------------

const modeWords = (found) => {
  if (state.mode === "edited") return differing(found);
  if (state.mode === "past") return instant(state.view.atMs);
  if (state.mode === "preflight") return `what the API would answer to ${state.happened}`;
  if (state.mode === "sent") return `the API has applied ${state.happened}`;
  return "";
};

const undo = () => {
  if (state.mode === "past") {
    return { words: "Show it as of now", act: () => lookUp(state.key, "") };
  }
  if (state.mode === "sent") return { words: "Done", act: backToStored };
  if (!state.stored || state.mode === "stored") return null;
  const words = state.mode === "edited" ? "Discard the edits" : "Back to the stored";
  return { words, act: backToStored };
};

function draw() {
  byId("welcome").hidden = state.view !== null;
  byId("found").hidden = state.view === null;
  if (!state.view) return;
  const { view, mode, before, other } = state;
  const key = state.stored ? state.key : view.profile.stableId;
  byId("headline").replaceChildren(...headline(view, String(key)));
  const drawn = results(view, { mode, before, other, closeOther: () => {
    state.other = null;
    draw();
    byId("who").focus();
  }, goBack: (at) => lookUp(state.key, at) });
  fillBar(byId("mode"), { mode, words: modeWords(drawn.found), undo: undo(), note: state.note });
  narrowing.redraw(drawn.sections);
  const shown = mode === "edited" || mode === "madeUp" ? view
    : { ...view, aliases: view.aliases ?? state.stored?.aliases };
  tabs.panel("profile").replaceChildren(...facts(shown, configuration().counters, sticky()));
  sender?.refresh();
  byId("said").textContent = sentence(view, drawn.found);
  document.title = `${visible(key)} · Inspector`;
}

function opened(tab) {
  remember(false);
  fillPanel(tab);
}

/** What a tab holds is made when it is first looked at. */
function fillPanel(tab) {
  if (!state.view) return;
  if (tab === "edit" && editor === null) {
    editor = new Editor(state.view, { counters: configuration().counters, sticky: sticky(),
      traits: traitKeys() }, edited);
    tabs.panel("edit").replaceChildren(editor.element);
  }
  if (tab === "event" && sender === null) {
    sender = new Sender(known, sendEvents);
    tabs.panel("event").replaceChildren(sender.element);
  }
  if (tab === "compare" && comparer === null) {
    comparer = new Comparer(state.places.filter((one) => one !== state.place && one.configuration),
      compare);
    tabs.panel("compare").replaceChildren(comparer.element);
  }
}

/** A new subject: what the panels hold is of the old one. */
const begin = (fields) => {
  clearTimeout(pause);
  editor = sender = comparer = null;
  for (const [key] of TABS) tabs.panel(key).replaceChildren();
  Object.assign(state, { before: null, happened: "", note: "", other: null, stored: null,
    key: "", at: "" }, fields);
  draw();
  fillPanel(tabs.shown);
};

const remember = (step) => address.write({
  place: state.place ? named(state.place) : "", id: state.key, at: state.at,
  tab: state.view && tabs.shown !== "profile" ? tabs.shown : "",
}, step);

function backToStored() {
  clearTimeout(pause);
  turn += 1;
  byId("results").removeAttribute("aria-busy");
  editor = null;
  Object.assign(state, { view: state.stored, before: null, happened: "", note: "", other: null,
    mode: state.at ? "past" : "stored" });
  draw();
  tabs.show(tabs.shown === "edit" ? "profile" : tabs.shown);
  byId("who").focus();
}

// ---- what people do -----------------------------------------------------------------------------

async function lookUp(id, at, step = true) {
  complain(byId("id"), byId("id-error"), "");
  complain(byId("at"), byId("at-error"), "");
  byId("id").value = id;
  byId("at").value = at;
  if (!id) {
    complain(byId("id"), byId("id-error"), "Type an id or an alias.");
    byId("id").focus();
    return;
  }
  try {
    const asked = { ...placeOf(state.place), id, ...(at ? { at: instantOf(at) } : {}) };
    const found = await asking(() => data("profile", asked));
    if (!found) return;
    await stayCurrent(found);
    begin({ stored: found, view: found, key: id, at, mode: at ? "past" : "stored" });
    remember(step);
  } catch (error) {
    const [path, words] = placed(error.message);
    const when = path === "at" || (at && /exist|history/.test(error.message));
    // Whoever was shown before is not the one that was asked for.
    if (error.status === 404 && !when) begin({ view: null });
    if (when) complain(byId("at"), byId("at-error"), sentenceOf(words));
    else complain(byId("id"), byId("id-error"), sentenceOf(error.message));
    byId(when ? "at" : "id").focus();
  }
}

const sentenceOf = (words) => `${words.charAt(0).toUpperCase()}${words.slice(1)}`
  + (/[.!?]$/.test(words) ? "" : ".");

/** Milliseconds go as a number; everything else as it was typed. */
const instantOf = (text) => (/^\d{6,}$/.test(text) ? Number(text) : text);

/** The served configuration may have been replaced since the page was loaded. */
async function stayCurrent(view) {
  if (view.explanation.digest === state.place.configuration?.digest) return;
  await loadPlaces();
}

async function makeUp() {
  const subject = blankSubject();
  try {
    const found = await asking(() => explain(subject));
    if (!found) return;
    byId("id").value = byId("at").value = "";
    begin({ view: { ...subject, counts: [], ...found }, mode: "madeUp" });
    remember(true);
    tabs.show("edit");
    byId("edit-stableId")?.focus();
  } catch (error) {
    complain(byId("id"), byId("id-error"), sentenceOf(error.message));
  }
}

const explain = ({ profile, device, counts }) => data("explanation", { ...placeOf(state.place),
  profile, device, counts: counts?.length ? counts : null });

function edited(subject) {
  clearTimeout(pause);
  pause = setTimeout(async () => {
    try {
      const found = await asking(() => explain(subject));
      if (!found) return;
      editor?.complain("");
      Object.assign(state, { view: { ...subject, ...found }, before: state.stored, other: null,
        note: "", mode: state.stored ? "edited" : "madeUp" });
      draw();
    } catch (error) {
      editor?.complain(error.message);
    }
  }, PAUSE_MS);
}

async function sendEvents(events, preflight) {
  clearTimeout(pause);
  const { place, stored } = state;
  const words = events.length === 1 ? `this ${events[0]?.type ?? ""} event`
    : plural(events.length, "event");
  const answer = await send(place, stored ? stored.profile.id : "", events, preflight);
  const { id } = answer.profile;
  const view = await asking(() => (preflight
    ? data("preflight", { ...placeOf(place), id: stored ? stored.profile.id : id, events })
    : data("profile", { ...placeOf(place), id })));
  if (!view) return;
  editor = null;
  Object.assign(state, { view, before: stored, other: null, happened: words,
    mode: preflight ? "preflight" : "sent", note: agree(answer, view) ? ""
      : "The API's answer was another one: something changed in between. Try again." });
  if (!preflight) {
    Object.assign(state, { stored: view, at: "",
      key: stored && stored.profile.id === id ? state.key : id });
    byId("id").value = state.key;
    byId("at").value = "";
    remember(true);
  }
  draw();
  if (innerWidth < NARROW_PX) (byId("differences") ?? byId("results")).scrollIntoView();
}

/** Is what the API answered what is explained? */
const agree = (answer, { selection }) => ["experiences", "changes"].every((key) =>
  JSON.stringify(answer[key]) === JSON.stringify(selection[key]));

async function compare(asked, label) {
  const { view, stored, at, mode } = state;
  const fromStored = stored && mode !== "preflight";
  const answer = await asking(() => data("comparison", { ...placeOf(state.place),
    profile: view.profile, device: view.device, counts: view.counts?.length ? view.counts : null,
    ...(fromStored ? { stored: stored.profile.id, at: at ? instantOf(at) : null } : {}),
    ...asked }));
  if (!answer) return;
  state.view = { ...view, ...answer.served };
  state.other = { ...answer, label, view: answer.other };
  draw();
  const section = byId("comparison");
  section.querySelector("h2").setAttribute("tabindex", "-1");
  section.querySelector("h2").focus();
}

// ---- coming in ----------------------------------------------------------------------------------

function signIn() {
  for (const id of ["inspector", "sign-out"]) byId(id).hidden = true;
  document.querySelector(".place").hidden = true;
  byId("sign-in").hidden = false;
  complain(byId("token"), byId("token-error"),
    hasToken() ? "This is not the server's admin token." : "");
  setToken(null);
  byId("token").focus();
}

async function loadPlaces() {
  const { environments } = await data("environments");
  const was = state.place ? named(state.place) : address.read().place;
  state.places = environments;
  state.place = environments.find((one) => named(one) === was)
    ?? environments.find((one) => one.configuration) ?? environments[0] ?? null;
  const select = byId("environment");
  select.replaceChildren(...environments.map((one) => h("option", { value: named(one),
    disabled: !one.configuration },
  visible(named(one)) + (one.configuration ? "" : " (no configuration)"))));
  if (state.place) select.value = named(state.place);
}

async function start() {
  byId("broken").hidden = true;
  try {
    await loadPlaces();
  } catch (error) {
    if (error.status === 401) {
      signIn();
    } else {
      byId("broken").textContent = sentenceOf(error.message);
      byId("broken").hidden = false;
    }
    return;
  }
  byId("sign-in").hidden = true;
  byId("sign-out").hidden = !hasToken();
  document.querySelector(".place").hidden = false;
  byId("inspector").hidden = false;
  if (!state.place) {
    byId("broken").textContent = "No environment is served.";
    byId("broken").hidden = false;
    return;
  }
  await arrive();
}

/** Show what the address says. */
async function arrive() {
  const { place, id, at, tab } = address.read();
  const wanted = state.places.find((one) => named(one) === place);
  if (wanted) state.place = wanted;
  byId("environment").value = named(state.place);
  byId("served").replaceChildren(...served(state.place));
  tabs.show(tab || "profile", false);
  if (id) {
    await lookUp(id, at, false);
  } else {
    begin({ view: null });
    document.title = "Inspector · whichvariant";
    byId("id").focus();
  }
}

byId("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = byId("token").value.trim();
  byId("token").value = "";
  if (/[^ -~\u00a0-\u00ff]/.test(token)) {
    complain(byId("token"), byId("token-error"), "No header can carry such characters.");
    return;
  }
  setToken(token);
  start();
});
byId("sign-out").addEventListener("click", () => {
  setToken(null);
  // Nothing of a profile stays in the page, or in its address.
  location.replace(location.pathname);
});
byId("look-up").addEventListener("submit", (event) => {
  event.preventDefault();
  lookUp(byId("id").value.trim(), byId("at").value.trim());
});
byId("blank").addEventListener("click", makeUp);
byId("environment").addEventListener("change", ({ target }) => {
  state.place = state.places.find((one) => named(one) === target.value);
  byId("served").replaceChildren(...served(state.place));
  const { key, at } = state;
  begin({ view: null });
  remember(false);
  if (key) lookUp(key, at);
});
document.querySelector(".skip").addEventListener("click", (event) => {
  // What stands after "#" says what is shown, so it has to stay.
  event.preventDefault();
  const target = byId("results").closest("[hidden]") ? byId("main") : byId("results");
  target.focus();
  target.scrollIntoView();
});
addEventListener("popstate", () => { if (!byId("inspector").hidden) arrive(); });
document.addEventListener("keydown", (event) => {
  const { target } = event;
  const inField = /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || byId("sure").open;
  if (event.key === "/" && !inField && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    byId("id").focus();
    byId("id").select();
  }
});
start();
