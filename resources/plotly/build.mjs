// Builds the plotly.js of the report page: npm ci && npm run build. Needs Node.js 20 or newer.
import { createHash } from "node:crypto";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const TRACES = ["bar", "box", "heatmap", "scattergl"]; // scatter is always in it
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const folder = here("../../workflow/scripts/evo2_embed/report/plotly/");
const { version } = JSON.parse(readFileSync(here("node_modules/plotly.js/package.json"), "utf8"));

// Attributes are described for plotly's reference, which the page does not show.
const DESCRIPTION = /\bdescription: (?:\[[^\]]*?\]\.join\([^)]*\)|'(?:[^'\\\n]|\\.)*'),?(?=\s*[}\w])/g;
const withoutDescriptions = {
  name: "without descriptions",
  setup: ({ onLoad }) =>
    onLoad({ filter: /plotly\.js\/src\/.*attributes\.js$/ }, ({ path }) => ({
      contents: readFileSync(path, "utf8").replace(DESCRIPTION, ""),
      loader: "js",
    })),
};

await build({
  stdin: {
    contents: `const Plotly = require("plotly.js/lib/core");
      Plotly.register([${TRACES.map((name) => `require("plotly.js/lib/${name}")`)}]);
      module.exports = Plotly;`,
    resolveDir: here("."),
  },
  outfile: `${folder}plotly.min.js`,
  bundle: true,
  minify: true,
  format: "iife",
  globalName: "Plotly",
  target: "es2020",
  banner: { js: `/* plotly.js ${version}, MIT, see LICENSE. Traces: scatter, ${TRACES.join(", ")} */` },
  legalComments: "inline",
  alias: { regl: "@plotly/regl", stream: "stream-browserify" },
  define: { global: "window", "define.amd": "false", "process.env.NODE_DEBUG": "false" },
  loader: { ".css": "empty" }, // styles of maps
  plugins: [withoutDescriptions],
});
copyFileSync(here("node_modules/plotly.js/LICENSE"), `${folder}LICENSE`);
const bundle = readFileSync(`${folder}plotly.min.js`);
const digest = createHash("sha256").update(bundle).digest("hex");
writeFileSync(`${folder}plotly.min.js.sha256`, `${digest}  plotly.min.js\n`);
console.log(`plotly.js ${version}: ${bundle.length} bytes`);
