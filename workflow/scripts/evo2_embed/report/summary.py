"""The numbers of a finished run, read once for the terminal and the report."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from evo2_embed.io.files import read_json
from evo2_embed.io.text import human_bytes, shown, text_table, wrapped
from evo2_embed.settings.extraction import SCORES
from evo2_embed.settings.jobs import Packing

MOST_LEFT_OUT = 10  # genomes that the summary names
MOST_REASON = 200  # characters of a reason there


@dataclass(frozen=True)
class Result:
    """An extraction: its manifest, and the records and speeds of its shards.

    Attributes
    ----------
    name : str
    folder : Path
        Folder of the manifest and of the layers' datasets.
    manifest : dict
    shards : list of dict
        Per shard: `shard` (bundle/shard), the counts of its record, and its speed.
    """

    name: str
    folder: Path
    manifest: dict
    shards: list[dict]

    @property
    def skipped(self) -> Counter:
        """Number of skipped windows and contigs, by reason."""
        counts = Counter()
        for genome in self.manifest["genomes"]:
            for reason, number in genome["counts"].items():
                if reason.startswith("skipped: "):
                    counts[reason.removeprefix("skipped: ")] += number
        return counts

    @property
    def columns(self) -> dict[str, dict]:
        """By further column of the sheet, the value of each genome."""
        found: dict[str, dict] = {}
        for genome in self.manifest["genomes"]:
            for name, value in genome.get("columns", {}).items():
                found.setdefault(name, {})[genome["genome"]] = value
        return found

    @property
    def left_out(self) -> list[dict]:
        """Genomes that were left out: `genome`, `file` and `reason` of each."""
        return self.manifest.get("skipped", [])

    def total(self, key: str) -> float:
        """Sum over the shards."""
        return sum(shard[key] or 0 for shard in self.shards)

    @property
    def padding_share(self) -> float:
        """Share of padding if the chunks were padded to the longest of each batch."""
        return 1 - self.total("n_tokens") / max(self.total("padded_tokens"), 1)

    @property
    def packing(self) -> Packing:
        """The section `packing` of the run."""
        return Packing.from_dict(self.manifest["settings"]["packing"]["packing"])

    @property
    def padded(self) -> bool:
        """Whether the chunks were padded (strategy `padded`)."""
        return self.packing.strategy == "padded"

    @property
    def room_share(self) -> float:
        """Share of the packs' capacity that holds tokens."""
        return self.total("n_tokens") / max(self.total("budget_tokens"), 1)

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens per second per job, without the loading of the model."""
        seconds = self.total("seconds")
        return self.total("n_tokens") / seconds if seconds else None

    @property
    def datasets(self) -> dict[str, dict]:
        """Entries of the manifest for layers and fusions, by name."""
        return {**self.manifest["layers"], **self.manifest["fusions"]}

    @property
    def scores(self) -> dict | None:
        """Entry of the manifest for scores, if there are any."""
        return self.manifest.get("scores")

    @property
    def variants(self) -> dict[str, dict]:
        """Entries of the manifest for the datasets of variants, by layer; none without variants."""
        return self.manifest.get("variants", {})

    @property
    def heads(self) -> dict[str, dict]:
        """Entries of the manifest for the datasets of heads, by head; none without heads."""
        return self.manifest.get("heads", {})

    @property
    def written(self) -> dict[str, dict]:
        """Entries of all datasets, with that of scores."""
        return {**self.datasets, **({SCORES: self.scores} if self.scores else {})}

    @property
    def rows(self) -> int:
        """Rows of all datasets."""
        return sum(dataset["rows"] for dataset in self.written.values())

    @property
    def bytes(self) -> int:
        """Size of the datasets."""
        return sum(part["bytes"] for d in self.written.values() for part in d["parts"])


def load_results(manifests: list[str], shards: list[str]) -> list[Result]:
    """Read the manifests, and the counts and speeds of shards.

    Parameters
    ----------
    manifests : list of str
    shards : list of str
        Files `.../{extraction}/{bundle}/shards/{layers}.json`. Several of a bundle have the same.
    """
    results = {}
    for path in map(Path, manifests):
        name = path.parent.name
        results[name] = Result(name, path.parent, read_json(path), [])
    seen = set()
    for path in map(Path, shards):
        extraction, bundle = path.parts[-4:-2]
        if (extraction, bundle) in seen:
            continue
        seen.add((extraction, bundle))
        for shard, numbers in read_json(path)["shards"].items():
            entry = {"shard": f"{bundle}/{shard}", "bundle": bundle, **numbers}
            results[extraction].shards.append(entry)
    return list(results.values())


def summary_rows(results: list[Result]) -> list[dict]:
    """One row per extraction; `6 + 2`: layers and fusions."""
    rows, scored = [], any(result.scores for result in results)
    for result in results:
        bits = result.scores and result.scores["bits_per_base"]
        speed = result.tokens_per_second
        fused = f" + {len(result.manifest['fusions'])}" if result.manifest["fusions"] else ""
        rows.append(
            {
                "extraction": result.name,
                "genomes": len(result.manifest["genomes"]),
                "chunks": f"{result.total('n_chunks'):,}",
                "tokens": f"{result.total('n_tokens'):,}",
                # The strategy is one for all extractions.
                f"padding {'paid' if result.padded else 'avoided'}": f"{result.padding_share:.1%}",
                "tokens/s per job": f"{speed:,.0f}" if speed else "-",
                "layers": f"{len(result.manifest['layers'])}{fused}",
                **({"bits per base": f"{bits:.3f}" if bits is not None else "-"} if scored else {}),
                "rows": f"{result.manifest['rows']:,}",
                "size": human_bytes(result.bytes),
            }
        )
    return rows


def render_summary(results: list[Result], lines: list[str], layer: str | None = None) -> str:
    """The summary as text.

    Parameters
    ----------
    results : list of Result
    lines : list of str
        On the variants (`effects.summary_lines`), heads (`heads.summary_lines`) and best layers
        (`best.summary_line`).
    layer : str, optional
        The best layer of the first extraction; None if it has no layers.
    """
    first = results[0]
    layer = layer or next(iter(first.written))
    bad = [
        wrapped(f"left out: {shown(each['genome'])}: {shown(each['reason'], MOST_REASON)}")
        for each in first.left_out[:MOST_LEFT_OUT]
    ]
    if bad:
        bad += [f"{len(first.left_out):,} genome(s) left out: results/skipped.tsv", ""]
    skipped = [f"skipped: {number:,} x {reason}" for reason, number in first.skipped.items()]
    return "\n".join(
        [
            "",
            text_table(summary_rows(results)),
            "",
            *bad,
            *(skipped or ["nothing was skipped"]),
            "",
            *lines,
            f"dataset: {first.folder}/{layer}/",
            f'read it: evo2_embed.open("{first.folder.parent.parent}", "{first.name}", "{layer}")',
            f'or:      polars.read_parquet("{first.folder}/{layer}/*.parquet")',
            "report:  results/report.html",
            "",
        ]
    )
