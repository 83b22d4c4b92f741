// The interactive figures of the page: menus choose dataset, contig and colour.
(() => {
  const PALETTE = ["#2f6f6a", "#c8793b", "#5b6fb0", "#a8475b", "#7d9a3c", "#8a6bb3", "#3b98b8",
    "#b59a3a", "#6b4f3a", "#d08fa6", "#4c5a63", "#7fb59b"];
  const REST = "#b8b8b0";

  const layout = (extra) => ({ legend: { y: -0.2 }, ...extra });
  const axis = (title) => ({ title: { text: title }, zeroline: false });
  // Plotly interprets tags in texts; names of contigs must not be tags.
  const safe = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;");
  const short = (text) => (text.length <= 28 ? text : `${text.slice(0, 13)}…${text.slice(-14)}`);
  const range = (length) => Array.from({ length }, (_, i) => i);

  // Colour of a row, by chosen key: names (null: none), or numbers.
  const colours = {
    GC: (k) => ({ numbers: k.gc, format: ".0%" }),
    position: (k) => ({ numbers: k.start, format: ",.3s" }),
    label: (k) => (typeof k.label.find((x) => x !== null) === "number"
      ? { numbers: k.label } : { names: k.label }),
    contig: (k) => ({ names: k.contig.map((c, i) => k.genomes.length > 1
      ? `${k.genomes[k.genome[i]]} ${k.contigs[c]}` : k.contigs[c]) }),
    strand: (k) => ({ names: k.strand }),
  };

  // A menu entry of the table above, or "sheet" and a further column of the sheet.
  const colourOf = (entry, k) => {
    if (colours[entry]) return colours[entry](k);
    const values = k.columns[entry.slice("sheet ".length)];
    const rows = k.genome.map((genome) => values[genome]);
    return typeof values.find((x) => x !== null) === "number" ? { numbers: rows } : { names: rows };
  };

  const groups = (names) => {
    const counts = new Map();
    names.forEach((name) => counts.set(name, (counts.get(name) || 0) + 1));
    const none = counts.delete(null);
    const order = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a));
    const shown = order.slice(0, PALETTE.length);
    const of = (name) => (name === null ? "no label" : shown.includes(name) ? name : "others");
    const list = shown.map((name, i) => ({ name, color: PALETTE[i] }));
    if (order.length > shown.length) list.push({ name: "others", color: REST });
    if (none) list.unshift({ name: "no label", color: "#dadfdc" });
    return list.map((g) => ({ ...g, rows: range(names.length).filter((i) => of(names[i]) === g.name) }));
  };

  const hover = (k) => range(k.start.length).map((i) =>
    `${safe(k.genomes[k.genome[i]])}<br>${safe(short(k.contigs[k.contig[i]]))}<br>` +
    `${k.start[i].toLocaleString()} to ${k.end[i].toLocaleString()} (${k.strand[i]})` +
    (k.label && k.label[i] !== null ? `<br>${safe(k.label[i])}` : ""));

  const scatter = (points, keys, colour) => {
    const text = hover(keys);
    const base = { type: "scattergl", mode: "markers", hoverinfo: "text" };
    if (colour.numbers) {
      return [{ ...base, x: points[0], y: points[1], text, marker: { size: 5, opacity: 0.8,
        color: colour.numbers, colorscale: "Viridis",
        colorbar: { thickness: 10, tickformat: colour.format } } }];
    }
    return groups(colour.names).map((g) => ({ ...base, name: safe(short(g.name)),
      x: g.rows.map((i) => points[0][i]), y: g.rows.map((i) => points[1][i]),
      text: g.rows.map((i) => text[i]), marker: { size: 5, opacity: 0.8, color: g.color } }));
  };

  const drawPoints = (root, data) => {
    const chosen = data.datasets[root.querySelector("[name=dataset]").value];
    const keys = data.keys[chosen.keys];
    const colour = colourOf(root.querySelector("[name=colour]").value, keys);
    const about = (what) => `${what}: ${keys.start.length} rows, coloured by ${root.querySelector("[name=colour]").value}.`;
    const share = (i) => `PC${i + 1} (${Math.round(100 * chosen.shares[i])}%)`;
    const extra = { height: 440, showlegend: !colour.numbers };
    root.querySelector(".says-rows").textContent = chosen.note;
    const pca = root.querySelector(".pca"), umap = root.querySelector(".umap");
    pca.hidden = !chosen.pcs;
    if (chosen.pcs) {
      page.draw(pca, { data: scatter(chosen.pcs, keys, colour), alt: about("Principal components"), layout: layout({ ...extra,
        title: { text: "Principal components" },
        xaxis: axis(share(0)), yaxis: axis(share(1)) }) });
    }
    umap.hidden = !chosen.umap;
    if (chosen.umap) {
      page.draw(umap, { data: scatter(chosen.umap, keys, colour), alt: about("UMAP"), layout: layout({ ...extra,
        title: { text: "UMAP" },
        xaxis: axis("UMAP 1"), yaxis: axis("UMAP 2") }) });
    }
  };

  const drawTrack = (root, data) => {
    const chosen = data.datasets[root.querySelector("[name=dataset]").value];
    const keys = data.keys[chosen.keys];
    const [genome, contig] = root.querySelector("[name=contig]").value.split(" ").map(Number);
    const mine = range(keys.start.length).filter((i) =>
      keys.genome[i] === genome && keys.contig[i] === contig);
    const strand = mine.some((i) => keys.strand[i] === "+") ? "+" : "-";
    const rows = mine.filter((i) => keys.strand[i] === strand)
      .sort((a, b) => keys.start[a] - keys.start[b]);
    const text = hover(keys), x = rows.map((i) => (keys.start[i] + keys.end[i]) / 2);
    const track = root.querySelector(".track");
    track.hidden = !chosen.pcs;
    if (!chosen.pcs) return;
    const traces = chosen.pcs.map((pc, c) => ({ x, y: rows.map((i) => pc[i]), mode: "lines+markers",
      name: `PC${c + 1}`, line: { color: PALETTE[c], width: 1.4 }, marker: { size: 3 },
      text: rows.map((i) => text[i]), hoverinfo: "text+name" }));
    if (keys.label && typeof keys.label.find((l) => l !== null) !== "number") {
      const low = Math.min(...chosen.pcs.flatMap((pc) => rows.map((i) => pc[i])));
      const high = Math.max(...chosen.pcs.flatMap((pc) => rows.map((i) => pc[i])));
      groups(rows.map((i) => keys.label[i])).filter((g) => g.name !== "no label").forEach((g) =>
        traces.push({ x: g.rows.map((r) => x[r]), y: g.rows.map(() => low - 0.08 * (high - low)),
          mode: "markers", name: safe(g.name), hoverinfo: "name",
          marker: { symbol: "square", size: 6, color: g.color } }));
    }
    page.draw(track, { data: traces, alt: `Components of ${rows.length} rows along the contig.`, layout: layout({ height: 340, showlegend: true,
      title: { text: `Along the contig, strand ${strand}` },
      xaxis: axis("position (bp)"), yaxis: axis("component") }) });
  };

  document.querySelectorAll("[data-embeddings]").forEach((root) => {
    const data = page.json(root);
    const draw = () => { drawPoints(root, data); drawTrack(root, data); };
    root.querySelectorAll("select").forEach((select) => select.addEventListener("change", draw));
    draw();
  });

  const drawScores = (root, keys) => {
    const [genome, contig] = root.querySelector("[name=contig]").value.split(" ").map(Number);
    const text = hover(keys);
    const traces = ["+", "-"].map((strand, s) => {
      const rows = range(keys.start.length).filter((i) => keys.genome[i] === genome &&
        keys.contig[i] === contig && keys.strand[i] === strand)
        .sort((a, b) => keys.start[a] - keys.start[b]);
      return { x: rows.map((i) => (keys.start[i] + keys.end[i]) / 2),
        y: rows.map((i) => keys.bits[i]), mode: "lines+markers",
        name: keys.joined ? "both strands" : `strand ${strand}`,
        line: { color: PALETTE[s], width: 1.4 }, marker: { size: 3 }, hoverinfo: "text",
        text: rows.map((i) => `${text[i]}<br>${keys.bits[i].toFixed(3)} bits per base`) };
    }).filter((trace) => trace.x.length);
    const line = { type: "line", xref: "paper", x0: 0, x1: 1, y0: 2, y1: 2,
      line: { color: "var(--soft)", width: 1, dash: "dot" } };
    page.draw(root.querySelector(".track"), { data: traces, alt: "Bits per base along the contig.", layout: layout({ height: 340, showlegend: true,
      shapes: [line], title: { text: "Bits per base along the contig" },
      xaxis: axis("position (bp)"), yaxis: axis("bits per base") }) });
  };

  document.querySelectorAll("[data-scores]").forEach((root) => {
    const keys = page.json(root);
    const draw = () => drawScores(root, keys);
    root.querySelector("select").addEventListener("change", draw);
    draw();
  });
})();
