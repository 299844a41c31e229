// The form with which a profile is changed or made up. It stores nothing: changes are explained.
import { complain, h } from "./dom.js";
import { json, nameOf, placed, pretty, variant, visible } from "./words.js";

const PLACES = [["city", "City"], ["region", "Region"], ["regionCode", "Region code"],
  ["country", "Country"], ["countryCode", "Country code"], ["continent", "Continent"],
  ["postalCode", "Postal code"], ["timezone", "Time zone"]];
const DEVICES = ["unknown", "desktop", "mobile", "tablet"];
const BLANK_PAGE = { path: "", url: "", query: {}, referrer: "", search: "" };

const copy = (value) => JSON.parse(JSON.stringify(value));

/** A visitor of whom nothing is known. */
export const blankSubject = () => ({
  profile: {
    stableId: `made-up-${Math.floor(Math.random() * 1e6)}`, traits: {}, location: {},
    session: { isReturningVisitor: false, count: 1, activeSessionLength: 0,
      averageSessionLength: 0, landingPage: BLANK_PAGE },
  },
  device: "unknown",
});

/** Set, or remove, a value by its path. */
const put = (object, path, value) => {
  const last = path.at(-1);
  let inner = object;
  for (const key of path.slice(0, -1)) inner = inner[key] ??= {};
  if (value === undefined) delete inner[last];
  else inner[last] = value;
};

const get = (object, path) => path.reduce((inner, key) => inner?.[key], object);

/**
 * The editor of a subject. `changed(subject)` is called with a new one at every change.
 * `known` holds what to offer: `counters`, `sticky` experiences, `traits` that rules read.
 */
export class Editor {
  constructor(subject, known, changed) {
    this.subject = copy({ profile: subject.profile, device: subject.device ?? "unknown",
      counts: subject.counts ?? [] });
    this.known = known;
    this.tell = () => changed(copy(this.subject));
    this.fields = new Map();
    this.error = h("p", { class: "error", role: "alert", id: "edit-error", hidden: true });
    this.body = h("div");
    this.asJson = false;
    const choose = (asJson, words) => h("button", { type: "button", class: "chip",
      "aria-pressed": String(asJson === this.asJson), on: { click: (event) => {
        this.asJson = asJson;
        for (const one of event.currentTarget.parentElement.children) {
          one.setAttribute("aria-pressed", String(one === event.currentTarget));
        }
        this.fill();
      } } }, words);
    this.element = h("form", { class: "editor", autocomplete: "off",
      on: { submit: (event) => event.preventDefault() } },
    h("p", { class: "soft" }, "Every change is explained at once. Nothing is stored."),
    h("p", { class: "chips", role: "group", "aria-label": "How to edit" },
      choose(false, "Form"), choose(true, "JSON")),
    this.error, this.body);
    this.fill();
  }

  /** Show what the server says about the subject, beside the field if there is one. */
  complain(message) {
    for (const input of this.fields.values()) {
      input.removeAttribute("aria-invalid");
      input.removeAttribute("aria-describedby");
    }
    complain(null, this.error, message);
    if (!message) return;
    const input = this.fields.get(placed(message)[0]) ?? this.fields.get("");
    if (!input) return;
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", "edit-error");
  }

  fill() {
    this.fields.clear();
    this.complain("");
    this.body.replaceChildren(...(this.asJson ? [this.whole()] : [
      this.identity(), this.traits(), this.location(), this.session(), this.choices(),
      this.activity(),
    ].filter(Boolean)));
  }

  field(title, path, input, read, parent = this.subject.profile) {
    const id = `edit-${path.join("-")}`;
    input.id = id;
    input.addEventListener("input", () => {
      const value = read(input);
      if (value === null) return;
      put(parent, path, value);
      this.tell();
    });
    this.fields.set(path.join("."), input);
    return h("p", { class: "field" }, h("label", { for: id }, title), input);
  }

  text(title, path, keepEmpty = false) {
    return this.field(title, path, h("input", { spellcheck: "false",
      value: get(this.subject.profile, path) ?? "" }),
    ({ value }) => (value || keepEmpty ? value : undefined));
  }

  number(title, path, parent = this.subject.profile, attributes = {}) {
    const input = h("input", { type: "number", min: 0, value: get(parent, path) ?? 0,
      ...attributes });
    return this.field(title, path, input, ({ value, validity }) => {
      const wrong = value === "" || !validity.valid;
      this.complain(wrong ? `${path.join(".")}: expected a number from 0` : "");
      return wrong ? null : Number(value);
    }, parent);
  }

  identity() {
    const device = h("select", {}, DEVICES.map((one) => h("option", { value: one }, one)));
    device.value = this.subject.device;
    return h("fieldset", {}, h("legend", {}, "Visitor"),
      h("div", { class: "grid" },
        this.text("Stable id", ["stableId"], true),
        this.field("Device", ["device"], device, ({ value }) => value, this.subject)));
  }

  traits() {
    const rows = h("div", { class: "rows" });
    const store = () => {
      const traits = [];
      for (const row of rows.children) {
        const [key, kind, value] = row.querySelectorAll("input, select");
        row.querySelector(".error")?.remove();
        value.removeAttribute("aria-invalid");
        if (!key.value) continue;
        try {
          traits.push([key.value,
            kind.value === "text" ? value.value : JSON.parse(value.value)]);
        } catch {
          value.setAttribute("aria-invalid", "true");
          row.append(h("span", { class: "error" }, "No JSON: 12, true, [\"a\"], …"));
          return;
        }
      }
      this.subject.profile.traits = Object.fromEntries(traits);
      this.tell();
    };
    const row = (key, value) => {
      const isText = typeof value === "string";
      const kind = h("select", { "aria-label": "Written as" },
        h("option", { value: "text" }, "text"), h("option", { value: "json" }, "JSON"));
      kind.value = isText ? "text" : "json";
      const remove = h("button", { type: "button", class: "icon", title: "Remove",
        "aria-label": `Remove trait ${visible(key)}`, on: { click: () => {
          const next = element.nextElementSibling ?? element.previousElementSibling;
          element.remove();
          (next?.querySelector("input") ?? add).focus();
          store();
        } } }, "×");
      const element = h("div", { class: "trait", on: { input: store } },
        h("input", { "aria-label": "Trait", list: "trait-keys", spellcheck: "false", value: key,
          placeholder: "trait" }),
        kind,
        h("input", { "aria-label": `Value of ${visible(key) || "the new trait"}`,
          spellcheck: "false", value: isText ? value : json(value), placeholder: "value" }),
        remove);
      return element;
    };
    const add = h("button", { type: "button", class: "plain small-button", on: { click: () => {
      const element = row("", "");
      rows.append(element);
      element.querySelector("input").focus();
    } } }, "Add a trait");
    rows.append(...Object.entries(this.subject.profile.traits ?? {})
      .map(([key, value]) => row(key, value)));
    return h("fieldset", {}, h("legend", {}, "Traits"), rows, add,
      h("datalist", { id: "trait-keys" },
        this.known.traits.map((key) => h("option", { value: key }))));
  }

  location() {
    return h("fieldset", {}, h("legend", {}, "Location"), h("div", { class: "grid" },
      PLACES.map(([key, title]) => this.text(title, ["location", key]))));
  }

  session() {
    const { profile } = this.subject;
    profile.session ??= { count: 1, isReturningVisitor: false };
    const page = profile.session.landingPage ??= copy(BLANK_PAGE);
    const returning = h("input", { type: "checkbox" });
    returning.checked = Boolean(profile.session.isReturningVisitor);
    const query = h("input", { spellcheck: "false", placeholder: "utm_source=newsletter",
      value: new URLSearchParams(page.query ?? {}).toString() });
    const box = this.field("Returning visitor", ["session", "isReturningVisitor"], returning,
      ({ checked }) => checked);
    box.className = "field check";
    return h("fieldset", {}, h("legend", {}, "Session"), h("div", { class: "grid" },
      this.number("Sessions so far", ["session", "count"]), box,
      this.number("Seconds so far", ["session", "activeSessionLength"]),
      this.number("Seconds on average", ["session", "averageSessionLength"],
        profile, { step: "any" })),
    h("div", { class: "grid one" },
      this.text("Landing page: URL", ["session", "landingPage", "url"], true),
      this.text("Landing page: path", ["session", "landingPage", "path"], true),
      this.text("Landing page: referrer", ["session", "landingPage", "referrer"], true),
      this.field("Landing page: query", ["session", "landingPage", "query"], query,
        ({ value }) => Object.fromEntries(new URLSearchParams(value)))));
  }

  choices() {
    if (!this.known.sticky.length) return null;
    return h("fieldset", {}, h("legend", {}, "Sticky choices"), h("div", { class: "grid one" },
      this.known.sticky.map((experience) => {
        const options = Array.from({ length: experience.variants }, (_, index) =>
          h("option", { value: String(index) }, variant(index)));
        const select = h("select", {}, h("option", { value: "" }, "nothing stored"), options);
        const stored = this.subject.profile.stickyVariants?.[experience.id];
        select.value = stored === undefined ? "" : String(stored);
        return this.field(visible(nameOf(experience)), ["stickyVariants", experience.id], select,
          ({ value }) => (value === "" ? undefined : Number(value)));
      })));
  }

  activity() {
    const { counters } = this.known;
    if (!counters.length) return null;
    const { subject } = this;
    if (subject.counts.length !== counters.length) subject.counts = counters.map(() => 0);
    return h("fieldset", {}, h("legend", {}, "Activity"), h("div", { class: "grid one counts" },
      counters.map((words, number) => {
        const field = this.number(visible(words), [String(number)], subject.counts,
          { step: 1, max: 2 ** 31 - 1 });
        const input = field.querySelector("input");
        field.querySelector("label").htmlFor = input.id = `edit-count-${number}`;
        this.fields.set(`counts[${number}]`, input);
        return field;
      })));
  }

  whole() {
    const area = h("textarea", { id: "edit-json", rows: 24, spellcheck: "false",
      value: pretty(this.subject.profile) });
    area.addEventListener("input", () => {
      let profile;
      try {
        profile = JSON.parse(area.value);
      } catch (error) {
        this.complain(`The profile is no JSON: ${error.message}`);
        return;
      }
      if (profile === null || typeof profile !== "object" || Array.isArray(profile)) {
        this.complain("The profile has to be a JSON object.");
        return;
      }
      this.subject.profile = profile;
      this.tell();
    });
    this.fields.set("", area);
    const label = h("label", { for: "edit-json" }, "The profile as JSON");
    return h("p", { class: "field" }, label, area);
  }
}
