"""Datasets of versions that wrote each dataset as a whole, without part files per bundle."""

from pathlib import Path

from evo2_embed.run.frozen import Run

# Name of the first part file of such a dataset.
_FIRST = "part-00000.parquet"


def older_datasets(run: Run, results: Path) -> list[str]:
    """Extractions of a run with a dataset of such a version."""
    return [
        name
        for name in run.settings.extractions
        if any((results / "embeddings" / name).glob(f"*/{_FIRST}"))
    ]


def older_faults(run: Run, results: Path) -> list[str]:
    """One line per extraction with a dataset of such a version, of which all shards are gone: a run
    would embed everything again."""
    return [
        f"{results / 'embeddings' / name}: made by an earlier version as a whole; its shards are "
        f"gone ({results / 'shards' / name}); move it out of {results} to keep it, or delete it to "
        "embed all again"
        for name in older_datasets(run, results)
        if not any((results / "shards" / name).glob("*/*/shard.json"))
    ]


def older_lines(run: Run, results: Path) -> list[str]:
    """What a run says of datasets of such a version."""
    return [
        f"{results / 'embeddings' / name}: made by an earlier version as a whole; it is made again "
        "from its shards, one part per bundle, and nothing is embedded for it"
        for name in older_datasets(run, results)
    ]
