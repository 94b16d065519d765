// Sorts each body of a table by the column whose heading is pressed; controls stay below the rule.
for (const button of document.querySelectorAll("table.sortable thead button")) {
  button.addEventListener("click", () => {
    const heading = button.parentElement, table = heading.closest("table");
    const column = [...heading.parentElement.children].indexOf(heading);
    const ascending = heading.getAttribute("aria-sort") !== "ascending";
    for (const other of heading.parentElement.children) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const value = (row) => row.children[column].dataset.value ?? row.children[column].textContent;
    for (const body of table.tBodies) {
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [value(a), value(b)], numbers = x !== "" && y !== "" && !isNaN(x) && !isNaN(y);
        const order = numbers ? x - y : x.localeCompare(y, "en", { numeric: true });
        return ascending ? order : -order;
      });
      body.append(...rows);
    }
  });
}
