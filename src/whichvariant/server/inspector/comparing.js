// The panel that compares what is served with another configuration.
import { complain, h, name } from "./dom.js";
import { count, visible } from "./words.js";

const label = ({ organization, environment }) => visible(`${organization}/${environment}`);

/** `others` are the other environments; `act(asked)` compares and raises what goes wrong. */
export class Comparer {
  constructor(others, act) {
    this.act = act;
    this.others = others;
    this.file = null;
    this.error = h("p", { class: "error", id: "compare-error", role: "alert", hidden: true });
    this.select = h("select", { id: "compare-place" },
      h("option", { value: "" }, "a document"),
      others.map((one, number) => h("option", { value: String(number) }, label(one))));
    this.area = h("textarea", { id: "compare-text", rows: 10, spellcheck: "false",
      "aria-describedby": "compare-error",
      on: { input: () => { this.file = null; this.name.textContent = ""; this.complain(""); } } });
    this.name = h("span", { class: "soft", role: "status" });
    this.upload = h("input", { type: "file", id: "compare-file",
      accept: ".json,application/json", on: { change: () => this.take(this.upload.files[0]) } });
    this.document = h("div", {},
      h("p", { class: "field" }, h("label", { for: "compare-file" }, "A file"), this.upload,
        this.name),
      h("p", { class: "field" }, h("label", { for: "compare-text" }, "Or its text"), this.area));
    this.button = h("button", { class: "do" }, "Compare");
    this.element = h("form", { class: "comparing", on: {
      submit: (event) => { event.preventDefault(); this.compare(); },
      dragover: (event) => event.preventDefault(),
      drop: (event) => { event.preventDefault(); this.take(event.dataTransfer.files[0]); },
    } },
    h("p", { class: "soft" }, "What would this profile get from another configuration? It is",
      " compiled for this question alone and not kept."),
    others.length ? h("p", { class: "field" },
      h("label", { for: "compare-place" }, "Compare what is served with"), this.select) : null,
    this.document, this.error, h("p", { class: "buttons" }, this.button));
    this.select.addEventListener("change", () => this.show());
    if (others.length) this.select.value = "0";
    this.show();
  }

  show() {
    this.document.hidden = this.select.value !== "" && this.others.length > 0;
    this.complain("");
  }

  complain(message) {
    complain(this.document.hidden ? this.select : this.area, this.error, message);
  }

  async take(file) {
    if (!file) return;
    this.complain("");
    this.select.value = "";
    this.show();
    try {
      this.file = { name: file.name, text: await file.text() };
    } catch {
      this.complain("The file cannot be read.");
      return;
    }
    this.area.value = "";
    this.name.replaceChildren(name(file.name), ` · ${count(file.size)} bytes`);
  }

  async compare() {
    const other = this.document.hidden ? this.others[Number(this.select.value)] : null;
    const text = this.file ? this.file.text : this.area.value;
    if (!other && !text.trim()) {
      this.complain("Choose a file, or paste a configuration: a native document, a space export, "
        + "or a Delivery API response.");
      this.area.focus();
      return;
    }
    this.complain("");
    this.button.disabled = true;
    try {
      const { organization, environment } = other ?? {};
      await this.act(other ? { other: { organization, environment } } : { configuration: text },
        other ? label(other) : this.file ? this.file.name : "the pasted document");
    } catch (error) {
      this.complain(error.message);
    } finally {
      this.button.disabled = false;
    }
  }
}
