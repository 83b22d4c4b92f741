"""The digests that the files of a run must carry.

The digest of a file includes the settings that it was made from, and the digests of its inputs. So
the settings of the run, the chunk tables and the digests of the weights tell the digest of every
file.
"""

import json
from functools import cached_property
from pathlib import Path

import pyarrow.parquet as pq

from evo2_embed.analysis.fusion.stored import (
    fusion_digest,
    load_fusion,
    recorded_fusion,
    values_digest,
)
from evo2_embed.analysis.heads.origin import saved_from
from evo2_embed.io.digests import file_sha256, settings_digest
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import read_json
from evo2_embed.io.integrity import is_sealed
from evo2_embed.io.tables import table_metadata
from evo2_embed.run.frozen import Run
from evo2_embed.run.params import control_bundles, rule_params
from evo2_embed.settings.extraction import SCORES

_NAMES = ("extraction", "fusion", "bundle", "head")  # wildcards on which parameters depend


class UnknownDigest(Exception):
    """A file that tells a digest is missing: an intermediate file that a user deleted."""


class Digests:
    """The digests that the files of a run must carry, from its settings and its inputs.

    Parameters
    ----------
    run : Run
    results : Path
        Its folder of results, with the chunk tables and the records of the weights.
    """

    def __init__(self, run: Run, results: Path):
        self.run, self.results = run, results
        self._digests: dict[tuple, str] = {}
        self._settings: dict[tuple, dict] = {}

    def params(self, rule: str, **wildcards: str) -> dict:
        """Parameters of a rule."""
        known = {key: wildcards[key] for key in _NAMES if key in wildcards}
        return rule_params(self.run, rule, **known)

    def settings(self, rule: str, **wildcards: str) -> dict:
        """Settings of a rule."""
        return self.params(rule, **wildcards)["settings"]

    def fits(self, bundle: str, chunked: dict) -> bool:
        """Whether the metadata of a chunk table has the settings and genomes of the run."""
        mine = self.run.bundles[bundle].genomes
        rows = [genome.row for genome in mine]
        genomes = plain([[row[0], [circular for circular in row[3:4] if circular]] for row in rows])
        settings = plain(self.settings("chunk_fasta", bundle=bundle))
        known = [
            [entry["genome"], [entry[key] for key in ("circular",) if key in entry]]
            for entry in chunked["inputs"]
        ]
        digest = settings_digest([chunked["settings"], chunked["inputs"]])
        fits = chunked["settings"] == settings and known == genomes
        full = [entry.get("record_names") == "full" for entry in chunked["inputs"]]
        fits = fits and full == [genome.full_names for genome in mine]
        return fits and chunked["digest"] == digest

    def chunks(self, bundle: str) -> str:
        """Of a chunk table, which is read for it; an `InputError` if it is of others."""
        if ("chunks", bundle) not in self._digests:
            path = self.results / "chunks" / f"{bundle}.parquet"
            found = recorded(path) if path.exists() else {}
            if not found:
                raise UnknownDigest
            if not self.fits(bundle, found):
                raise InputError(mismatch(path, "settings or genomes"))
            self._digests["chunks", bundle] = found["digest"]
        return self._digests["chunks", bundle]

    @cached_property
    def all_chunks(self) -> list[str]:
        """Of all chunk tables, in the order of the sheet."""
        return [self.chunks(bundle) for bundle in self.run.bundles]

    def genomes(self) -> str:
        """Of the table of genomes."""
        return settings_digest([self.settings("list_genomes"), self.all_chunks])

    def packs(self, bundle: str, shard: str) -> str:
        """Of the packs of a shard."""
        count = self.run.bundles[bundle].n_shards
        settings = self.settings("pack_tokens")
        return settings_digest([settings, self.chunks(bundle), int(shard), count])

    def shuffled(self) -> str:
        """Of the packs of shuffled windows."""
        params = self.params("shuffle_windows")
        digests = [self.chunks(bundle.name) for bundle in control_bundles(self.run)]
        return settings_digest([params["settings"], params["number"], digests])

    def burn_in_packs(self, extraction: str) -> str:
        """Of the packs of the burn-in."""
        params = self.params("pack_burn_in", extraction=extraction)
        chunks = self.chunks(next(iter(self.run.bundles)))
        return settings_digest([params["settings"], params["target"], chunks])

    def embedded(self, rule: str, extraction: str, packs: str) -> str:
        """Of the embeddings of packs with this digest, by a rule."""
        settings = self._embed_settings(rule, extraction)
        return settings_digest([settings, packs, self._weights[extraction]])

    def dataset(self, extraction: str, layer: str) -> str:
        """Of the dataset of a layer, or of `scores`."""
        rule = "aggregate_scores" if layer == SCORES else "aggregate_embeddings"
        return self._of_shards(rule, extraction, layer)

    def bundle(self, rule: str, extraction: str, bundle: str) -> str:
        """Of what a rule makes of the shards of a bundle."""
        settings = self.settings(rule, extraction=extraction)
        return settings_digest([settings, self._shards(extraction, bundle)])

    def alleles(self, extraction: str, layer: str) -> str:
        """Of the dataset of variants of a layer."""
        return self._of_shards("compare_alleles", extraction, layer)

    def all_alleles(self, extraction: str) -> dict[str, str]:
        """Of the datasets of variants, by layer."""
        jobs = self.run.jobs("compare_alleles", extraction=extraction)
        return {job.wildcards["layer"]: self.alleles(**job.wildcards) for job in jobs}

    def _of_shards(self, rule: str, extraction: str, layer: str) -> str:
        """Of what a rule makes of all shards."""
        if ("shards", extraction) not in self._digests:
            self._digests["shards", extraction] = [
                digest for bundle in self.run.bundles for digest in self._shards(extraction, bundle)
            ]
        settings = self.settings(rule, extraction=extraction)
        return settings_digest([settings, layer, self._digests["shards", extraction]])

    def _shards(self, extraction: str, bundle: str) -> list[str]:
        """Of the shards of a bundle."""
        return [
            self.embedded("embed_shard", extraction, self.packs(bundle, shard))
            for shard in self.run.bundles[bundle].shards
        ]

    def scores(self, extraction: str) -> str | None:
        """Of the dataset of scores; None without one."""
        if not self.run.settings.extractions[extraction].scores:
            return None
        return self.dataset(extraction, SCORES)

    def datasets(self, extraction: str) -> dict[str, str]:
        """Of the datasets of all layers, by layer."""
        layers = self.run.settings.extractions[extraction].layers
        return {layer: self.dataset(extraction, layer) for layer in layers}

    def parameters(self, extraction: str, fusion: str) -> str:
        """Of the parameters of a fusion."""
        chosen = self.run.settings.extractions[extraction].fusion[fusion]
        settings = self.settings("fit_fusion", extraction=extraction, fusion=fusion)
        digests = [self.dataset(extraction, layer) for layer in chosen.layers]
        return fusion_digest(settings, digests, chosen.parameters)

    def _layer_rows(self, extraction: str, layer: str, bundle: str) -> str:
        """Of the rows of a bundle in the dataset of a layer."""
        settings = self.settings("aggregate_bundle", extraction=extraction)
        return settings_digest([settings, layer, self._shards(extraction, bundle)])

    def fused_bundle(self, extraction: str, fusion: str, bundle: str) -> str:
        """Of the rows of a bundle in a fused dataset."""
        path = self._parameters_file(extraction, fusion)
        layers = self.run.settings.extractions[extraction].fusion[fusion].layers
        rows = [self._layer_rows(extraction, layer, bundle) for layer in layers]
        settings = self.settings("fuse_bundle", extraction=extraction, fusion=fusion)
        return settings_digest([settings, values_digest(load_fusion(path)), rows])

    def fused(self, extraction: str, entry: dict) -> str:
        """Of a fused dataset with this entry `fusion` in its record."""
        layers = self.run.settings.extractions[extraction].fusion[entry["name"]].layers
        return settings_digest([entry, [self.dataset(extraction, layer) for layer in layers]])

    def head_rows(self, extraction: str, head: str, bundle: str) -> str:
        """Of the rows of a bundle in the dataset of a head."""
        settings = self.settings("apply_bundle", extraction=extraction, head=head)
        layer = settings["layer"]
        is_fused = layer in self.run.settings.extractions[extraction].fusion
        rows = (self.fused_bundle if is_fused else self._layer_rows)(extraction, layer, bundle)
        return settings_digest([settings, self.head_sha256(extraction, head), rows])

    def head_dataset(self, extraction: str, head: str) -> str:
        """Of the dataset of a head."""
        settings = self.settings("apply_heads", extraction=extraction, head=head)
        read = self.source(extraction, settings["layer"])
        return settings_digest([settings, self.head_sha256(extraction, head), read])

    def head_datasets(self, extraction: str) -> dict[str, str]:
        """Of the datasets of all heads, by head."""
        heads = self.run.settings.extractions[extraction].heads
        return {head: self.head_dataset(extraction, head) for head in heads}

    def head_sha256(self, extraction: str, head: str) -> str:
        """SHA-256 of the file of a head."""
        chosen = self.run.settings.extractions[extraction].heads[head]
        path = chosen.file or self.results / "probes" / extraction / f"{chosen.layer}.safetensors"
        if ("head", str(path)) not in self._digests:
            if not Path(path).is_file():
                raise UnknownDigest
            self._digests["head", str(path)] = file_sha256(path)
        return self._digests["head", str(path)]

    def source(self, extraction: str, name: str) -> str:
        """Of the dataset of a layer, or that in the record of a fusion, which is checked itself."""
        if name not in self.run.settings.extractions[extraction].fusion:
            return self.dataset(extraction, name)
        path = self.results / "embeddings" / extraction / f"{name}.json"
        if not path.exists():
            raise UnknownDigest
        return read_json(path)["digest"]

    def blocks(self) -> str:
        """Of the table of blocks."""
        return settings_digest([self.settings("split_chunks"), self.all_chunks])

    def training_set(self) -> str:
        """Of the training set."""
        jobs = self.run.jobs("export_packs")
        return settings_digest([self.exported(**job.wildcards) for job in jobs])

    def parameters_sha256(self, extraction: str, fusion: str) -> str:
        """SHA-256 of the file with the parameters of a fusion."""
        return file_sha256(self._parameters_file(extraction, fusion))

    def _parameters_file(self, extraction: str, fusion: str) -> Path:
        path = self.results / "fusions" / extraction / f"{fusion}.npz"
        if not path.exists():
            raise UnknownDigest
        return path

    def exported(self, bundle: str, shard: str) -> str:
        """Of a shard of the training set."""
        settings = self.settings("export_packs")
        return settings_digest([settings, self.packs(bundle, shard), self._blocks])

    @cached_property
    def _blocks(self) -> str:
        return self.blocks()

    def _embed_settings(self, rule: str, extraction: str) -> dict:
        if (rule, extraction) not in self._settings:
            self._settings[rule, extraction] = self.settings(rule, extraction=extraction)
        return self._settings[rule, extraction]

    def _weights_of(self, extraction: str) -> str:
        """Digest of the weights of an extraction."""
        path = self.results / "models" / f"{self.run.model_keys[extraction]}.json"
        if not path.exists():
            raise UnknownDigest
        return read_json(path)["sha256"]

    @cached_property
    def _weights(self) -> dict[str, str]:
        return {name: self._weights_of(name) for name in self.run.settings.extractions}


def recorded(path: Path) -> dict:
    """What a file of a run says of its origin; nothing if it is a damaged table."""
    if path.suffix == ".json":
        return read_json(path)
    if path.suffix == ".npz":
        return recorded_fusion(path)
    if path.suffix == ".safetensors":
        return saved_from(path)
    return table_metadata(pq.ParquetFile(path)) if is_sealed(path) else {}


def mismatch(path: Path, what: str) -> str:
    """The line on a file that is not of this run."""
    return f"{path}: made from other {what} than this run; delete {path} and rerun to redo it"


def plain(value: object) -> object:
    """A JSON-able value as JSON gives it back."""
    return json.loads(json.dumps(value))
