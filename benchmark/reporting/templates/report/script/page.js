// Filters, sections, figures: what holds the page together.
function drawFilters() {
  const every = (label, key, values, text = (value) => value) => [label, key, [["", "all"], ...values.map((value) => [value, text(value)])]];
  const unique = (values) => [...new Set(values)];
  const offered = [
    every("Task", "task", unique(data.federations.map((one) => one.task))),
    every("Federation", "federation", data.federations.filter((one) => !state.task || one.task === state.task).map((one) => one.name), (name) => named(data.federations, name).title),
    every("Methods", "group", unique(data.methods.filter((one) => !one.control).map((one) => one.group))),
  ];
  $("#filters").replaceChildren(...offered.filter(([, key, options]) => options.length > 2 || state[key]).map((one) => menu(...one)));
  const own = new Set(federations().map((one) => one.name)), kept = new Set(methods().map((one) => one.name));
  for (const part of $$("[data-federation]")) part.hidden = !own.has(part.dataset.federation);
  for (const row of $$("#leaderboard-table tbody tr")) row.hidden = !kept.has($("th code", row)?.textContent);
}
drawings.unshift(drawFilters, drawViews);

// Figures are packed (gzip) until they are opened, which makes the page several times smaller.
async function unpack(image) {
  const packed = Uint8Array.from(atob(image.dataset.packed), (character) => character.charCodeAt(0));
  delete image.dataset.packed;
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  image.src = URL.createObjectURL(new Blob([await new Response(stream).arrayBuffer()], { type: "image/svg+xml" }));
}
for (const part of $$("details.figures")) part.addEventListener("toggle", () => { if (part.open) $$("img[data-packed]", part).forEach(unpack); });

function show(name) {
  const section = document.getElementById(name);
  section?.closest("details")?.setAttribute("open", "");
  section?.scrollIntoView();
}
for (const link of $$("nav a, a.skip")) link.addEventListener("click", (event) => {
  event.preventDefault();
  choose({ at: link.hash.slice(1) });
  show(state.at);
});
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) for (const link of $$("nav a")) {
    const here = link.hash === "#" + entry.target.id;
    here ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
    if (here) link.parentElement.parentElement.scrollLeft = link.offsetLeft - 80;
  }
}, { rootMargin: "-20% 0px -75% 0px" });
$$("section").forEach((section) => seen.observe(section));

function arrive() {
  readAddress();
  draw();
  if (state.at) show(state.at);
  if (state.cell) openCell(state.cell);
}
$$("table.sortable").forEach(ready);
arrive();
window.addEventListener("hashchange", arrive);
