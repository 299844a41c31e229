// The panel that sends events to the API: as a preflight, which stores nothing, or for real.
import { byId, complain, h, name } from "./dom.js";
import { eventOf, KINDS, newMessageId } from "./event_forms.js";
import { pretty } from "./words.js";

/** Ask once more before something is stored. Resolves to whether it shall be. */
const sure = (words) => {
  const dialog = byId("sure");
  byId("sure-words").replaceChildren(...words);
  dialog.returnValue = "cancel";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "send"), { once: true });
  });
};

/**
 * `known()` gives what events are made from; `act(events, preflight)` sends them and raises what
 * goes wrong.
 */
export class Sender {
  constructor(known, act) {
    this.known = known;
    this.act = act;
    this.kind = "page";
    this.touched = false;
    this.target = h("p", { class: "soft", id: "event-target" });
    this.area = h("textarea", { id: "event-json", rows: 16, spellcheck: "false",
      "aria-describedby": "event-error event-target",
      on: { input: () => { this.touched = true; this.complain(""); } } });
    this.error = h("p", { class: "error", id: "event-error", role: "alert", hidden: true });
    this.kinds = KINDS.map((kind) => h("button", { type: "button", class: "chip",
      "aria-pressed": "false", on: { click: () => this.choose(kind) } }, kind));
    this.buttons = [
      h("button", { type: "submit", class: "do" }, "Preflight"),
      h("button", { type: "button", class: "do real", on: { click: () => this.sendForReal() } },
        "Send for real…"),
    ];
    this.element = h("form", { class: "sending", on: { submit: (event) => {
      event.preventDefault();
      this.send(true);
    } } },
    this.target,
    h("p", { class: "chips", role: "group", "aria-label": "Kind of event" }, this.kinds),
    h("p", { class: "field" }, h("label", { for: "event-json" }, "Event, or a list of events"),
      this.area),
    this.error,
    h("div", { class: "two-ways" },
      h("p", {}, this.buttons[0], h("span", { class: "soft" },
        "Computes what the API would answer. Stores nothing.")),
      h("p", {}, this.buttons[1], h("span", { class: "soft" },
        "Changes the stored profile, for good."))));
    this.choose("page");
  }

  complain(message) {
    complain(this.area, this.error, message);
  }

  choose(kind) {
    this.kind = kind;
    this.touched = false;
    KINDS.forEach((one, i) => this.kinds[i].setAttribute("aria-pressed", String(one === kind)));
    this.complain("");
    this.area.value = pretty(eventOf(kind, this.known()));
    this.refresh();
  }

  /** After the subject changed: say to whom it goes, and begin anew unless somebody wrote. */
  refresh() {
    const { stored, edited, key } = this.known();
    this.target.replaceChildren(...(stored
      ? ["To the stored profile ", h("b", {}, name(key)), ".",
        edited ? " Your edits are not stored, so the API does not know them; traits and location"
          + " that you changed are filled in." : ""]
      : ["To a new visitor, whose id the API makes. It knows nothing of what is made up here but"
        + " what the event says."]));
    if (!this.touched) {
      const was = this.area.value;
      const event = eventOf(this.kind, this.known());
      try {
        event.messageId = JSON.parse(was).messageId ?? event.messageId;
      } catch {
        // There was none.
      }
      this.area.value = pretty(event);
    }
  }

  read() {
    let value;
    try {
      value = JSON.parse(this.area.value);
    } catch (error) {
      this.complain(`This is no JSON: ${error.message}`);
      this.area.focus();
      return null;
    }
    return Array.isArray(value) ? value : [value];
  }

  async sendForReal() {
    const events = this.read();
    if (events === null) return;
    const { stored, key } = this.known();
    const some = events.length === 1 ? "The event is" : `${events.length} events are`;
    const words = stored ? [`${some} applied to the profile `, h("b", {}, name(key)),
      ". That cannot be undone."] : [`${some} sent, and a new profile is stored.`];
    if (await sure(words)) await this.send(false, events);
  }

  async send(preflight, given = null) {
    const events = given ?? this.read();
    if (events === null) return;
    this.complain("");
    for (const button of this.buttons) button.disabled = true;
    try {
      await this.act(events, preflight);
      if (!preflight) this.renew(events);
    } catch (error) {
      this.complain(error.message);
    } finally {
      for (const button of this.buttons) button.disabled = false;
    }
  }

  /** The same again would be a repetition, which changes nothing. */
  renew(events) {
    const fresh = events.map((event) => ({ ...event, messageId: newMessageId() }));
    this.area.value = pretty(fresh.length === 1 ? fresh[0] : fresh);
    this.touched = false;
  }
}
