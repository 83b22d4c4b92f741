"""All keys of the configuration."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Literal

from evo2_embed.settings.analyses import BurnIn, Compare, Probe, Report
from evo2_embed.settings.exports import EXPORTS, Atlas, Finetune
from evo2_embed.settings.extraction import Extraction, Model
from evo2_embed.settings.jobs import Packing, Runtime, Sharding
from evo2_embed.settings.section import Section, key
from evo2_embed.settings.windows import RegionSettings, VariantSettings, Windows

_EXPORT = {
    "anyOf": [
        {"type": "null"},
        {"enum": list(EXPORTS)},
        {"type": "array", "uniqueItems": True, "items": {"enum": list(EXPORTS)}},
    ]
}


@dataclass(frozen=True, kw_only=True)
class Settings(Section):
    """The whole configuration."""

    genomes: str = key(
        "Path of the sheet of genomes, relative to the working directory.", minLength=1
    )
    record_names: Literal["first_word", "full"] = key(
        "Names of FASTA records. first_word: up to the first blank of the line, as in most tools. "
        "full: the whole line, with one blank for several.",
        "first_word",
    )
    on_bad_genome: Literal["stop", "skip"] = key(
        "Genomes that cannot be used, such as a damaged file. stop: name all of them and stop. "
        "skip: leave them out; results/skipped.tsv names them.",
        "stop",
    )
    windows: Windows = key(
        "How contigs are cut into windows. A window gives one embedding, or one per bin.",
        factory=Windows,
    )
    regions: RegionSettings = key(
        "How the files in the column regions of the sheet are read.", factory=RegionSettings
    )
    variants: VariantSettings = key(
        "The windows of the variants in the files of the column variants of the sheet.",
        factory=VariantSettings,
    )
    packing: Packing = key("How windows share forward passes.", factory=Packing)
    sharding: Sharding = key("How much work one embedding job gets.", factory=Sharding)
    model: Model = key("The model, and its weights if they are a local file.", factory=Model)
    model_directory: str = key(
        "Folder for downloaded weights. Projects can share it.", "models", minLength=1
    )
    runtime: Runtime = key("The machine that the model runs on.", factory=Runtime)
    max_output_gb: float | None = key(
        "Maximum estimated size of results/ (chunk tables, packs, shard files, datasets, training "
        "set), in GB (10^9 bytes). A larger run is refused. null: no limit.",
        None,
        minimum=0.001,
        maximum=1_000_000_000,
    )
    keep: Literal["all", "datasets"] = key(
        "Which files stay: all, or datasets: the pack files and shards of a bundle are deleted as "
        "soon as it is finished in all extractions. make tidy does the same after a run.",
        "all",
    )
    extractions: dict[str, Extraction] = key(
        "What to extract; each entry is a dataset of its own, by name.", minProperties=1
    )
    compare: Compare = key(
        "Comparison of an extraction's layers without labels, for the report.", factory=Compare
    )
    burn_in: BurnIn = key(
        "How embeddings change with their upstream context, measured for the report.",
        factory=BurnIn,
    )
    probe: Probe | None = key(
        "Comparison of layers by how well a linear probe predicts labels. null: none.", None
    )
    report: Report = key("The report page.", factory=Report)
    export: str | list[str] | None = key(
        "Files for other programs, one name or a list. anndata, atlas, lance: each dataset for "
        "scanpy, embedding-atlas or LanceDB (results/export/). bigwig: tracks of heads and scores "
        "for genome browsers. finetune: the windows as a training set (results/finetune/). null: "
        "none.",
        None,
        schema=_EXPORT,
    )
    atlas: Atlas = key("The files of export: atlas.", factory=Atlas)
    finetune: Finetune = key("The training set of export: finetune.", factory=Finetune)

    @property
    def exports(self) -> SimpleNamespace:
        """By name of `EXPORTS`, whether it is asked for."""
        chosen = [self.export] if isinstance(self.export, str) else self.export or []
        return SimpleNamespace(**{name: name in chosen for name in EXPORTS})

    @property
    def keeps_datasets(self) -> bool:
        """Whether pack files and shards are deleted during the run."""
        return self.keep == "datasets"
