// What the reader chose stands in the address, behind the #, so that a link shows somebody else the same page.
const data = JSON.parse(document.getElementById("numbers").textContent);
const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
const named = (list, name) => list.find((one) => one.name === name);
const LOCAL = named(data.methods, data.local);
const DEFAULTS = {
  task: "", federation: "", group: "", view: LOCAL ? "difference" : "score", versus: (LOCAL ?? data.methods[0]).name,
  scope: "", method: data.methods[0].name, hospitals: data.federations[0].name, cell: "", at: "",
};
const state = { ...DEFAULTS };
const drawings = [];

function readAddress() {
  const address = location.hash.slice(1), given = new URLSearchParams(address.includes("=") ? address : { at: address });
  for (const key in DEFAULTS) state[key] = given.get(key) ?? DEFAULTS[key];
  // A name that is not on this page would leave nothing to see.
  for (const [key, named] of [["federation", "name"], ["task", "task"]]) if (!data.federations.some((one) => one[named] === state[key])) state[key] = "";
  if (!data.methods.some((one) => one.group === state.group)) state.group = "";
}

function choose(changes) {
  Object.assign(state, changes);
  const kept = Object.entries(state).filter(([key, value]) => value !== DEFAULTS[key]);
  history.replaceState(null, "", "#" + new URLSearchParams(kept));
  if (!("cell" in changes || "at" in changes)) draw();
}

// What is drawn anew loses the focus: the reader goes on where they were.
function draw() {
  const { name } = document.activeElement ?? {};
  drawings.forEach((one) => one());
  if (name) $(`select[name="${name}"], input[name="${name}"]:checked`)?.focus({ preventScroll: true });
}

// An element with properties, attributes (of names with a dash, or that are no property) and children. Text is never HTML.
function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "style") for (const [key, css] of Object.entries(value)) element.style.setProperty(key, css);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name in element) element[name] = value;
    else if (value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// A list to choose from, and in `chosen` what is: the first entry where the state names none of the list.
function menu(label, key, options) {
  const chosen = options.some(([value]) => value === state[key]) ? state[key] : options[0][0];
  const entries = options.map(([value, text]) => h("option", { value, selected: value === chosen }, text));
  const select = h("select", { name: key, onchange: (event) => choose({ [key]: event.target.value }) }, entries);
  return Object.assign(h("label", {}, h("span", {}, label), select), { chosen });
}

const federations = () => data.federations.filter((one) =>
  (!state.task || one.task === state.task) && (!state.federation || one.name === state.federation));
const methods = () => data.methods.filter((one) => !state.group || one.group === state.group || one.control);
const few = (client) => client.support && client.support.some((n) => n > 0 && n < data.few);

const number = (value) => value === null ? "" : (Math.abs(value) < 10 ? value.toFixed(3) : value.toPrecision(4)).replace("-", "−");
const signed = (value) => value === null ? "" : (value >= 5e-4 ? "+" : "") + number(Math.abs(value) < 5e-4 ? 0 : value);
const percent = (value) => value === null ? "" : (100 * value).toFixed(0) + " %";
const interval = (low, high, text = number) => low === null ? "" : `${text(low)} to ${text(high)}`;
const capital = (text) => text[0].toUpperCase() + text.slice(1);
const known = (values) => values.filter((value) => value !== null);

// 1: reliably better, -1: reliably worse, 0: the interval holds 0, null: there is none.
function verdict(difference, higher) {
  if (!difference || difference[1] === null) return null;
  const above = (difference[1] > 0) - (difference[2] < 0);
  return higher ? above : -above;
}
const VERDICTS = { 1: "reliably better", 0: "undecided", "-1": "reliably worse", null: "not known" };

// How two methods compare, whichever of them stands first in the pair.
function pair(of, method, other) {
  const [a, b] = [method, other].map((name) => data.methods.findIndex((one) => one.name === name));
  const found = of.index ??= new Map(of.of.map((row) => [row[0] + " " + row[1], row.slice(2)]));
  const turned = found.get(b + " " + a)?.map((value) => value === null ? null : -value);
  return found.get(a + " " + b) ?? (turned && [turned[0], turned[2], turned[1]]);
}
