"use strict";
// The page reads without this script; it adds sorting, filtering, pointing, comparing and themes.
// Text of the report reaches the document by textContent and cloneNode only.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const FEW = 30;

  // Themes: as the system has it, light, dark.
  const THEMES = ["auto", "light", "dark"];
  const button = document.getElementById("theme");
  const kept = (change) => {
    try {
      if (change !== undefined) localStorage.setItem("bench-theme", change);
      return localStorage.getItem("bench-theme");
    } catch {
      return null; // files opened from a disk may have no storage
    }
  };
  let theme = "auto";
  const setTheme = (name) => {
    theme = THEMES.includes(name) ? name : "auto";
    document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
  };
  setTheme(kept());
  button.hidden = false;
  button.addEventListener("click", () => {
    setTheme(THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]);
    kept(theme);
  });

  // Leaderboards: rows in the order asked for, those that match the filter, the first few of them.
  const rowsOf = (table) => [...table.tBodies[0].rows];
  const views = new Map();
  for (const table of all("table.ranked")) {
    const rows = rowsOf(table);
    const more = document.createElement("button");
    more.type = "button";
    more.className = "more-rows";
    table.parentElement.after(more);
    const form = table.parentElement.previousElementSibling;
    const view = { table, rows, more, form, words: [], kind: "", whole: rows.length <= FEW * 1.5 };
    view.texts = null;
    table.classList.add("counted");
    views.set(table, view);
    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    const input = form.querySelector("input");
    input.addEventListener("input", () => ask(view, input.value, view.kind));
    for (const kind of all("[data-kind]", form)) {
      kind.addEventListener("click", () => ask(view, input.value, kind.dataset.kind));
    }
    more.addEventListener("click", () => {
      view.whole = !view.whole;
      show(view);
    });
    show(view);
  }

  // Show the rows of a kind that hold all words of a text.
  function ask(view, text, kind) {
    view.form.querySelector("input").value = text;
    view.words = text.toLowerCase().split(/\s+/).filter(Boolean);
    view.kind = kind;
    for (const each of all("[data-kind]", view.form)) {
      each.setAttribute("aria-pressed", String(each.dataset.kind === kind));
    }
    show(view);
  }

  function matches(view, row) {
    const kinds = row.dataset.k || "";
    if (view.kind === "default" ? kinds.includes("tuned") : !kinds.includes(view.kind)) return false;
    if (!view.words.length) return true;
    view.texts ??= new Map(view.rows.map((each) => [each, each.textContent.toLowerCase()]));
    const text = view.texts.get(row);
    return view.words.every((word) => text.includes(word));
  }

  function show(view) {
    const asked = view.words.length > 0 || view.kind !== "";
    let found = 0;
    let group = null;
    for (const row of view.rows) {
      const match = matches(view, row);
      found += match;
      row.hidden = !match || (!view.whole && !asked && found > FEW);
      if (row.hidden) continue;
      row.classList.toggle("edge", group !== null && row.dataset.g !== group);
      group = row.dataset.g;
    }
    const total = view.rows.length;
    view.form.querySelector("output").textContent = asked ? `${found} of ${total} rows` : "";
    view.more.hidden = asked || total <= FEW * 1.5;
    view.more.textContent = view.whole ? `Show the first ${FEW}` : `Show all ${total} rows`;
  }

  // Sorting: what has no value comes last either way.
  const keyOf = (cell, numeric) => {
    if (!cell) return null;
    const text = cell.dataset.s ?? cell.textContent.trim();
    if (!numeric) return text === "" || text === "–" ? null : text;
    const number = cell.dataset.s === undefined ? Number(text.replaceAll(",", "")) : Number(text);
    return text === "" || Number.isNaN(number) ? null : number;
  };
  const letters = new Intl.Collator(undefined, { numeric: true });

  // The direction that a heading asks for: the best first, then the other way.
  function turned(heading) {
    const best = heading.classList.contains("iv") ? "descending" : "ascending";
    const other = best === "ascending" ? "descending" : "ascending";
    return heading.getAttribute("aria-sort") === best ? other : best;
  }

  function sort(table, heading, direction) {
    const column = heading.cellIndex;
    const numeric = heading.classList.contains("n") || heading.classList.contains("iv");
    for (const each of heading.parentElement.cells) each.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", direction);
    const sign = direction === "ascending" ? 1 : -1;
    const order = heading.hasAttribute("data-order");
    const keyed = rowsOf(table).map((row, place) => {
      row.place ??= place;
      const key = order ? (row.dataset.g === "x" ? null : row.place) : keyOf(row.cells[column], numeric);
      return { row, key };
    });
    table.classList.toggle("resorted", !order || direction === "descending");
    keyed.sort((a, b) => {
      if (a.key === null || b.key === null) {
        return (a.key === null) - (b.key === null) || a.row.place - b.row.place;
      }
      const gap = numeric ? a.key - b.key : letters.compare(a.key, b.key);
      return sign * gap || a.row.place - b.row.place;
    });
    table.tBodies[0].append(...keyed.map((each) => each.row));
    const view = views.get(table);
    if (view) {
      view.rows = keyed.map((each) => each.row);
      show(view);
    }
  }

  for (const table of all("table.sorts")) {
    for (const heading of table.tHead.rows[0].cells) {
      const press = document.createElement("button");
      press.type = "button";
      while (heading.firstChild && heading.firstChild.nodeName !== "SPAN") press.append(heading.firstChild);
      heading.prepend(press);
      press.addEventListener("click", () => sort(table, heading, turned(heading)));
    }
  }

  // Pointing: by mouse, by touch, by keyboard.
  const tip = document.getElementById("tip");
  let pointed = null;
  const point = (event) => {
    pointed = event.target.closest?.("[data-hover]");
    tip.hidden = !pointed;
    if (!pointed) return;
    tip.textContent = pointed.dataset.hover;
    place(event.clientX, event.clientY);
  };
  const place = (pointerX, pointerY) => {
    const box = pointed.getBoundingClientRect();
    const x = pointerX ?? box.left + box.width / 2;
    const y = pointerY ?? box.top;
    const above = y - tip.offsetHeight - 12;
    tip.style.left = `${Math.max(8, Math.min(x - tip.offsetWidth / 2, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${above > 4 ? above : y + 18}px`;
  };
  for (const kind of ["pointermove", "pointerdown", "focusin"]) document.addEventListener(kind, point);
  document.addEventListener("focusout", () => { tip.hidden = true; });
  document.documentElement.addEventListener("pointerleave", () => { tip.hidden = true; });
  document.addEventListener("scroll", () => {
    if (tip.hidden) return;
    if (pointed === document.activeElement) place(); // what has the focus was scrolled to
    else tip.hidden = true;
  }, { capture: true, passive: true });

  // Following: a link opens what it lies in; one to images opens them above the page.
  const dialog = document.getElementById("behind");
  function reach(id) {
    const target = document.getElementById(id);
    if (!target) return;
    if (target.closest(".behind") && target.matches("section")) {
      document.getElementById("behind-title").textContent = target.querySelector("h4").textContent;
      const shown = [...target.children].slice(1).map((each) => each.cloneNode(true));
      dialog.querySelector(".held").replaceChildren(...shown);
      tip.hidden = true;
      dialog.showModal();
      return;
    }
    for (let each = target; each; each = each.parentElement) {
      if (each.tagName === "DETAILS") each.open = true;
    }
    const view = views.get(target.closest("table"));
    if (view && target.hidden) {
      view.whole = true;
      ask(view, "", "");
    }
    for (const each of all(".found")) each.classList.remove("found");
    if (target.tagName === "TR") target.classList.add("found");
    target.scrollIntoView({ block: target.tagName === "TR" ? "center" : "start" });
  }
  const follow = () => {
    try {
      reach(decodeURIComponent(location.hash.slice(1)));
    } catch {
      // an address that someone has mistyped leads nowhere
    }
  };
  document.addEventListener("click", (event) => {
    const drawn = event.target.closest("[data-link]");
    const link = event.target.closest("a[href^='#']");
    if (drawn) go(drawn.dataset.link);
    else if (link && link.hash === location.hash) follow(); // the address does not change then
  });
  document.addEventListener("keydown", (event) => {
    const drawn = event.target.closest?.("[data-link]");
    if (drawn && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      go(drawn.dataset.link);
    }
  });
  function go(id) {
    const target = document.getElementById(id);
    if (target && !target.closest(".behind")) history.replaceState(null, "", `#${encodeURIComponent(id)}`);
    reach(id);
  }
  addEventListener("hashchange", follow);
  if (location.hash) follow();
  dialog.querySelector(".close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });

  // Commands to copy.
  for (const copy of all("button.copy")) {
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      const code = copy.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
      } catch {
        getSelection().selectAllChildren(code);
        document.execCommand("copy");
      }
      copy.textContent = "Copied";
      setTimeout(() => { copy.textContent = "Copy"; }, 2000);
    });
  }

  // Two rows' settings, read from the table of all that differ.
  const differing = document.getElementById("differing");
  if (differing) {
    const form = document.querySelector(".pair");
    const selects = all("select", form);
    const rows = rowsOf(differing);
    const names = [...differing.tHead.rows[0].cells].map((cell) => cell.textContent);
    selects.forEach((select, place) => {
      select.append(...rows.map((row, index) => new Option(row.cells[0].textContent, String(index))));
      select.selectedIndex = Math.min(place, rows.length - 1);
      select.addEventListener("change", compare);
    });
    form.hidden = false;
    const said = (row, index) => row.cells[index].textContent.trim();
    function compare() {
      const [a, b] = selects.map((select) => rows[Number(select.value)]);
      const place = document.getElementById("pair");
      const table = document.createElement("table");
      const line = (texts, tag) => {
        const row = table.insertRow();
        texts.forEach((text, index) => {
          const cell = document.createElement(index ? tag : "th");
          cell.textContent = text;
          row.append(cell);
        });
      };
      const differ = names.map((_, index) => index).slice(1)
        .filter((index) => said(a, index) !== said(b, index));
      if (!differ.length) {
        place.textContent = "These two have the same settings.";
        return;
      }
      line(["Setting", a.cells[0].textContent, b.cells[0].textContent], "th");
      for (const index of differ) {
        line([names[index], said(a, index) || "–", said(b, index) || "–"], "td");
      }
      place.replaceChildren(table);
    }
    compare();
  }

  // A page of runs under way renews itself, unless someone is in the middle of something. What was
  // open, asked for and sorted is so again afterwards; browsers keep the place by themselves.
  const seconds = Number(document.documentElement.dataset.refresh);
  const STATE = "bench-state";
  const named = () => all("details").map((each) => {
    const owner = each.parentElement.closest("[id]");
    return [each.id || `${owner?.id}/${all("details", owner ?? document).indexOf(each)}`, each];
  });
  const blockOf = (view) => view.table.closest("[id]")?.id;
  const state = () => ({
    open: named().filter(([, each]) => each.open).map(([key]) => key),
    views: [...views.values()].map((view) => {
      const heading = view.table.querySelector("[aria-sort]");
      return {
        block: blockOf(view),
        whole: view.whole,
        text: view.form.querySelector("input").value,
        kind: view.kind,
        sorted: heading?.textContent,
        direction: heading?.getAttribute("aria-sort"),
      };
    }),
  });
  const restore = ({ open, views: asked }) => {
    for (const [key, each] of named()) if (open.includes(key)) each.open = true;
    for (const view of views.values()) {
      const before = asked.find((each) => each.block === blockOf(view));
      if (!before) continue;
      view.whole ||= before.whole;
      const headings = [...view.table.tHead.rows[0].cells];
      const heading = headings.find((each) => each.textContent === before.sorted);
      if (heading) sort(view.table, heading, before.direction);
      const kinds = all("[data-kind]", view.form).map((each) => each.dataset.kind);
      ask(view, before.text, kinds.includes(before.kind) ? before.kind : "");
    }
  };
  try {
    const before = JSON.parse(sessionStorage.getItem(STATE));
    sessionStorage.removeItem(STATE);
    if (before) restore(before);
  } catch {
    // no storage: all is as it was written
  }
  const renew = () => {
    const marked = String(getSelection()) !== "";
    const inside = document.activeElement.matches("input, select");
    if (dialog.open || document.hidden || marked || inside) return;
    try {
      sessionStorage.setItem(STATE, JSON.stringify(state()));
    } catch {
      return; // a page that cannot keep what is open is renewed by its reader
    }
    location.reload();
  };
  if (seconds > 0) setInterval(renew, 1000 * seconds);

  // Printing: all rows that were asked for; and the best run opens beside what is open, where names
  // would let one of them open only.
  let cut = [];
  let opened = [];
  let exclusive = [];
  addEventListener("beforeprint", () => {
    cut = [...views.values()].filter((view) => !view.whole);
    for (const view of cut) view.whole = true;
    for (const view of cut) show(view);
    exclusive = all("details[name]").map((each) => [each, each.getAttribute("name")]);
    for (const [each] of exclusive) each.removeAttribute("name");
    opened = all("details.best").filter((each) => !each.open);
    for (const each of opened) each.open = true;
  });
  addEventListener("afterprint", () => {
    for (const view of cut) view.whole = false;
    for (const view of cut) show(view);
    for (const each of opened) each.open = false;
    for (const [each, name] of exclusive) each.setAttribute("name", name);
    cut = opened = exclusive = [];
  });
})();
