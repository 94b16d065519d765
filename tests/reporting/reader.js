// What a reader does in the page of a frame; every step says what it found. `browser.py` reads it in #found.
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const all = (page, selector) => [...page.querySelectorAll(selector)];
const texts = (page, selector) => all(page, selector).map((one) => one.textContent.trim());
const press = (element, key) => element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
const pick = (page, name, value) => {
  const menu = page.querySelector(`select[name=${name}]`);
  menu.value = value;
  menu.dispatchEvent(new Event("change"));
};

async function measure(frame) {
  const page = frame.contentDocument, window = frame.contentWindow;
  const closed = all(page, "details:not([open])");
  const stops = all(page, "a[href], button, input, select, textarea, summary, [tabindex]").filter((one) =>
    one.tabIndex >= 0 && one.checkVisibility() && !one.closest("dialog:not([open])") && !(one.type === "radio" && !one.checked)).length;
  closed.forEach((one) => { one.open = true; });
  for (let tries = 0; tries < 100 && !all(page, "img").every((one) => one.complete && one.naturalWidth); tries++) await wait(50);
  const found = {
    width: frame.clientWidth, needed: page.documentElement.scrollWidth, stops, hash: window.location.hash,
    images: page.images.length,
    broken: [...page.images].filter((image) => !(image.complete && image.naturalWidth)).length,
    open: page.querySelector("#cell").open, title: page.querySelector("#cell-title").textContent,
    behind: page.querySelector("#cell-body").textContent,
    links: all(page, "#cell a").map((one) => one.getAttribute("href")),
    view: page.querySelector("input[name=view]:checked").value,
    scope: page.querySelector("select[name=scope]").selectedOptions[0].textContent, differences: page.querySelector("#differences-table caption").textContent,
    columns: texts(page, "#clients-table thead tr:last-child th"), cells: all(page, "#clients-table td.open").length,
    texts: texts(page, "#clients-table td.open.up, #clients-table td.open.down"), shades: all(page, "#clients-table td.open.up, #clients-table td.open.down").map((one) => one.classList.contains("up") ? "up" : "down"),
  };
  closed.forEach((one) => { one.open = false; });
  return found;
}

function act(frame) {
  const page = frame.contentDocument, window = frame.contentWindow, address = () => window.location.hash, found = {};
  const table = page.querySelector("#leaderboard-table"), heads = texts(table, "thead th"), mean = heads.indexOf("Chance-corrected");
  const button = all(table, "thead button")[mean], column = () => all(table.tBodies[0], "tr").map((row) => row.children[mean].dataset.value);
  button.click();
  found.rising = column();
  button.click();
  found.falling = column();
  found.said = table.querySelectorAll("thead th")[mean].getAttribute("aria-sort");

  const cells = () => all(page, "#clients-table tbody td.open");
  found.difference = texts(page, "#clients-table tbody:first-of-type tr:first-child td.open");
  page.querySelector("input[name=view][value=rank]").click();
  found.rank = { address: address(), cells: texts(page, "#clients-table tbody:first-of-type tr:first-child td.open") };
  page.querySelector("input[name=view][value=score]").click();
  found.score = texts(page, "#clients-table tbody:first-of-type tr:first-child td.open");

  const [first, second] = cells();
  first.focus();
  press(first, "ArrowRight");
  found.walked = [page.activeElement === second, first.tabIndex, second.tabIndex];
  press(second, "Enter");
  found.opened = { open: page.querySelector("#cell").open, title: page.querySelector("#cell-title").textContent, address: address(), cell: second.dataset.cell };
  page.querySelector("#cell").close();

  pick(page, "versus", "fedit");
  found.against = { address: address(), rows: texts(page, "#differences-table tbody th"), numbers: all(page, "#differences-table td.plot").map((one) => Number(one.dataset.value)), signs: texts(page, "#differences-table td.text") };
  found.gains = all(page, "#gains-table tbody tr").map((row) => [row.children[0].textContent, ...[2, 3, 4].map((place) => Number(row.children[place].textContent))]);
  pick(page, "method", "fedpal");
  found.sensitivity = all(page, "#hospitals-table tbody:first-of-type tr").map((row) => [...row.children].map((one) => one.dataset.copy ?? one.textContent));
  pick(page, "federation", "toy_slides");
  found.filtered = { address: address(), columns: texts(page, "#clients-table thead tr:last-child th"), hidden: all(page, "[data-federation]").filter((one) => one.hidden).map((one) => one.dataset.federation), hospitals: texts(page, "#hospitals-table thead th") };

  table.querySelector("caption button").click();
  found.copied = {};
  for (const choice of all(page, "#copy input[name=kind]")) { choice.click(); found.copied[choice.value] = page.querySelector("#copy-text").value; }
  page.querySelector("#copy").close();
  page.querySelector("nav a[href='#costs']").click();
  found.nav = address();
  return found;
}

window.addEventListener("load", async () => {
  await wait(200);
  const frames = [...document.querySelectorAll("iframe")], found = [];
  for (const frame of frames) found.push(await measure(frame));
  const done = ACTS ? act(frames[0]) : null;
  await wait(200);
  found.forEach((one, place) => Object.assign(one, { faults: frames[place].contentWindow.faults, requests: frames[place].contentWindow.performance.getEntriesByType("resource").map((entry) => entry.name) }));
  document.getElementById("found").textContent = JSON.stringify({ frames: found, done });
});
