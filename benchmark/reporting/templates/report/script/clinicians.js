// What a hospital wants to know: is it helped or hurt, which classes are found, and can a stated confidence be believed?
const hospital = (federation, place) => `${federation.clients[place].title} (${federation.title})`;

function drawGains() {
  const shown = federations(), place = $("#gains-drawn");
  if (!LOCAL) return place.replaceChildren(h("p", {}, "No method of this comparison trains alone, so that nobody can be said to gain or to lose."));
  const line = (method) => {
    const found = shown.flatMap((one) => (one.rows[method.name]?.local ?? []).map((difference, i) => [verdict(difference, one.higher), hospital(one, i)]));
    const of = (sign) => found.filter(([own]) => own === sign).map(([, name]) => name);
    const groups = { better: of(1), same: [...of(0), ...of(null)], worse: of(-1) };
    return found.length && h("tr", {}, h("th", { scope: "row" }, method.title),
      h("td", { className: "plot", data: { value: groups.better.length - groups.worse.length, copy: "" } }, h("span", { className: "stack" },
        Object.entries(groups).map(([name, list]) => list.length ? h("i", { className: name, style: { flex: list.length } }, list.length) : null))),
      ["better", "same", "worse"].map((name) => h("td", {}, groups[name].length)),
      h("td", { className: "text wrap" }, groups.worse.join(", ")));
  };
  const heads = [["Method", "text"], ["Hospitals", "plot"], ["Helped", ""], ["Undecided", ""], ["Hurt", ""], ["Which are hurt", "text"]];
  const table = h("table", { id: "gains-table", className: "sortable" },
    h("caption", {}, h("span", {}, `Hospitals where a method is reliably better (helped) or worse (hurt) than training alone (${LOCAL.title}): the 95 % interval of the difference on that hospital's own test images excludes 0. Undecided: the interval holds 0, or the test set is too small for one. Of twenty hospitals that nothing changes for, one would be counted by chance.`)),
    h("thead", {}, h("tr", {}, heads.map(([text, name]) => h("th", { scope: "col", className: name }, h("button", { type: "button" }, text))))),
    h("tbody", {}, methods().filter((one) => one !== LOCAL).map(line).filter(Boolean)));
  place.replaceChildren(h("div", { className: "scroll" }, table));
  ready(table);
}

function drawHospitals() {
  const federation = menu("Federation", "hospitals", federations().map((one) => [one.name, one.title]));
  const one = named(data.federations, federation.chosen), trained = methods().filter((method) => one.rows[method.name]);
  const asked = menu("Method", "method", trained.map((method) => [method.name, method.title]));
  $("#hospitals-controls").replaceChildren(...(federations().length > 1 ? [federation] : []), asked);
  const method = named(data.methods, asked.chosen), row = one.rows[method.name], alone = LOCAL && method !== LOCAL && one.rows[LOCAL.name];
  const beside = (value) => alone && h("small", {}, `${LOCAL.title.toLowerCase()}: ${value}`);
  const part = (c) => h("tr", {}, h("th", { scope: "row" }, one.classes[c]), one.clients.map((client, place) => {
    const value = row.parts[place][c];
    if (value === null) return h("td", { className: "blank", data: { value: "" } }, client.of[c] ? row.why[place] : "none");
    const [share, text] = [one.parts.share, one.parts.share ? percent : number];
    return h("td", { className: "up" + (client.support?.[c] < data.few ? " few" : ""), style: shaded(value), data: { value, copy: share ? `${percent(value)} (${right(one, row, place, c)})` : text(value) } },
      h("b", {}, text(value)), share && ` ${right(one, row, place, c)}`, alone && beside(text(alone.parts[place][c])));
  }));
  const measure = ([name, says], m) => h("tr", { title: says }, h("th", { scope: "row" }, name), one.clients.map((_, place) => {
    const value = row.measures[place][m];
    return h("td", { data: { value: value ?? "", copy: number(value) } }, h("b", {}, number(value)), alone && beside(number(alone.measures[place][m])));
  }));
  const scores = h("tr", {}, h("th", { scope: "row" }, one.score), one.clients.map((client, place) => h("td", { className: few(client) ? "few" : "", data: { value: row.score[place] ?? "", copy: number(row.score[place]) } },
    h("b", {}, row.score[place] === null ? row.why[place] : number(row.score[place])), alone && beside(number(alone.score[place])))));
  const table = h("table", { id: "hospitals-table", className: "sortable tall" },
    h("caption", {}, h("span", {}, `${method.title} on ${one.title}. `, one.parts && `Above: ${one.parts.title} of every class${one.parts.share ? ", and how many images are right" : ""}${one.clients.some(few) ? `; hatched where fewer than ${data.few} ${one.groups} show it, as is a score that such a class is part of` : ""}. `,
      one.measures.map(([name, says]) => `${capital(name)}: ${says}. `))),
    h("thead", {}, h("tr", {}, ["Hospital", ...one.clients.map((client) => client.title)].map((text, i) => h("th", { scope: "col", className: i ? "" : "text" }, h("button", { type: "button" }, text))))),
    // A class that no hospital has a part of, such as a background, has no row.
    one.parts && h("tbody", {}, one.classes.map((_, c) => one.clients.some((client) => client.of[c]) && part(c))), h("tbody", { className: "measures" }, scores, one.measures.map(measure)));
  $("#hospitals-drawn").replaceChildren(h("div", { className: "scroll" }, table));
  ready(table);
}
drawings.push(drawGains, drawHospitals);
