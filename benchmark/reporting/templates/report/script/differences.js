// Every method against one of them: paired differences with their intervals, the best on top.
const QUANTITIES = { mean: (score) => `mean ${score}`, corrected_mean: () => "chance-corrected mean", average_rank: () => "average rank" };
// Quantities in which a method is compared with others, on the federations that are shown; first those with intervals.
function scopes(versus) {
  const place = data.methods.findIndex((one) => one.name === versus);
  const title = (one) => one.federation === "all" ? "all federations" : named(data.federations, one.federation).title;
  const score = (one) => (named(data.federations, one.federation) ?? data.federations[0]).score;
  const here = (one) => one.federation === "all" ? !state.task && !state.federation : federations().some((other) => other.name === one.federation);
  const sure = (one) => one.of.some(([, , , low]) => low !== null);
  return data.pairs.map((one, i) => [String(i), `${QUANTITIES[one.quantity]?.(score(one))}, ${title(one)}`, one])
    .filter(([, , one]) => here(one) && one.of.some(([a, b]) => a === place || b === place))
    .sort(([, , one], [, , other]) => sure(other) - sure(one));
}

function drawDifferences() {
  const versus = menu("Against", "versus", data.methods.map((one) => [one.name, one.title])), offered = scopes(versus.chosen);
  const scope = offered.length ? menu("In", "scope", offered) : null;
  $("#pairs-controls").replaceChildren(...[versus, scope].filter(Boolean));
  if (!scope) return $("#pairs-drawn").replaceChildren(h("p", {}, "There are no intervals here for this method."));
  const of = data.pairs[Number(scope.chosen)], other = named(data.methods, versus.chosen), direction = of.higher ? 1 : -1;
  const found = methods().filter((one) => one !== other).map((method) => ({ method, difference: pair(of, method.name, other.name) })).filter((one) => one.difference && one.difference[0] !== null);
  found.sort((a, b) => direction * (b.difference[0] - a.difference[0]));
  const ends = known(found.flatMap((one) => one.difference)), most = Math.max(...ends.map(Math.abs), 1e-9) * 1.08;
  const at = (value) => `${50 + 50 * direction * value / most}%`;
  const line = ({ method, difference: [value, low, high] }) => {
    const sign = verdict([value, low, high], of.higher), bar = low === null ? [] : [low, high].sort((a, b) => direction * (a - b));
    return h("tr", {}, h("th", { scope: "row" }, method.title),
      h("td", { className: "plot", data: { value, copy: VERDICTS[sign] } }, h("span", { className: `forest ${sign > 0 ? "better" : sign < 0 ? "worse" : "same"}` },
        bar.length ? h("i", { style: { left: at(bar[0]), width: `${50 * Math.abs(high - low) / most}%` } }) : null, h("b", { style: { left: at(value) } }))),
      h("td", { data: { value } }, signed(value)), h("td", {}, interval(low, high, signed)), h("td", { className: "text" }, VERDICTS[sign]));
  };
  const unit = of.quantity === "average_rank" ? "places" : "score";
  const heads = [["Method", "text"], [[h("span", {}, signed(-direction * most)), h("span", { className: "wide" }, `← worse than ${other.title} · better →`), h("span", {}, signed(direction * most))], "plot"], [`Difference (${unit})`, ""], ["95 % interval", ""], ["Verdict", "text"]];
  const table = h("table", { id: "differences-table", className: "sortable" },
    h("caption", {}, h("span", {}, `Each method less ${other.title} in ${offered.find(([value]) => value === scope.chosen)[1]}, on the same test images. To the right is better.${found.some((one) => one.difference[1] === null) ? " Not known: there is no interval; the notes below “Every client” say which test sets are too small for one." : ""}`)),
    h("thead", {}, h("tr", {}, heads.map(([text, name]) => h("th", { scope: "col", className: name }, h("button", { type: "button" }, text))))),
    h("tbody", {}, found.map(line)));
  $("#pairs-drawn").replaceChildren(h("div", { className: "scroll" }, table));
  ready(table);
}
drawings.push(drawDifferences);
