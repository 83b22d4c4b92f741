"""MultiQC reads the numbers of a run, without a configuration of its own."""

import json
import subprocess
import sys


def test_multiqc_shows_genomes_and_layers(results, tmp_path):
    command = [sys.executable, "-m", "multiqc", "--no-version-check", "--strict", "-o", tmp_path]
    subprocess.run([*command, results], check=True, timeout=300)
    assert (tmp_path / "multiqc_report.html").exists()
    data = json.loads((tmp_path / "multiqc_data" / "multiqc_data.json").read_text())
    genomes = {}
    for module in data["report_general_stats_data"].values():
        genomes |= module
    numbers = {
        name: {key: cell[0] if isinstance(cell, list) else cell for key, cell in cells.items()}
        for name, cells in genomes.items()
    }
    assert set(numbers) == {"a", "b"}
    layers = (tmp_path / "multiqc_data" / "multiqc_evo2_embed_layers_table.txt").read_text()
    head, *rows = (line.split("\t") for line in layers.splitlines())
    assert head[0] == "Sample"
    assert {"rows", "width"} <= set(head)
    assert {row[0] for row in rows} == {"default norm", "default three"}
