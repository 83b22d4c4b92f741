"""Numbers of a run for MultiQC, as files of its "custom content": `*_mqc.json`."""

from evo2_embed.report.probes import NAMES
from evo2_embed.report.summary import Result

_ABOUT = "Embeddings of DNA by Evo 2, made with evo2-embed."
_COUNTS = {"contigs": "contigs", "bases": "bases", "chunks": "windows", "tokens": "tokens"}


def genome_statistics(results: list[Result]) -> dict:
    """Columns of the general statistics: one row per genome.

    Parameters
    ----------
    results : list of Result
        All have the same genomes.
    """
    titles = {
        "contigs": "Contigs",
        "bases": "Bases",
        "windows": "Windows",
        "tokens": "Tokens",
        "skipped": "Skipped windows and contigs",
    }
    scales = {"contigs": "Greys", "bases": "Blues", "windows": "Greens", "tokens": "Purples"}
    headers = {
        key: {"title": title, "format": "{:,.0f}", "scale": scales.get(key, "Reds"), "min": 0}
        for key, title in titles.items()
    }
    data = {}
    for genome in results[0].manifest["genomes"]:
        counts = genome["counts"]
        data[genome["genome"]] = {name: counts.get(key, 0) for key, name in _COUNTS.items()} | {
            "skipped": sum(n for key, n in counts.items() if key.startswith("skipped: "))
        }
    return {
        "id": "evo2_embed_genomes",
        "plot_type": "generalstats",
        "pconfig": [{key: header} for key, header in headers.items()],
        "data": data,
    }


def layer_table(
    results: list[Result],
    compared: dict[str, dict],
    probed: dict[str, dict],
    measured: dict[str, dict],
) -> dict:
    """A table of the datasets of all extractions.

    Parameters
    ----------
    results : list of Result
    compared, probed, measured : dict of str to dict
        By extraction, the record of its comparison, its probe and its burn-in, as far as they were
        made.
    """
    metrics = dict.fromkeys(NAMES[record["metric"]] for record in probed.values())
    headers = {
        "probe": {"title": "Probe", "description": f"Linear probe: {', '.join(metrics)}"},
        "effective_rank": {"title": "Effective rank", "format": "{:,.1f}"},
        "cosine": {"title": "Cosine", "description": "Mean of pairs of rows"},
        "context": {
            "title": "Context",
            "description": "Bases after which more upstream context changes little",
            "format": "{:,.0f}",
        },
        "rows": {"title": "Rows", "format": "{:,.0f}"},
        "width": {"title": "Dimensions", "format": "{:,.0f}"},
    }
    data = {}
    for result in results:
        scores = probed.get(result.name, {}).get("scores", {})
        measures = compared.get(result.name, {}).get("layers", {})
        settled = measured.get(result.name, {}).get("layers", {})
        for name, dataset in result.written.items():
            row = {
                "probe": scores.get(name, {}).get("mean"),
                "effective_rank": measures.get(name, {}).get("effective_rank"),
                "cosine": measures.get(name, {}).get("cosine"),
                "context": settled.get(name, {}).get("settled"),
                "rows": dataset["rows"],
                "width": dataset.get("width"),
            }
            known = {key: value for key, value in row.items() if value is not None}
            data[f"{result.name} {name}"] = known
    used = {key for row in data.values() for key in row}
    return {
        "id": "evo2_embed_layers",
        "section_name": "Evo 2 embeddings",
        "description": f"{_ABOUT} One row per extraction and layer.",
        "plot_type": "table",
        "pconfig": {
            "id": "evo2_embed_layers_table",
            "title": "Evo 2 embeddings: layers",
            "col1_header": "Extraction, layer",
            "no_violin": True,
        },
        "headers": {key: header for key, header in headers.items() if key in used},
        "data": data,
    }
