// The projection of rows, and how rows are coloured here and in tracks.
const points = (() => {
  const SYMBOLS = { circle: "●", square: "■", diamond: "◆", "triangle-up": "▲", cross: "✚",
    "triangle-down": "▼", star: "★", x: "✖" };
  const NONE = "circle-open", OTHERS = "diamond-open"; // without a value, without an own colour
  const SIGNS = { ...SYMBOLS, [NONE]: "○", [OTHERS]: "◇" };
  const MOST_RINGS = 200; // marked rows; if there are more, the others are dimmed
  const DIMMED = 0.2;
  const MOST_SYMBOLS = 5000; // rows; the symbols of more are too small to tell apart
  const MOST_SVG = 3000; // rows; more are drawn by WebGL, of which a browser has few canvases
  const SCALE = [0, 1, 2, 3, 4, 5].map((step) => [step / 5, `var(--scale-${step})`]);

  // Plotly interprets tags in texts; names must not be tags.
  const safe = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  const short = (text) => (text.length <= 40 ? text : `${text.slice(0, 18)}…${text.slice(-19)}`);
  const { grouped } = tableOf;
  const size = (count) => (count <= 300 ? 10 : count <= 1000 ? 8 : count <= 3000 ? 6.5
    : count <= 12000 ? 4.5 : 3);
  const type = (count) => (count > MOST_SVG ? "scattergl" : "scatter");

  const shown = (value, format) => (value === null ? "none"
    : typeof value === "number" ? (/%/.test(format) ? `${(100 * value).toFixed(1)} %`
      : grouped(Number(value.toPrecision(4)))) : value);

  // Groups of rows with one name: colour, symbol and rows of each, in the order of the colours.
  const groups = (table, title, { colours, grey }) => {
    const column = table.of(title), own = colours[title] || {};
    const names = Object.keys(own), symbols = Object.keys(SYMBOLS);
    const found = new Map([...names, "others", null].map((name) => [name, []]));
    const of = column.names.map((name) =>
      found.get(name === null || name in own ? name : "others"));
    column.index.forEach((index, row) => of[index].push(row));
    const many = table.all.length > MOST_SYMBOLS;
    return [...found].filter(([, rows]) => rows.length).map(([name, rows]) => {
      const color = own[name] || grey;
      const symbol = name === null ? NONE : name === "others" && !(name in own) ? OTHERS
        : many || color === grey ? "circle" : symbols[names.indexOf(name) % symbols.length];
      return { name: name === null ? `no ${title}` : name, rows, color, symbol,
        sign: SIGNS[symbol] };
    });
  };

  // The text of a row in a plot. It is kept, since thousands of texts take time.
  const texts = new WeakMap();
  const hover = (table, title) => {
    const titles = ["name", "variant", "allele", "label"].filter(table.has);
    if (!titles.includes(title) && !["contig", "genome", "strand", "position"].includes(title)) {
      titles.push(title);
    }
    const text = (row) => [
      ...(table.several ? [table.of("genome").at(row)] : []),
      `${table.place(row)} (${table.of("strand").at(row)})`,
      ...titles.map((name) => [name, table.of(name).at(row), table.of(name).format])
        .filter(([, value]) => value !== null)
        .map(([name, value, format]) => `${name}: ${short(String(shown(value, format)))}`),
    ].map(safe).join("<br>");
    if (!texts.has(table)) texts.set(table, new Map());
    const mine = texts.get(table), key = titles.join();
    if (!mine.has(key)) mine.set(key, []);
    const known = mine.get(key);
    return (row) => { known[row] ??= text(row); return known[row]; };
  };

  // Traces of some rows, in the colours of a column.
  const coloured = (table, title, palette, rows, marks, x, y, text, bar, width) => {
    const dim = marks.rows.length > MOST_RINGS ? new Set(marks.rows) : null;
    const base = (mine, marker) => ({ type: type(table.all.length), mode: "markers",
      hoverinfo: "text", showlegend: false, x: mine.map(x), y: mine.map(y), customdata: mine,
      text: mine.map(text), marker: { size: width, ...marker,
        opacity: dim ? mine.map((row) => (dim.has(row) ? 1 : DIMMED)) : 1 } });
    const column = table.of(title);
    if (column.names) {
      const inside = new Set(rows);
      return groups(table, title, palette)
        .map((group) => ({ ...group, rows: group.rows.filter((row) => inside.has(row)) }))
        // Grey below colours, and large groups below small ones.
        .sort((a, b) => (b.color === palette.grey) - (a.color === palette.grey)
          || b.rows.length - a.rows.length)
        .map(({ rows: mine, color, symbol }) => base(mine, { color, symbol }));
    }
    const values = column.numbers.filter((value) => value !== null);
    const low = values.reduce((a, b) => Math.min(a, b), Infinity);
    const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
    const known = rows.filter((row) => column.numbers[row] !== null);
    const without = rows.filter((row) => column.numbers[row] === null);
    const marker = { color: known.map((row) => column.numbers[row]),
      colorscale: SCALE, cmin: low, cmax: high, showscale: bar,
      colorbar: { title: { text: safe(short(title)), side: "right" }, thickness: 12,
        outlinewidth: 0, tickformat: column.format } };
    return [base(without, { color: palette.grey, symbol: NONE }), base(known, marker)]
      .filter((trace) => trace.x.length);
  };

  // Rings around marked rows, if they are not too many; a larger one around the chosen row.
  const marked = (table, { rows, chosen }, x, y, width) => {
    const ring = (mine, more, color, thick, symbol) => ({ type: type(table.all.length),
      mode: "markers", hoverinfo: "skip", showlegend: false, x: mine.map(x), y: mine.map(y),
      marker: { symbol, size: width + more, color, line: { color, width: thick } } });
    return [
      ...(rows.length && rows.length <= MOST_RINGS
        ? [ring(rows, 5, "var(--ink)", 1.6, "circle-open")] : []),
      ...(chosen === null ? [] : [ring([chosen], 12, "var(--mark)", 3, "diamond-open")]),
    ];
  };

  const AXES = { umap: ["UMAP 1", "UMAP 2"] };
  const axesOf = (dataset, view) => {
    if (view === "umap") return [dataset.umap, AXES.umap];
    const chosen = view.split(" ").map(Number);
    return [chosen.map((i) => dataset.pcs[i]),
      chosen.map((i) => `PC${i + 1} (${(100 * dataset.shares[i]).toFixed(1)} % of the variance)`)];
  };

  const figure = (name, dataset, table, view, title, palette, marks, drag) => {
    const [[xs, ys], axes] = axesOf(dataset, view);
    const x = (row) => xs[row], y = (row) => ys[row];
    const axis = (text, extra) => ({ title: { text }, zeroline: false, ...extra });
    const kind = view === "umap" ? "UMAP" : "Principal components";
    const parts = table.of(title).names ? groups(table, title, palette).slice(0, 6)
      .map((group) => `${group.name} ${grouped(group.rows.length)}`).join(", ") : "";
    return {
      data: [...coloured(table, title, palette, table.all, marks, x, y, hover(table, title), true,
          size(table.all.length)),
        ...marked(table, marks, x, y, size(table.all.length))],
      layout: { height: 560, dragmode: drag, showlegend: false, uirevision: `${name} ${view}`,
        selectionrevision: marks.revision, margin: { l: 60, r: 20, t: 16, b: 50 },
        xaxis: axis(axes[0]), yaxis: axis(axes[1]) },
      alt: `${kind} of ${grouped(table.all.length)} rows of ${name}, coloured by ${title}` +
        `${parts && `: ${parts}`}. ` +
        (marks.rows.length ? `${grouped(marks.rows.length)} rows are marked. ` : "") +
        "The search and the list of rows beside it need no mouse.",
    };
  };

  return { figure, groups, hover, coloured, marked, safe, short, grouped, shown, size, type };
})();
