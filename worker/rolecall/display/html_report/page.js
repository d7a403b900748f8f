"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const rows = JSON.parse(byId("rows").textContent);
  const words = JSON.parse(byId("words").textContent);
  const LINE = 0, ROOM = 1, USER = 2, OUTCOME = 3, REASON = 4, STATUS = 5, ATTEMPTS = 6, FINISHED = 7, DURATION = 8, MESSAGE = 9,
    EVIDENCE = 10, ROOM_NAME = 11, USERNAME = 12, OPERATION = 13;
  const names = { room: ROOM_NAME, user: USERNAME };
  const columns = { line: LINE, room: ROOM, user: USER, outcome: OUTCOME, reason: REASON, status: STATUS,
    attempts: ATTEMPTS, finished: FINISHED, duration: DURATION, message: MESSAGE, evidence: EVIDENCE, operation: OPERATION };
  const body = byId("list").tBodies[0];
  const count = new Intl.NumberFormat("en");
  const view = { outcome: "", text: "", column: "", down: false, page: 0, size: 25 };
  let order = [];      // indexes in `rows` of the rows that pass the filters, sorted
  let searchTexts = null; // the searched text of each row, built at the first search

  const value = (row, column) =>
    column === OUTCOME ? words.outcomes[row[OUTCOME]] : column === REASON ? words.reasons[row[REASON]] : row[column];
  const sortKey = (row, column) => // by name, where there is one
    (column === ROOM && row[ROOM_NAME]) || (column === USER && row[USERNAME]) || value(row, column);

  function searchText(index) {
    searchTexts ??= rows.map((row) =>
      `${row[ROOM]}\n${row[USER]}\n${row[ROOM_NAME]}\n${row[USERNAME]}\n${words.reasons[row[REASON]]}\n${row[MESSAGE]}\n${row[EVIDENCE]}\n${row[OPERATION] ?? ""}`.toLowerCase());
    return searchTexts[index];
  }

  function select() {
    const outcome = words.outcomes.indexOf(view.outcome), text = view.text.trim().toLowerCase();
    order = [];
    for (let index = 0; index < rows.length; index++) {
      if (outcome >= 0 && rows[index][OUTCOME] !== outcome) continue;
      if (text && !searchText(index).includes(text)) continue;
      order.push(index);
    }
    sort();
  }

  function sort() {
    if (view.column) {
      const column = columns[view.column], sign = view.down ? -1 : 1;
      const keys = new Map(order.map((index) => [index, sortKey(rows[index], column)]));
      order.sort((a, b) => {
        const x = keys.get(a), y = keys.get(b);
        if (x === y) return a - b;
        if (x === null || x === "") return 1; // rows without a value come last in both directions
        if (y === null || y === "") return -1;
        return x < y ? -sign : sign;
      });
    }
    for (const button of document.querySelectorAll("[data-column]")) {
      const sorted = button.dataset.column === view.column;
      button.parentElement.setAttribute("aria-sort", sorted ? (view.down ? "descending" : "ascending") : "none");
    }
    view.page = 0;
    show();
  }

  const stamp = (milliseconds) => new Date(milliseconds).toISOString().slice(0, 19).replace("T", " ");
  const finished = rows.map((row) => row[FINISHED]).filter((at) => at !== null);
  const day = (at) => Math.floor(at / 86400000);
  const oneDay = finished.length > 0 && finished.every((at) => day(at) === day(finished[0]));
  const time = (milliseconds) => milliseconds === null ? "" : stamp(milliseconds).slice(oneDay ? 11 : 0);
  const length = (milliseconds) => milliseconds === null ? "" : `${count.format(milliseconds)} ms`;

  function cell(tr, name, label, text, title) {
    const td = document.createElement("td");
    td.className = `col-${name}`;
    td.dataset.label = label;
    td.setAttribute("role", "cell");
    if (name === "outcome") {
      const mark = document.createElement("span");
      mark.className = `outcome ${text}`;
      mark.textContent = text;
      td.append(mark);
    } else if (title) { // the name of a room or a user, with the id below
      const id = document.createElement("small");
      id.textContent = text;
      td.append(title, document.createElement("br"), id);
    } else {
      td.textContent = text ?? "";
    }
    tr.append(td);
  }

  const labels = [...document.querySelectorAll("[data-column]")].map((button) => [button.dataset.column, button.textContent]);

  const PRINTED_ROWS = 2000; // more make a browser slow
  let printing = false;

  function show() {
    const pages = Math.max(1, Math.ceil(order.length / view.size));
    view.page = Math.min(Math.max(0, view.page), pages - 1);
    const shown = printing
      ? order.slice(0, PRINTED_ROWS)
      : order.slice(view.page * view.size, (view.page + 1) * view.size);
    byId("printed").textContent = order.length > PRINTED_ROWS
      ? `The first ${count.format(PRINTED_ROWS)} of these ${count.format(order.length)} rows are printed; ${count.format(order.length - PRINTED_ROWS)} are left out. report.csv has every row.`
      : "";
    body.replaceChildren(...shown.map((index) => {
      const row = rows[index], tr = document.createElement("tr");
      tr.setAttribute("role", "row");
      for (const [name, label] of labels) {
        const found = value(row, columns[name]);
        cell(tr, name, label, name === "finished" ? time(found) : name === "duration" ? length(found) : found,
          name in names ? row[names[name]] : "");
      }
      return tr;
    }));
    byId("count").textContent = order.length === rows.length
      ? `${count.format(rows.length)} rows`
      : `${count.format(order.length)} of ${count.format(rows.length)} rows`;
    byId("place").textContent = `Page ${count.format(view.page + 1)} of ${count.format(pages)}`;
    for (const button of document.querySelectorAll("[data-go]")) {
      const back = button.dataset.go === "first" || button.dataset.go === "previous";
      button.disabled = back ? view.page === 0 : view.page === pages - 1;
    }
  }

  function filter(outcome, text) {
    view.outcome = byId("outcome").value = outcome;
    view.text = byId("text").value = text;
    select();
  }

  let searchTimer = 0;
  byId("text").addEventListener("input", (event) => {
    view.text = event.target.value;
    clearTimeout(searchTimer);
    searchTimer = setTimeout(select, 120);
  });
  byId("outcome").addEventListener("change", (event) => { view.outcome = event.target.value; select(); });
  byId("filters").addEventListener("reset", (event) => { event.preventDefault(); filter("", ""); });
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("size").addEventListener("change", (event) => { view.size = Number(event.target.value); view.page = 0; show(); });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const { column, go, outcome, text } = button.dataset;
    if (column) { // ascending, then descending, then the order of the job
      const again = view.column === column;
      view.column = again && view.down ? "" : column;
      view.down = again && !view.down;
      if (view.column) sort(); else select();
    } else if (go) {
      view.page = { first: 0, previous: view.page - 1, next: view.page + 1, last: Infinity }[go];
      show();
    } else if (text !== undefined) {
      filter(outcome, text);
      byId("table").focus();
    }
  });

  const theme = byId("theme"), root = document.documentElement;
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches;
  const updateThemeButton = () => theme.setAttribute("aria-pressed", String(isDark()));
  theme.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; updateThemeButton(); });
  prefersDark.addEventListener("change", updateThemeButton);

  addEventListener("beforeprint", () => { printing = true; show(); });
  addEventListener("afterprint", () => { printing = false; show(); });

  if (matchMedia("(max-width: 40rem)").matches) byId("size").value = view.size = 10;
  root.classList.add("scripted");
  updateThemeButton();
  select();
})();
