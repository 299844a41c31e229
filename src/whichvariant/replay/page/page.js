"use strict";
(() => {
  // The page is whole without this: it adds sorting, narrowing, copying, and keys.
  const SHOWN = 40;
  const make = (tag, attributes = {}, words = "") => {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.textContent = words;
    return element;
  };

  // ---- sorting ----
  const valueOf = (row, column) => {
    const cell = row.cells[column];
    const value = cell.dataset.v;
    return value === undefined ? cell.textContent.trim() : Number(value);
  };
  const compare = (a, b) => {
    const numbers = typeof a === "number" && typeof b === "number";
    if (numbers) return a - b;
    if (typeof a === "number") return 1;
    if (typeof b === "number") return -1;
    return a.localeCompare(b, undefined, { numeric: true });
  };
  const sortBy = (table, column, head) => {
    const heads = [...table.tHead.rows[0].cells];
    const isNumber = head.classList.contains("n") || head.classList.contains("plot");
    const was = head.getAttribute("aria-sort");
    const down = was === null || was === "none" ? isNumber : was === "ascending";
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows].map((row) => [valueOf(row, column), row]);
    rows.sort((a, b) => (down ? compare(b[0], a[0]) : compare(a[0], b[0])));
    table.tBodies[0].append(...rows.map(([, row]) => row));
    table.dispatchEvent(new Event("sorted"));
  };
  for (const table of document.querySelectorAll("table[data-sortable]")) {
    if (table.tBodies[0].rows.length < 2) continue;
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = make("button", { type: "button" });
      button.append(...head.childNodes);
      button.addEventListener("click", () => sortBy(table, column, head));
      head.append(button);
    });
  }

  // ---- narrowing ----
  const lists = [...document.querySelectorAll('[data-list="experiences"]')].map((box) => ({
    box: box.tBodies ? box.tBodies[0] : box,
    all: false,
    more: make("button", { type: "button", class: "do" }),
    place: box.tBodies ? box.parentElement : box,
  }));
  const words = new Map();
  const wordsOf = (item) => {
    if (!words.has(item)) {
      const head = item.querySelector("th") || item.querySelector("summary .title");
      const id = item.querySelector(".id");
      words.set(item, (head.textContent + " " + (id ? id.textContent : "")).toLowerCase());
    }
    return words.get(item);
  };
  let query = "";
  let tag = "";
  const status = make("output", { "aria-live": "polite" });
  const apply = () => {
    lists.forEach((list, number) => {
      let fitting = 0;
      for (const item of list.box.children) {
        const tags = (item.dataset.tags || "").split(" ");
        const fits = (!tag || tags.includes(tag)) && (!query || wordsOf(item).includes(query));
        if (fits) fitting += 1;
        item.hidden = !fits;
        item.classList.toggle("beyond", fits && !list.all && fitting > SHOWN);
      }
      list.more.hidden = list.all || fitting <= SHOWN;
      list.more.textContent = `Show all ${fitting.toLocaleString("en")}`;
      if (number === 0) {
        const some = fitting === 1 ? "experience" : "experiences";
        const said = `${fitting.toLocaleString("en")} ${some}`;
        status.textContent = query || tag ? said : "";
      }
    });
  };
  const overview = document.getElementById("overview");
  if (overview) {
    const items = [...overview.tBodies[0].rows];
    const counts = {};
    for (const item of items) {
      for (const one of item.dataset.tags.split(" ")) counts[one] = (counts[one] || 0) + 1;
    }
    const tools = make("div", { class: "tools", role: "search", "aria-label": "Experiences" });
    const field = make("input", {
      type: "search",
      placeholder: "Name or id",
      "aria-label": "Narrow experiences by name or id",
      "aria-keyshortcuts": "/",
    });
    field.addEventListener("input", () => {
      query = field.value.trim().toLowerCase();
      apply();
    });
    document.addEventListener("keydown", (event) => {
      const inField = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
      if (event.key === "/" && !inField && !event.ctrlKey && !event.metaKey && !event.altKey) {
        event.preventDefault();
        field.focus();
      } else if (event.key === "Escape" && event.target === field && field.value) {
        field.value = query = "";
        apply();
      }
    });
    tools.append(field);
    const chips = [["", "all"], ["moved", "moved"], ["alarm", "split off"], ["edited", "edited"],
      ["new", "new"], ["removed", "removed"]].filter(([key]) => key === "" || counts[key]);
    for (const [key, label] of chips) {
      const count = key === "" ? items.length : counts[key];
      const chip = make("button", {
        type: "button", class: "chip", "aria-pressed": String(key === ""), "data-tag": key,
      }, `${label} ${count.toLocaleString("en")}`);
      chip.addEventListener("click", () => {
        tag = key;
        for (const other of tools.querySelectorAll(".chip")) {
          other.setAttribute("aria-pressed", String(other === chip));
        }
        apply();
      });
      if (chips.length > 1) tools.append(chip);
    }
    tools.append(status);
    if (items.length > 5) overview.parentElement.before(tools);
    for (const list of lists) {
      list.more.addEventListener("click", () => {
        list.all = true;
        apply();
        const first = list.box.children[SHOWN];
        const target = first && first.querySelector("a, summary");
        if (target) target.focus();
      });
      const after = make("div", { class: "after" });
      after.append(list.more);
      list.place.after(after);
    }
    overview.addEventListener("sorted", apply);
    const each = document.getElementById("each");
    if (each) {
      const turn = make("button", { type: "button", class: "do" }, "Open those shown");
      turn.addEventListener("click", () => {
        const shown = [...document.querySelectorAll(".exp:not([hidden]):not(.beyond)")];
        const open = !shown.every((item) => item.open);
        for (const item of shown) item.open = open;
        turn.textContent = open ? "Close those shown" : "Open those shown";
      });
      const tools2 = make("div", { class: "tools" });
      tools2.append(turn);
      each.after(tools2);
    }
    apply();
  }

  // ---- copying ----
  const written = (table) =>
    [...table.rows]
      .map((row) => [...row.cells].map((cell) => {
        const value = cell.dataset.f === undefined ? cell.innerText : cell.dataset.v;
        return value.trim().replace(/\s+/g, " ");
      }).join("\t"))
      .join("\n");
  for (const table of document.querySelectorAll("table[data-copy], #overview")) {
    const button = make("button", { type: "button", class: "copy" }, "Copy table");
    button.addEventListener("click", async () => {
      const area = make("textarea", { "aria-hidden": "true", class: "unseen" });
      area.value = written(table);
      let copied = true;
      try {
        await navigator.clipboard.writeText(area.value);
      } catch {
        document.body.append(area);
        area.select();
        copied = document.execCommand("copy");
        area.remove();
        button.focus();
      }
      button.textContent = copied ? "Copied" : "Not allowed to copy";
      setTimeout(() => { button.textContent = "Copy table"; }, 1500);
    });
    const next = table.parentElement.nextElementSibling;
    if (next && next.classList.contains("after")) next.append(button);
    else table.parentElement.after(button);
  }

  // ---- frames that scroll take the keyboard, links open what they lead to ----
  const frames = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.scrollWidth > target.clientWidth + 1) {
        target.tabIndex = 0;
        target.setAttribute("role", "region");
        const caption = target.querySelector("caption");
        target.setAttribute("aria-label", caption ? caption.textContent : "Table");
      } else {
        for (const name of ["tabindex", "role", "aria-label"]) target.removeAttribute(name);
      }
    }
  });
  for (const frame of document.querySelectorAll(".scroll")) frames.observe(frame);
  const open = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target || target.tagName !== "DETAILS") return;
    target.hidden = false;
    target.classList.remove("beyond");
    target.open = true;
    target.scrollIntoView();
    target.querySelector("summary").focus({ preventScroll: true });
  };
  window.addEventListener("hashchange", open);
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#experience-"]');
    if (link && link.getAttribute("href") === location.hash) open();
  });
  open();
})();
