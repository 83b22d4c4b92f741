// Tables: sorted by a click on a column, numbers to the right, and a hint if they are wider than
// their place.
page.tables = (() => {
  const NUMBER = /^[+\-−]?[\d,]*\.?\d+(e[+-]?\d+)?%?$/i;
  // An amount with a unit has its number beside it.
  const text = (row, column) =>
    row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
  const number = (cell) => (NUMBER.test(cell) ? Number(cell.replace(/[,%]/g, "").replace("−", "-")) : NaN);
  const compare = (one, two) => {
    const [a, b] = [number(one), number(two)];
    if (Number.isNaN(a) || Number.isNaN(b)) {
      return Number.isNaN(a) - Number.isNaN(b) || one.localeCompare(two, "en", { numeric: true });
    }
    return a - b;
  };

  const sort = (table, head, column) => {
    const down = head.ariaSort === "ascending";
    table.querySelectorAll("th").forEach((each) => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows].sort((a, b) => compare(text(a, column), text(b, column)));
    body.replaceChildren(...(down ? rows.reverse() : rows));
  };

  const prepare = (table) => {
    const rows = [...table.tBodies[0].rows];
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const cells = rows.map((row) => text(row, column));
      if (cells.every((cell) => NUMBER.test(cell) || cell === "-")) {
        [head, ...rows.map((row) => row.cells[column])].forEach((c) => c.classList.add("number"));
      }
      if (rows.length < 2) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(table, head, column));
      head.append(button);
    });
  };

  // Keyboards scroll only what they can reach.
  const hint = (box) => {
    const wider = box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1;
    box.classList.toggle("scrolls", wider);
    if (wider) {
      box.tabIndex = 0;
      box.setAttribute("role", "region");
      box.setAttribute("aria-label", box.querySelector("table").getAttribute("aria-label"));
    } else ["tabindex", "role", "aria-label"].forEach((name) => box.removeAttribute(name));
  };
  const observer = new ResizeObserver((entries) => entries.forEach(({ target }) => hint(target)));
  document.querySelectorAll(".table:not(.listed)").forEach((box) => {
    prepare(box.querySelector("table"));
    observer.observe(box);
  });

  const quoted = (cell) => (/[",\n]/.test(cell) ? `"${cell.replace(/"/g, '""')}"` : cell);
  const csv = (table) => [...table.rows].map((row) => [...row.cells].map((cell) => {
    const plain = cell.textContent.trim();
    return quoted(NUMBER.test(plain) ? plain.replace(/,/g, "") : plain);
  }).join(",")).join("\n") + "\n";

  return { csv };
})();
