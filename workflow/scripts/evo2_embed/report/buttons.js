// The buttons of the navigation. Files are made in the page; nothing is sent anywhere.
(() => {
  const MOST = 16000; // pixels of an image's side that browsers draw
  const box = document.querySelector(".buttons");
  const say = (text) => { box.querySelector("[role=status]").textContent = text; };

  const save = (name, blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    say(`Saved ${name}`);
  };
  page.save = (name, text, type) => save(name, new Blob([text], { type }));

  // All plots that are not in a folded section, one below the other.
  const plots = async () => {
    const shown = page.drawn().filter((element) => element.clientWidth);
    const images = [];
    for (const element of shown) {
      const { clientWidth: width, clientHeight: height } = element;
      const image = new Image();
      image.src = await Plotly.toImage(element, { format: "png", width, height, scale: 2 });
      await image.decode();
      images.push({ image, width, height });
    }
    const high = images.reduce((sum, { height }) => sum + height, 0);
    const wide = Math.max(...images.map(({ width }) => width));
    const scale = Math.min(2, MOST / high, MOST / wide);
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [wide * scale, high * scale];
    const paint = canvas.getContext("2d");
    paint.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--card");
    paint.fillRect(0, 0, canvas.width, canvas.height);
    let top = 0;
    for (const { image, width, height } of images) {
      paint.drawImage(image, 0, top * scale, width * scale, height * scale);
      top += height;
    }
    return new Promise((done) => canvas.toBlob(done, "image/png"));
  };

  const actions = {
    code: async () => {
      const code = document.querySelector(".code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        say("Copied");
      } catch { // a browser may refuse; then the reader copies it
        code.scrollIntoView({ block: "center" });
        getSelection().selectAllChildren(code);
        say("Selected: copy it");
      }
    },
    config: () => page.save(box.dataset.config, page.json(box).yaml, "text/yaml"),
    csv: () => page.save("genomes.csv",
      page.tables.csv(document.querySelector("#genomes table")), "text/csv"),
    png: async () => {
      say("Drawing ...");
      save("plots.png", await plots());
    },
  };
  Object.entries(actions).forEach(([name, action]) => {
    const button = box.querySelector(`[name=${name}]`);
    if (name === "code" && !document.querySelector(".code")) button.remove();
    else if (name === "csv" && !document.querySelector("#genomes table")) button.remove();
    else button.addEventListener("click", action);
  });
})();
