// The list of marked rows: a table, and its files.
const listOf = (root, pick, point) => {
  const MOST = 100; // rows that the table shows
  const part = (selector) => root.querySelector(selector);
  const said = part(".found"), hints = part(".hints"), actions = part(".actions");
  const box = part(".listed"), head = part(".listed thead"), body = part(".listed tbody");

  const element = (tag, text, parent) => {
    const made = document.createElement(tag);
    made.textContent = text;
    if (parent) parent.append(made);
    return made;
  };

  const download = (name, text, type) => {
    const link = element("a", "");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  let now = null; // {table, rows, near}
  const button = (name, act) => {
    part(`[name=${name}]`).addEventListener("click", () => act(now));
  };
  button("csv", ({ table, rows, near }) => download("rows.csv", table.csv(rows, near), "text/csv"));
  button("bed", ({ table, rows }) => download("rows.bed", table.bed(rows), "text/plain"));
  button("copy", async ({ table, rows, near }) => {
    const copy = part("[name=copy]");
    await navigator.clipboard.writeText(table.csv(rows, near));
    copy.textContent = "Copied";
    setTimeout(() => { copy.textContent = "Copy CSV"; }, 1500);
  });

  const line = (table, row, titles, near) => {
    const made = document.createElement("tr");
    const open = element("button", "", element("td", "", made));
    const place = `${table.place(row)} (${table.of("strand").at(row)})`;
    const colon = place.lastIndexOf(":") + 1; // a narrow cell breaks the line here
    open.append(place.slice(0, colon), document.createElement("wbr"), place.slice(colon));
    open.type = "button";
    open.title = "Show its nearest neighbours";
    open.addEventListener("click", () => pick(row));
    if (near) element("td", near.get(row).toFixed(3), made);
    titles.forEach((title) => {
      const column = table.of(title);
      const value = column.at(row);
      element("td", value === null ? "–" : points.shown(value, column.format), made);
    });
    made.addEventListener("mouseenter", () => point(row));
    made.addEventListener("mouseleave", () => point(null));
    open.addEventListener("focus", () => point(row));
    open.addEventListener("blur", () => point(null));
    return made;
  };

  // Shows rows; near has the similarity of each if they are neighbours.
  return (table, rows, text, near, colour) => {
    now = { table, rows, near };
    said.textContent = text + (rows.length > MOST
      ? ` The first ${MOST} are listed; the files have all ${points.grouped(rows.length)}.` : "");
    const none = !rows.length;
    hints.hidden = text !== "";
    actions.hidden = none;
    box.hidden = none;
    const titles = [...new Set([...(table.several ? ["genome"] : []), "name", "variant", "label",
      colour])].filter((title) => table.has(title) &&
      !["contig", "strand", "position"].includes(title));
    const top = document.createElement("tr");
    ["place", ...(near ? ["similarity"] : []), ...titles].forEach((title) =>
      element("th", title, top));
    head.replaceChildren(top);
    body.replaceChildren(...rows.slice(0, MOST).map((row) => line(table, row, titles, near)));
    box.scrollTop = 0;
  };
};
