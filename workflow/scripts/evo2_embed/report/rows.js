// The rows that the page draws: their columns, a search, and files of chosen rows.
const tableOf = (() => {
  const NO_VALUE = 65535; // see encode.py
  const SEARCHED = ["name", "variant", "id", "label", "contig", "genome"];

  const decode = ({ type, data, low, step }) => {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const whole = new globalThis[type](bytes.buffer);
    if (step === undefined) return whole;
    return Array.from(whole, (number) => (number === NO_VALUE ? null : low + step * number));
  };

  const column = (encoded, start) => {
    const { names, index, numbers, format } = encoded;
    if (names) {
      const of = decode(index);
      return { names, index: of, at: (row) => names[of[row]] };
    }
    const values = numbers ? decode(numbers) : Array.from(start);
    return { numbers: values, format, at: (row) => values[row] };
  };

  const number = (text) => Number(text.replaceAll(",", ""));
  const grouped = new Intl.NumberFormat("en").format; // 1,234
  const cell = (value) => {
    const text = value === null ? "" : String(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const shortest = (value) => (typeof value === "number" ? Number(value.toPrecision(6)) : value);

  const table = (data) => {
    const start = decode(data.start), end = decode(data.end), contig = decode(data.contig);
    const known = new Map();
    const of = (title) => {
      if (!known.has(title)) known.set(title, column(data.columns[title], start));
      return known.get(title);
    };
    const has = (title) => title in data.columns;
    const all = Array.from({ length: data.rows }, (_, row) => row);
    const several = new Set(data.contigs.map(([genome]) => genome)).size > 1;
    const contigTitle = (index) => data.contigs[index].slice(several ? 0 : 1).join(": ");
    const place = (row) => `${data.contigs[contig[row]][1]}:` +
      `${grouped(start[row] + 1)}-${grouped(end[row])}`;

    // Rows that a position such as chr1:1,001-2,000 touches; null if the text is no position.
    const at = (text) => {
      const [, named, first, last] = /^(.+):([\d,]+)(?:-([\d,]+))?$/.exec(text) || [];
      const contigs = new Set(data.contigs.flatMap(([genome, name], index) =>
        [name, `${genome}:${name}`, `${genome}: ${name}`].includes(named) ? [index] : []));
      if (!contigs.size) return null;
      const from = number(first) - 1, to = last ? number(last) : from + 1;
      return all.filter((row) => contigs.has(contig[row]) && start[row] < to && end[row] > from);
    };

    // Rows with a name that is the text, or if there are none, that holds it.
    const search = (text) => {
      const positions = at(text);
      if (positions) return positions;
      const wanted = text.toLowerCase();
      const matching = (matches) => {
        const found = SEARCHED.filter((title) => has(title) && of(title).names).map((title) => {
          const hits = of(title).names.map((name) => name !== null && matches(name.toLowerCase()));
          return hits.includes(true) ? (row) => hits[of(title).index[row]] : null;
        }).filter(Boolean);
        return found.length ? all.filter((row) => found.some((hit) => hit(row))) : [];
      };
      const exact = matching((name) => name === wanted);
      return exact.length ? exact : matching((name) => name.includes(wanted));
    };

    const csv = (rows, similarity) => {
      const titles = Object.keys(data.columns).filter((t) =>
        !["genome", "contig", "strand", "position"].includes(t));
      const head = ["genome", "contig", "start", "end", "strand", ...titles];
      const lines = rows.map((row) => [...data.contigs[contig[row]], start[row], end[row],
        of("strand").at(row), ...titles.map((title) => shortest(of(title).at(row))),
        ...(similarity ? [shortest(similarity.get(row))] : [])]);
      if (similarity) head.push("similarity");
      return [head, ...lines].map((line) => line.map(cell).join(",")).join("\n") + "\n";
    };

    // Sorted as BED files are, genome after genome.
    const bed = (rows) => {
      const sorted = [...rows].sort((a, b) => contig[a] - contig[b] || start[a] - start[b]);
      let genome = null;
      return sorted.map((row) => {
        const [mine, name] = data.contigs[contig[row]];
        const head = several && mine !== genome ? `# genome: ${mine}\n` : "";
        genome = mine;
        const title = (has("name") && of("name").at(row)) || ".";
        return `${head}${[name, start[row], end[row], title.replace(/\s/g, "_"), 0,
          of("strand").at(row)].join("\t")}\n`;
      }).join("");
    };

    return { all, menu: data.menu, columns: data.columns, start, end, contig, several, of, has,
      contigTitle, place, search, csv, bed };
  };
  table.decode = decode;
  table.grouped = grouped;
  return table;
})();
