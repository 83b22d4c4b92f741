// Links the plots of rows: menus, marks, search, list and track. And tracks that stand alone.
(() => {
  const MOST_CONTIGS = 40; // in a menu

  const fill = (select, options, chosen) => {
    const before = chosen === undefined ? select.value : String(chosen);
    select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
    if (options.some(([value]) => String(value) === before)) select.value = before;
    select.parentElement.hidden = options.length < 2;
  };

  const fillContigs = (select, table, also) => {
    const most = track.contigs(table, MOST_CONTIGS);
    if (also !== undefined && !most.includes(also)) most.push(also);
    fill(select, most.map((contig) => [contig, points.short(table.contigTitle(contig))]), also);
  };

  // A legend below a plot; a click on a name marks its rows.
  const legend = (list, groups, mark, before) => {
    list.replaceChildren(...(groups.length && before ? [before] : []), ...groups.map((group) => {
      const item = document.createElement("li"), inner = document.createElement("button");
      const sign = document.createElement("span");
      sign.textContent = group.sign;
      sign.style.color = group.color;
      inner.type = "button";
      inner.append(sign, ` ${points.short(group.name)} (${points.grouped(group.rows.length)})`);
      inner.addEventListener("click", () => mark(group));
      item.append(inner);
      return item;
    }));
  };

  const explore = (root) => {
    const data = page.json(root), tables = data.tables.map(tableOf);
    const palette = { colours: data.colours, grey: data.grey };
    const menu = (name) => root.querySelector(`[name=${name}]`);
    const part = (selector) => root.querySelector(selector);
    const plot = part(".projection"), along = part(".track");
    const legends = root.querySelectorAll(".legend");
    const none = { rows: [], chosen: null, near: null, text: "" };
    let marks = { ...none, revision: 0 };
    const decoded = new Map();

    const dataset = () => {
      const name = menu("dataset").value, mine = data.datasets[name];
      if (!decoded.has(name)) {
        const read = (values) => values.map(tableOf.decode);
        decoded.set(name, { ...mine, pcs: read(mine.pcs), umap: mine.umap && read(mine.umap),
          neighbours: tableOf.decode(mine.neighbours), cosines: tableOf.decode(mine.cosines) });
      }
      return decoded.get(name);
    };
    const table = () => tables[data.datasets[menu("dataset").value].table];

    const fillMenus = () => {
      const { pcs, umap, shares } = dataset(), rows = table();
      const pairs = [[0, 1], [0, 2], [1, 2]].filter(([, second]) => second < pcs.length);
      fill(menu("axes"), [...(umap ? [["umap", "UMAP"]] : []),
        ...pairs.map(([a, b]) => [`${a} ${b}`, `PC${a + 1} and PC${b + 1}`])]);
      fill(menu("colour"), rows.menu.map((title) => [title, title]));
      const numbers = Object.keys(rows.columns).filter((title) =>
        rows.of(title).numbers && title !== "position" && !title.startsWith("sheet "));
      fill(menu("track"), [...pcs.map((_, i) => [`PC${i + 1}`, `PC${i + 1} (${
        (100 * shares[i]).toFixed(1)} %)`]), ...numbers.map((title) => [title, title])]);
      fillContigs(menu("contig"), rows,
        marks.chosen === null ? undefined : rows.contig[marks.chosen]);
    };

    const markGroup = ({ rows, name }) =>
      mark(rows, `${points.grouped(rows.length)} rows: ${name}.`);

    const heard = new Set();
    const drawIn = (element, figure) => {
      page.draw(element, figure);
      if (!heard.has(element)) listen(element);
      heard.add(element);
    };

    const drawPoints = () => {
      const name = menu("dataset").value, mine = dataset(), rows = table();
      const colour = menu("colour").value, drag = menu("drag").value;
      plot.parentElement.hidden = !mine.pcs.length;
      part(".says-rows").textContent = `${points.grouped(rows.all.length)} of ` +
        `${points.grouped(mine.total)} rows, evenly spaced; ${points.grouped(mine.width)} ` +
        `dimensions. Neighbours are the ${mine.nearest} nearest of these rows, by the cosine of ` +
        "the vectors minus their mean.";
      if (mine.pcs.length) {
        const view = menu("axes").value;
        drawIn(plot, points.figure(name, mine, rows, view, colour, palette, marks, drag));
      }
      legend(legends[0], rows.of(colour).names ? points.groups(rows, colour, palette) : [],
        markGroup);
    };

    const drawTrack = () => {
      const name = menu("dataset").value, mine = dataset(), rows = table();
      const title = menu("track").value, number = /^PC(\d)$/.exec(title);
      const values = number && mine.pcs[number[1] - 1] || rows.of(title).numbers;
      drawIn(along, track.figure({ name, table: rows, contig: Number(menu("contig").value), values,
        title, colour: menu("colour").value, palette, marks, joined: mine.joined,
        drag: { lasso: "select", select: "select" }[menu("drag").value] || menu("drag").value }));
      const band = menu("colour").value === "label" ? [] : track.labelGroups(rows, palette);
      const before = document.createElement("li");
      before.textContent = "Band:";
      legend(legends[1], band.map((group) => ({ ...group, sign: "■" })),
        markGroup, before);
    };

    const draw = () => {
      drawPoints();
      drawTrack();
      list(table(), marks.rows, marks.text, marks.near, menu("colour").value);
    };

    const mark = (rows, text, more) => {
      marks = { ...none, rows, text, revision: marks.revision + 1, ...more };
      if (marks.chosen !== null) fillContigs(menu("contig"), table(), table().contig[marks.chosen]);
      draw();
    };

    // Marks the nearest neighbours of a row.
    const pick = (row) => {
      const { neighbours, cosines, nearest } = dataset();
      const own = Array.from({ length: nearest }, (_, i) => row * nearest + i);
      const near = new Map([[row, 1], ...own.map((i) => [neighbours[i], cosines[i]])]);
      mark([...near.keys()], `${table().place(row)} (${table().of("strand").at(row)}) and its ` +
        `${nearest} nearest neighbours in ${menu("dataset").value}.`, { chosen: row, near });
    };

    // Points at a row in both plots; null: at none.
    const ring = (x, y, refs) => ({ type: "circle", xsizemode: "pixel", ysizemode: "pixel",
      xanchor: x, yanchor: y, x0: -9, x1: 9, y0: -9, y1: 9, ...refs,
      line: { color: getComputedStyle(root).getPropertyValue("--mark").trim(), width: 3 } });
    const point = (row) => {
      const show = (element, axes) => {
        if (!element.layout) return;
        const trace = row === null ? null : element.data.find((each) =>
          each.customdata && each.customdata.includes(row));
        const at = trace && trace.customdata.indexOf(row);
        Plotly.relayout(element, { shapes: trace ? [ring(trace.x[at], trace.y[at],
          { xref: trace.xaxis || axes[0], yref: trace.yaxis || axes[1] })] : [] });
      };
      show(plot, ["x", "y"]);
      show(along, ["x", "y"]);
    };

    const list = listOf(root, pick, point);

    const listen = (element) => {
      const rowOf = (found) => found.data.customdata && found.data.customdata[found.pointNumber];
      const rowsOf = (found) => [...new Set(found.map(rowOf).filter((row) => row !== undefined))];
      element.on("plotly_click", ({ points: [first] }) => setTimeout(() => pick(rowOf(first))));
      element.on("plotly_selected", (event) => {
        if (!event || !event.points.length) return;
        const rows = rowsOf(event.points).sort((a, b) => a - b);
        setTimeout(() => mark(rows, `${points.grouped(rows.length)} rows selected.`));
      });
      element.on("plotly_hover", ({ points: [first] }) => point(rowOf(first)));
      element.on("plotly_unhover", () => point(null));
    };

    const find = () => {
      const text = menu("find").value.trim();
      if (!text) { mark([], ""); return; }
      const rows = table().search(text);
      mark(rows, rows.length ? `${points.grouped(rows.length)} rows: ${points.short(text)}.`
        : `No row has "${points.short(text)}" in its name, contig or genome, or at this position.`);
    };

    let waiting = 0;
    menu("find").addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(find, 200);
    });
    menu("clear").addEventListener("click", () => { menu("find").value = ""; mark([], ""); });
    let shownTable = table();
    menu("dataset").addEventListener("change", () => {
      const { chosen } = marks, same = table() === shownTable;
      shownTable = table();
      if (!same) marks = { ...none, revision: marks.revision + 1 };
      fillMenus();
      if (same && chosen !== null) pick(chosen); else draw();
    });
    ["axes", "colour", "drag", "contig", "track"].forEach((name) =>
      menu(name).addEventListener("change", draw));
    fillMenus();
    draw();
  };

  const trackAlone = (root) => {
    const data = page.json(root), table = tableOf(data.table);
    const palette = { colours: data.colours, grey: data.grey };
    const contig = root.querySelector("[name=contig]");
    const colour = table.has("label") ? "label" : "strand";
    fillContigs(contig, table);
    const draw = () => page.draw(root.querySelector(".track"), track.figure({ name: data.column,
      table, contig: Number(contig.value), values: table.of(data.column).numbers,
      title: data.column, colour, palette, marks: { rows: [], chosen: null, revision: 0 },
      drag: "zoom", level: data.line, joined: data.joined }));
    contig.addEventListener("change", draw);
    draw();
  };

  document.querySelectorAll("[data-explorer]").forEach(explore);
  document.querySelectorAll("[data-track]").forEach(trackAlone);
})();
