// Every method on every client: a table whose cells are shaded by what the reader asks for, and open.
const VIEWS = {
  difference: LOCAL && `Difference from ${LOCAL.title}`, score: "Score", corrected: "Chance-corrected", rank: "Rank",
};
const EXPLAINED = {
  difference: () => `Score less that of ${LOCAL.title}, the method that trains alone, whose own scores stand in its row. Bold: the 95 % interval of this difference, looked at alone, excludes 0.`,
  score: () => "Score on the test images. A dotted line below a number: no better than a prediction that looks at no image.",
  corrected: () => "The score on the scale on which chance is 0 and a perfect model 1.",
  rank: () => `Rank among the ${data.ranked} ranked methods, 1 being the best; ties share their mean.`,
};

// What a cell says: its text, its number to sort by, its shade from -1 (worst) to 1 (best), and whether it is reliable.
function said(federation, row, place, largest) {
  const score = row.score[place], client = federation.clients[place], direction = federation.higher ? 1 : -1;
  if (score === null) return { text: row.why[place], value: "", shade: null };
  if (state.view === "rank") {
    const rank = row.ranks[place];
    return rank === null ? { text: "—", value: "", shade: null } : { text: rank.toFixed(1), value: rank, shade: 1 - 2 * (rank - 1) / Math.max(1, data.ranked - 1) };
  }
  if (state.view === "corrected") {
    const value = row.corrected[place];
    return { text: value === null ? "—" : number(value), value: value ?? "", shade: value };
  }
  const alone = LOCAL && federation.rows[LOCAL.name];
  if (state.view === "difference" && alone && row !== alone) {
    const value = row.local[place]?.[0] ?? (alone.score[place] === null ? null : score - alone.score[place]);
    if (value === null) return { text: "—", value: "", shade: null };
    return { text: signed(value), value, shade: direction * value / largest, strong: Boolean(verdict(row.local[place], federation.higher)) };
  }
  const below = client.chance !== null && direction * (score - client.chance) <= 0;
  return { text: number(score), value: score, shade: state.view === "score" ? row.corrected[place] : null, below };
}

// The largest difference from training alone, so that shades are comparable within a federation.
function span(federation) {
  const alone = LOCAL && federation.rows[LOCAL.name];
  const all = Object.values(federation.rows).flatMap((row) => row.score.map((score, place) =>
    score === null || !alone || alone.score[place] === null ? 0 : Math.abs(score - alone.score[place])));
  return Math.max(...all) || 1;
}

const shaded = (shade) => shade === null || shade === undefined ? {} : { "--t": Math.min(1, Math.abs(shade)).toFixed(2) };
const tone = (shade) => shade > 0 ? "up" : shade < 0 ? "down" : "";

function clientCell(federation, method, place, largest) {
  const row = federation.rows[method.name], client = federation.clients[place];
  if (!row) return h("td", { className: "blank" });
  const { text, value, shade, strong, below } = said(federation, row, place, largest);
  return h("td", {
    className: ["open", tone(shade), strong && "strong", below && "below", few(client) && "few"].filter(Boolean).join(" "),
    style: shaded(shade), tabIndex: -1, data: { value, cell: [federation.name, method.name, client.id].join("/") },
  }, text);
}

function meanCell(federation, method) {
  const row = federation.rows[method.name];
  if (!row) return h("td", { className: "mean" });
  if (state.view === "rank") return h("td", { className: "mean", data: { value: row.rank ?? "" } }, row.rank === null ? "—" : row.rank.toFixed(2));
  if (state.view === "corrected") {
    const values = row.corrected, whole = !values.includes(null), mean = values.reduce((a, b) => a + b, 0) / values.length;
    return h("td", { className: "mean", data: { value: whole ? mean : "" } }, whole ? number(mean) : "—");
  }
  const alone = LOCAL && federation.rows[LOCAL.name];
  const against = state.view === "difference" && alone && row !== alone;
  if (row.mean[0] === null || (against && alone.mean[0] === null)) return h("td", { className: "mean", data: { value: "" } }, row.why.find(Boolean) ?? "—");
  const value = against ? row.mean[0] - alone.mean[0] : row.mean[0];
  const found = against && pair(data.pairs.find((one) => one.quantity === "mean" && one.federation === federation.name), method.name, LOCAL.name);
  const strong = against && verdict(found, federation.higher);
  const bounds = against ? found && interval(found[1], found[2], signed) : interval(row.mean[2], row.mean[3]);
  return h("td", { className: "mean" + (strong ? " strong" : ""), title: bounds ? `95 % interval: ${bounds}` : "", data: { value } }, against ? signed(value) : number(value));
}

// On paper nothing scrolls: there, federations stand below each other, as many beside each other as a page holds columns.
const PAPER = 13;
let printing = false;
const beside = (shown) => !printing ? [shown] : shown.reduce((lines, one) => {
  const last = lines.at(-1), columns = [...last, one].reduce((sum, other) => sum + other.clients.length + 1, 0);
  columns > PAPER && last.length ? lines.push([one]) : last.push(one);
  return lines;
}, [[]]);

function drawClients() {
  const place = $("#clients-drawn"), scrolled = $(".scroll", place)?.scrollLeft ?? 0;
  const tables = beside(federations()).map((shown, i) => clientTable(shown, i ? `clients-table-${i + 1}` : "clients-table"));
  place.replaceChildren(...tables.map((table) => h("div", { className: "scroll" }, table)));
  $(".scroll", place).scrollLeft = scrolled;
  for (const table of tables) { ready(table); walk(table); }
}
for (const [name, now] of [["beforeprint", true], ["afterprint", false]]) window.addEventListener(name, () => { printing = now; drawClients(); });

function clientTable(shown, id) {
  const published = shown.map((one) => Object.values(one.rows).some((row) => row.published.mean || row.published.average_rank));
  // A long name may break behind a low line.
  const head = (text, column, full = text) => h("th", { scope: "col", data: { column, head: full } }, h("button", { type: "button" }, text.replaceAll("_", "_\u200b")));
  let column = 1;
  const above = h("tr", {}, h("td"), shown.map((one, i) => h("th", { scope: "colgroup", className: "federation", colSpan: one.clients.length + 1 + published[i] },
    h("span", {}, `${one.title}: ${one.score}`))));
  const heads = h("tr", {}, h("th", { scope: "col", className: "text", data: { column: 0, head: "Method" } }, h("button", { type: "button" }, "Method")), shown.map((one, i) => [
    one.clients.map((client) => head(client.title, column++, `${one.name} ${client.title}`)),
    head("Mean", column++, `${one.name} mean`), published[i] && head("published", column++, `${one.name} published`),
  ]));
  const spans = shown.map(span);
  const line = (method) => h("tr", { data: { method: method.name } }, h("th", { scope: "row" }, method.title + (shown.find((one) => one.rows[method.name]?.mark) ? "‡" : "")),
    shown.map((one, i) => [
      one.clients.map((_, j) => clientCell(one, method, j, spans[i])), meanCell(one, method),
      published[i] && h("td", { className: "mean" }, one.rows[method.name]?.published[state.view === "rank" ? "average_rank" : "mean"] ?? ""),
    ]));
  const ranked = methods().filter((one) => !one.control), controls = methods().filter((one) => one.control);
  const hatched = shown.flatMap((one) => one.clients.filter(few).map((client) => one.groups));
  const caption = h("caption", {}, h("span", {}, `${EXPLAINED[state.view]()} Colours: `,
    h("span", { className: "key down", style: { "--t": 0.8 } }, "worse"), " ", h("span", { className: "key up", style: { "--t": 0.8 } }, "better"),
    hatched.length ? [". ", h("span", { className: "key few" }, "hatched"), `: a class of that client is tested on fewer than ${data.few} ${[...new Set(hatched)].join(" or ")}`] : null, "."));
  return h("table", { id, role: "grid", className: "sortable heat" }, caption, h("thead", {}, above, heads),
    h("tbody", {}, ranked.map(line)), controls.length ? h("tbody", { className: "unranked", title: "controls: shown, not ranked" }, controls.map(line)) : null);
}

// One stop of the Tab key; arrows walk through the cells, Enter or a press opens one.
function walk(table) {
  const first = $("td.open", table);
  if (first) first.tabIndex = 0;
  const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
  table.addEventListener("keydown", (event) => {
    const cell = event.target.closest("td.open");
    if (!cell) return;
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); openCell(cell.dataset.cell); }
    const [down, right] = step[event.key] ?? [0, 0], lines = $$("tbody tr", table);
    if (!down && !right) return;
    event.preventDefault();
    const line = lines[lines.indexOf(cell.parentElement) + down], cells = line ? [...line.children] : [];
    let at = [...cell.parentElement.children].indexOf(cell) + right;
    while (cells[at] && !cells[at].classList.contains("open") && right) at += right;
    if (!cells[at]?.classList.contains("open")) return;
    cell.tabIndex = -1;
    cells[at].tabIndex = 0;
    cells[at].focus();
  });
  table.addEventListener("click", (event) => { const cell = event.target.closest("td.open"); if (cell) openCell(cell.dataset.cell); });
}

function drawViews() {
  const offered = Object.entries(VIEWS).filter(([name, text]) => text && (name !== "corrected" || data.federations.some((one) => one.perfect !== null)));
  if (!offered.some(([name]) => name === state.view)) state.view = DEFAULTS.view;
  $("#views").replaceChildren($("#views legend"), ...offered.map(([value, text]) => h("label", {},
    h("input", { type: "radio", name: "view", value, checked: value === state.view, onchange: () => choose({ view: value }) }), h("span", {}, text))));
}
drawings.push(drawClients);
