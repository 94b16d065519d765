// Tables that sort by the column whose heading is pressed, and can be copied. A table is one stop of the Tab key: arrows
// move between its headings.
function rove(elements) {
  const step = (key) => ({ ArrowRight: 1, ArrowLeft: -1 })[key] ?? 0;
  elements.forEach((one, place) => { one.tabIndex = place ? -1 : 0; });
  for (const one of elements) one.addEventListener("keydown", (event) => {
    const next = elements[elements.indexOf(one) + step(event.key)];
    if (!next || next === one) return;
    event.preventDefault();
    one.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
}

function sort(button) {
  const heading = button.parentElement, table = heading.closest("table");
  const column = Number(heading.dataset.column ?? [...heading.parentElement.children].indexOf(heading));
  const ascending = heading.getAttribute("aria-sort") !== "ascending";
  for (const other of $$("[aria-sort]", table)) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const value = (row) => row.children[column].dataset.value ?? row.children[column].textContent;
  for (const body of table.tBodies) {
    body.append(...[...body.rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)], numbers = x !== "" && y !== "" && !isNaN(x) && !isNaN(y);
      const order = numbers ? x - y : x.localeCompare(y, "en", { numeric: true });
      return ascending ? order : -order;
    }));
  }
}

function ready(table) {
  const buttons = $$("thead button", table);
  rove(buttons);
  for (const button of buttons) button.addEventListener("click", () => sort(button));
  $("caption > span", table).append(" ", h("button", { type: "button", className: "button", onclick: () => offer(table) }, "Copy…"));
}

// What stands below the table, without the button.
const caption = (table) => [...$("caption > span", table).childNodes].filter((one) => one.tagName !== "BUTTON").map((one) => one.textContent).join("").replace(/\s+/g, " ").trim();

// The table as rows of text: its last line of headings, and the rows that are shown.
function rows(table) {
  const text = (cell) => cell.dataset.copy ?? cell.textContent.replace(/\s+/g, " ").trim();
  const heads = [...$$("thead tr", table).at(-1).children].map((cell) => cell.dataset.head ?? text(cell));
  return [heads, ...$$("tbody tr", table).filter((row) => !row.hidden).map((row) => [...row.children].map(text))];
}

const FORMATS = {
  Markdown: (table) => {
    const lines = rows(table).map((row) => `| ${row.map((text) => text.replaceAll("|", "\\|")).join(" | ")} |`);
    return [lines[0], lines[0].replace(/[^|]+/g, " --- "), ...lines.slice(1)].join("\n");
  },
  CSV: (table) => rows(table).map((row) => row.map((text) => text.replace(/^−/, "-")).map((text) => /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text).join(",")).join("\n"),
  // Set smaller where it is wider than the line, so that it never runs over.
  LaTeX: (table) => {
    const marks = { "±": "$\\pm$", "−": "$-$", "†": "$^\\dagger$", "‡": "$^\\ddagger$", "—": "---", "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "←": "", "→": "" };
    const escaped = (text) => text.replace(/[&%$#_{}±−†‡—\\~^←→]/g, (mark) => marks[mark] ?? `\\${mark}`);
    const [heads, ...body] = rows(table).map((row) => row.map(escaped).join(" & ") + " \\\\");
    return [
      "% needs the packages booktabs and graphicx", "\\begin{table*}", "\\centering\\sloppy", `\\caption{${escaped(caption(table))}}`, `\\label{tab:${table.id}}`, "\\footnotesize\\setlength{\\tabcolsep}{3.5pt}",
      "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%", `\\begin{tabular}{l${"r".repeat(rows(table)[0].length - 1)}}`, "\\toprule",
      heads, "\\midrule", ...body, "\\bottomrule", "\\end{tabular}}", "\\end{table*}",
    ].join("\n");
  },
};

function offer(table) {
  const dialog = $("#copy"), text = $("#copy-text");
  const write = () => { text.value = FORMATS[$("input[name=kind]:checked", dialog).value](table); $("#copied").textContent = ""; };
  for (const choice of $$("input[name=kind]", dialog)) choice.onchange = write;
  write();
  $("#copy-now").onclick = async () => {
    text.select();
    const done = await navigator.clipboard?.writeText(text.value).then(() => true, () => false) || document.execCommand("copy");
    $("#copied").textContent = done ? "Copied." : "Press Ctrl+C.";
  };
  dialog.showModal();
}
