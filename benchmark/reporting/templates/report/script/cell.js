// What is behind a cell: the score with all that it rests on, the parts as k of n, what was taken for what, files.
function openCell(key) {
  const [first, name, ...rest] = key.split("/"), federation = named(data.federations, first);
  const method = named(data.methods, name), row = federation?.rows[name];
  const place = federation?.clients.findIndex((client) => client.id === rest.join("/"));
  if (!row || !method || !(place >= 0)) return;
  $("#cell-title").textContent = `${method.title} on ${federation.title}: ${federation.clients[place].title}`;
  $("#cell-body").replaceChildren(...[facts(federation, row, place), parts(federation, row, place), taken(federation, row, place), files(federation, method, row)].filter(Boolean));
  if (!$("#cell").open) $("#cell").showModal();
  choose({ cell: key });
}
$("#cell").addEventListener("close", () => choose({ cell: "" }));

function facts(federation, row, place) {
  const client = federation.clients[place], spread = row.sd[place] === null ? "" : ` ± ${number(row.sd[place])}`;
  const bounds = (pair, text) => interval(...pair, text), against = row.local[place];
  const entries = [
    [federation.score, row.score[place] === null ? row.why[place] : number(row.score[place]) + spread, bounds(row.interval[place])],
    ["chance", client.chance === null ? null : number(client.chance), row.corrected[place] === null ? "" : `chance-corrected: ${number(row.corrected[place])}`],
    row.draws && ["by draw of the split", row.draws.map(({ score }) => score[place] === null ? "—" : number(score[place])).join(", "), scattered(known(row.draws.map(({ score }) => score[place])))],
    ["rank", row.ranks[place] === null ? null : `${row.ranks[place].toFixed(1)} of ${data.ranked}`],
    LOCAL && [`against ${LOCAL.title}`, against && signed(against[0]), against && [bounds(against.slice(1), signed), VERDICTS[verdict(against, federation.higher)]].filter(Boolean).join(", ")],
    ["tested on", client.samples === null ? null : `${client.samples} images`, client.groups === null ? "" : `${client.cases === null ? "" : `${client.cases} cases `}of ${client.groups} ${federation.groups}`],
    ["learning rate", row.rate, row.rate.endsWith("†") ? "at the edge of the grid" : ""],
    ["seeds", row.seeds.map((seed, i) => row.seeds.length > 1 ? `${seed}: ${number(row.each[place][i])}` : seed).join(", ")],
    ...federation.measures.map(([name], i) => [name, row.measures[place][i] === null ? null : number(row.measures[place][i])]),
  ];
  return h("dl", {}, entries.filter((entry) => entry && entry[1]).map(([name, value, more]) => [h("dt", {}, name), h("dd", {}, h("b", {}, String(value)), more ? ` (${more})` : "")]));
}

// How far draws lie apart: their standard deviation.
function scattered(values) {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  return values.length > 1 ? `standard deviation ${number(Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1)))}` : "";
}

// How many images of a class are right, over all seeds: `12 of 29`.
const right = (federation, row, place, c) => {
  const n = federation.clients[place].of[c] * row.seeds.length;
  return `${Math.round(row.parts[place][c] * n)} of ${n}`;
};

function parts(federation, row, place) {
  const client = federation.clients[place];
  if (!federation.parts || !row.parts[place].some((value) => value !== null)) return null;
  const { title, share } = federation.parts;
  const heads = ["Class", share && "Right", title, client.support && federation.groups].filter(Boolean);
  return h("table", { className: "parts" }, h("caption", {}, h("span", {}, `${capital(title)} of every class${row.seeds.length > 1 && share ? ", images counted over all seeds" : ""}${row.draws && share ? ", and in every draw that tests them" : ""}.`)),
    h("thead", {}, h("tr", {}, heads.map((text, i) => h("th", { scope: "col", className: i ? "" : "text" }, text)))),
    h("tbody", {}, federation.classes.map((name, c) => row.parts[place][c] !== null && h("tr", {}, h("th", { scope: "row" }, name),
      share && h("td", {}, right(federation, row, place, c)),
      h("td", { className: "up" + (client.support?.[c] < data.few ? " few" : ""), style: shaded(row.parts[place][c]) }, share ? percent(row.parts[place][c]) : number(row.parts[place][c])),
      client.support && h("td", {}, client.support[c])))));
}

function taken(federation, row, place) {
  const flat = row.taken[place], names = federation.classes;
  if (!flat) return null;
  const lines = names.map((_, c) => flat.slice(c * names.length, (c + 1) * names.length));
  return h("div", { className: "scroll" }, h("table", { className: "parts" }, h("caption", {}, h("span", {}, "Images of each class (row) by the class that they were taken for.")),
    h("thead", {}, h("tr", {}, h("td"), names.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, lines.map((line, c) => line.some(Boolean) && h("tr", {}, h("th", { scope: "row" }, names[c]),
      line.map((n, d) => h("td", { className: (c === d ? "up" : "down") + (n ? "" : " zero"), style: shaded(n / line.reduce((a, b) => a + b, 0)) }, n)))))));
}

function files(federation, method, row) {
  const link = (path, text) => h("a", { href: path }, text);
  // Draws have models, and so files, of their own.
  const trained = (row.draws ?? [{ ...row, name: federation.name }]).flatMap(({ name, rate }) => row.seeds.map((seed) => [name, rate.replace("†", ""), seed]));
  return h("p", {}, "Beside this page: ", trained.map(([name, rate, seed], i) => [
    i ? "; " : "", row.draws ? `${name}, seed ${seed}: ` : `seed ${seed}: `, link(`runs/${name}/${method.name}/lr=${rate}/seed=${seed}/run.json`, "run"), ", ",
    link(`test/${name}/${method.name}/seed=${seed}/predictions.parquet`, "predictions"), ", ",
    link(`test/${name}/${method.name}/seed=${seed}/counts.parquet`, "counts"),
  ]), ".");
}
