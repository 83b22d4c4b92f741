"""The frame of the report page: its style, and what puts the plots in their place."""

from string import Template

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>evo2-embed</title>
<style>
:root { --ink: #23302e; --soft: #667370; --line: #dfe5e2; --accent: #2f6f6a; }
* { box-sizing: border-box; }
body { margin: 0; background: #f4f6f4; color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
header { background: var(--accent); color: white; padding: 28px 0; }
header h1 { margin-block: 0; font-size: 26px; } header p { margin-block: 4px 0; opacity: .85; }
header > *, main { max-width: 1180px; margin-left: auto; margin-right: auto; }
header > * { padding: 0 24px; }
main { padding: 20px 24px 60px; }
section { background: white; border: 1px solid var(--line); border-radius: 10px;
  padding: 18px 22px; margin: 18px 0; }
h2 { margin: 0 0 12px; font-size: 19px; } h3 { margin: 18px 0 6px; font-size: 15px; }
h3 small { color: var(--soft); font-weight: normal; }
.note { color: var(--soft); font-size: 13px; }
.cards { display: grid; gap: 12px; margin-bottom: 16px;
  grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); }
.cards div { border-left: 3px solid var(--accent); padding: 2px 12px; }
.cards b { display: block; font-size: 22px; } .cards span { color: var(--soft); font-size: 13px; }
.table { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: 6px 10px; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
td:first-child { white-space: nowrap; }
td:last-child { overflow-wrap: anywhere; min-width: 150px; }
.grid { display: grid; gap: 10px; grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)); }
.plot { min-width: 0; overflow: hidden; }
@media (max-width: 600px) { main { padding: 8px; } header > * { padding: 0 8px; }
  section { padding: 14px; }
  .grid { grid-template-columns: 1fr; } }
</style>
<script>$plotly</script>
</head>
<body>
<header><h1>evo2-embed</h1><p>What was embedded, how fast, and what it looks like</p></header>
<main>
$sections
</main>
<script>
// A plot is drawn before the page has its final layout; fit it to its place.
addEventListener("load", () => document.querySelectorAll(".js-plotly-plot").forEach(
  (plot) => Plotly.Plots.resize(plot)));
</script>
</body>
</html>
""")
