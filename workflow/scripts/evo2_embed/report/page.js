// Draws the figures of the page in its colours, and again when these change.
const page = (() => {
  const drawn = new Map(); // figures by their element
  const root = document.documentElement;

  // Strings such as "var(--ink)" in a figure are colours of the page's style.
  const styled = (value, style) => {
    if (typeof value === "string") {
      return value.startsWith("var(") ? style.getPropertyValue(value.slice(4, -1)).trim() : value;
    }
    if (Array.isArray(value)) {
      // The last value tells: a stop of a colour scale is a number and a colour.
      const plain = !["object", "string"].includes(typeof value.at(-1));
      return plain ? value : value.map((each) => styled(each, style));
    }
    if (value && value.constructor === Object) {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, styled(v, style)]));
    }
    return value;
  };

  const AXIS = { gridcolor: "var(--grid)", linecolor: "var(--grid)", zerolinecolor: "var(--grid)",
    automargin: true };
  const COLOURBAR = { thickness: 10, outlinewidth: 0 };
  const complete = ({ data, layout }, width) => {
    const title = typeof layout.title === "string" ? { text: layout.title } : layout.title;
    const axes = Object.fromEntries(Object.entries({ xaxis: {}, yaxis: {}, ...layout })
      .filter(([name]) => /^[xy]axis/.test(name))
      .map(([name, axis]) => [name, { ...AXIS, ...axis }]));
    return [
      data.map((trace) => trace.type === "heatmap"
        ? { ...trace, colorbar: { ...COLOURBAR, ...trace.colorbar } } : trace),
      { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest",
        margin: { l: 60, r: 20, t: title ? 44 : 16, b: 50 }, ...layout, ...axes, width,
        font: { family: "system-ui, sans-serif", size: 12, color: "var(--ink)" },
        hoverlabel: { bgcolor: "var(--card)", bordercolor: "var(--soft)",
          font: { color: "var(--ink)" } },
        legend: { orientation: "h", y: -0.25, font: { size: 11 }, ...layout.legend },
        title: title && { x: 0, xanchor: "left", xref: "paper", font: { size: 14 }, ...title } },
    ];
  };

  const redraw = (element) => {
    const style = getComputedStyle(root), width = element.clientWidth;
    if (!width) return; // in a folded section
    const [data, layout] = complete(drawn.get(element), width);
    Plotly.react(element, styled(data, style), styled(layout, style),
      { displaylogo: false, displayModeBar: false, ...drawn.get(element).config });
  };

  const widths = new WeakMap();
  const observer = new ResizeObserver((entries) => entries.forEach(({ target }) => {
    if (widths.get(target) === target.clientWidth) return;
    widths.set(target, target.clientWidth);
    redraw(target);
  }));

  // Draws a figure {data, layout, alt}; alt says in a sentence what it shows.
  const draw = (element, figure) => {
    drawn.set(element, figure);
    element.style.minHeight = `${figure.layout.height}px`;
    if (figure.alt) {
      element.setAttribute("role", "img");
      element.setAttribute("aria-label", figure.alt);
    }
    redraw(element);
    widths.set(element, element.clientWidth);
    observer.observe(element);
  };

  const json = (element) =>
    JSON.parse(element.querySelector("script[type='application/json']").textContent);

  const redrawAll = () => [...drawn.keys()].forEach(redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawAll);

  // Paper is white, narrower than most windows, and shows folded sections, too.
  const printing = (on) => {
    if (root.classList.contains("printing") === on) return;
    root.classList.toggle("printing", on);
    document.querySelectorAll("details").forEach((each) => {
      if (on) each.dataset.was = each.open;
      each.open = on || each.dataset.was === "true";
    });
    redrawAll();
  };
  addEventListener("beforeprint", () => printing(true));
  addEventListener("afterprint", () => printing(false));
  matchMedia("print").addEventListener("change", ({ matches }) => printing(matches));

  document.querySelectorAll("[data-figure]").forEach((box) =>
    draw(box.querySelector(".drawing"), json(box)));

  return { draw, json, drawn: () => [...drawn.keys()] };
})();
