// A column of numbers along a contig, a panel per strand, with a band of the labels.
const track = (() => {
  const STRANDS = ["+", "-"];
  const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

  // Rows of a strand along a contig, and the usual distance between their starts.
  const along = (table, contig, strand) => {
    const rows = table.all.filter((row) =>
      table.contig[row] === contig && table.of("strand").at(row) === strand)
      .sort((a, b) => table.start[a] - table.start[b] || a - b);
    const steps = rows.slice(1).map((row, i) => table.start[row] - table.start[rows[i]]);
    const usual = median(steps.filter((step) => step > 0))
      || table.end[rows[0]] - table.start[rows[0]];
    return { strand, rows, usual };
  };
  const gap = (table, usual, before, row) => table.start[row] - table.start[before] > 2 * usual;

  // The points of a line; null breaks it.
  const line = (table, { rows, usual }, x, y) => {
    const xs = [], ys = [];
    rows.forEach((row, i) => {
      if (i && gap(table, usual, rows[i - 1], row)) { xs.push(null); ys.push(null); }
      xs.push(x(row)); ys.push(y(row));
    });
    return [xs, ys];
  };

  // For each group, the stretches of the contig that its rows cover, as the points of a line.
  const band = (table, { rows, usual }, groups) => {
    const of = new Map(groups.flatMap((group) => group.rows.map((row) => [row, group])));
    const found = new Map();
    let last = null;
    rows.forEach((row, i) => {
      const group = of.get(row), next = rows[i + 1];
      const stop = next === undefined || gap(table, usual, row, next)
        ? table.end[row] : Math.max(table.start[next], table.start[row]);
      if (!group) { last = null; return; }
      if (!found.has(group)) found.set(group, []);
      const spans = found.get(group);
      if (last === group && spans.at(-1)[1] === table.start[row]) spans.at(-1)[1] = stop;
      else spans.push([table.start[row], stop]);
      last = group;
    });
    return [...found].map(([group, spans]) => [group, spans.flatMap((span) => [...span, null])]);
  };

  const panel = (table, mine, index, { values, title, colour, palette, marks }) => {
    const x = (row) => (table.start[row] + table.end[row]) / 2, y = (row) => values[row];
    const axes = { xaxis: "x", yaxis: index ? `y${2 * index + 1}` : "y" };
    const type = points.type(table.all.length), [xs, ys] = line(table, mine, x, y);
    const inside = new Set(mine.rows), width = Math.min(points.size(mine.rows.length), 6);
    const text = points.hover(table, colour);
    const said = (row) => `${text(row)}<br>${points.safe(title)}: ${points.shown(values[row])}`;
    const traces = [
      // Alleles of one place have no order.
      ...(table.has("allele") ? [] : [{ type, mode: "lines", x: xs, y: ys, hoverinfo: "skip",
        connectgaps: false,
        line: { color: "var(--soft)", width: mine.rows.length > 2000 ? 0.6 : 1.2 } }]),
      ...points.coloured(table, colour, palette, mine.rows, marks, x, y, said, false, width),
      ...points.marked(table, { rows: marks.rows.filter((row) => inside.has(row)),
        chosen: inside.has(marks.chosen) ? marks.chosen : null }, x, y, width),
    ].map((trace) => ({ ...trace, ...axes, showlegend: false }));
    const bands = band(table, mine, labelGroups(table, palette));
    return [...traces, ...bands.map(([group, spans]) => ({ type: "scatter", mode: "lines", x: spans,
      y: spans.map((value) => (value === null ? null : 0)), hoverinfo: "skip", showlegend: false,
      xaxis: "x", yaxis: `y${2 * index + 2}`, line: { color: group.color, width: 10 } }))];
  };

  // Groups of the band: labels that are names.
  const labelGroups = (table, palette) => (table.has("label") && table.of("label").names
    ? points.groups(table, "label", palette).filter((group) => group.name !== "no label") : []);

  const figure = (options) => {
    const { table, contig, values, title, drag, level, joined, name } = options;
    const strands = STRANDS.map((strand) => along(table, contig, strand))
      .filter(({ rows }) => rows.length);
    const count = strands.length, banded = labelGroups(table, options.palette).length > 0;
    const layout = { height: 90 + 190 * count, showlegend: false, dragmode: drag,
      selectdirection: "h", uirevision: `${name} ${contig} ${title}`,
      selectionrevision: options.marks.revision, margin: { l: 70, r: 20, t: 16, b: 50 },
      xaxis: { title: { text: "position (bp)" }, zeroline: false,
        anchor: `y${banded ? 2 * count : 2 * count - 1}` } };
    strands.forEach(({ strand }, index) => {
      const top = 1 - index / count, low = 1 - (index + 1) / count;
      const strandTitle = joined ? "both strands" : `${strand === "-" ? "−" : strand} strand`;
      layout[index ? `yaxis${2 * index + 1}` : "yaxis"] = { zeroline: false,
        domain: [low + (banded ? 0.22 / count : 0.04), top - (index ? 0.04 : 0)],
        title: { text: `${points.safe(points.short(title))}<br>${strandTitle}` } };
      layout[`yaxis${2 * index + 2}`] = { domain: [low + 0.03, low + 0.16 / count], visible: false,
        range: [-1, 1], fixedrange: true };
    });
    if (level !== undefined) {
      layout.shapes = strands.map((_, index) => ({ type: "line", xref: "paper", x0: 0, x1: 1,
        yref: index ? `y${2 * index + 1}` : "y", y0: level, y1: level,
        line: { color: "var(--soft)", width: 1, dash: "dot" } }));
    }
    const rows = strands.flatMap((mine) => mine.rows).map((row) => values[row])
      .filter((value) => value !== null);
    const extent = rows.length ? [Math.min, Math.max].map((of) =>
      points.shown(rows.reduce((a, b) => of(a, b)))).join(" to ") : "none";
    return { data: strands.flatMap((mine, index) => panel(table, mine, index, options)), layout,
      alt: `${title} along ${table.contigTitle(contig)}, ` +
        `${joined ? "both strands joined" : strands.map(({ strand }) => `strand ${strand}`)
          .join(" and ")}: ${points.grouped(rows.length)} rows, from ${extent}.` };
  };

  // Contigs with most rows, for the menu.
  const contigs = (table, most) => {
    const counts = new Map();
    table.contig.forEach((contig) => counts.set(contig, (counts.get(contig) || 0) + 1));
    return [...counts].sort((a, b) => b[1] - a[1]).slice(0, most).map(([contig]) => contig);
  };

  return { figure, contigs, labelGroups };
})();
