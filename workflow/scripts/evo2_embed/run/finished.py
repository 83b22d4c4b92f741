"""Bundles whose part files are complete: they need nothing from their packs and shards any more.

Packs and shards may be deleted after a run (`make tidy`). Without them, Snakemake would make them
again as soon as one job needs a pack file, for example of a new extraction.
"""

from functools import cache, cached_property
from pathlib import Path

from evo2_embed.io.digests import settings_digest
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import read_json
from evo2_embed.model.weights import is_recorded
from evo2_embed.plan.bundles import Bundle
from evo2_embed.run.frozen import Run
from evo2_embed.run.params import rule_params
from evo2_embed.run.record_files import files_by_bundle, has_lost_files, has_new_parts

# Rules whose jobs read the shards of a bundle.
OF_SHARDS = ("aggregate_bundle", "score_bundle", "compare_bundle")
# Datasets of a rule, by the name in a record of its jobs.
_DATASETS = {"compare_bundle": "variants/{extraction}/{name}.json"}
_DATASET = "embeddings/{extraction}/{name}.json"


class FinishedBundles:
    """The bundles of a run whose part files are complete, and made from its files and settings.

    Parameters
    ----------
    run : Run
    results : Path
        Its folder of results.
    """

    def __init__(self, run: Run, results: Path):
        self.run, self.results = run, results
        self._parts = cache(files_by_bundle)

    def without_shards(self, extraction: str) -> list[str]:
        """Finished bundles of an extraction of which pack files or shards are missing."""
        return [
            bundle.name
            for bundle in self.run.bundles.values()
            if self._lacks_files(extraction, bundle) and self.has(extraction, bundle.name)
        ]

    def has(self, extraction: str, bundle: str) -> bool:
        """Whether a bundle of an extraction is finished."""
        jobs = [
            job
            for rule in OF_SHARDS
            for job in self.run.jobs(rule, extraction=extraction, bundle=bundle)
        ]
        records = [(job.rule.name, self.results / job.outputs["record"]) for job in jobs]
        return (
            all((self.results / path).exists() for job in jobs for path in job.outputs.values())
            and self._is_new(bundle, [path for _, path in records])
            and all(self._is_complete(*record, extraction, bundle) for record in records)
        )

    def _lacks_files(self, extraction: str, bundle: Bundle) -> bool:
        packs, shards = self.results / "packs", self.results / "shards" / extraction
        return not all(
            (packs / bundle.name / f"{shard}.parquet").exists()
            and (shards / bundle.name / shard / "shard.json").exists()
            for shard in bundle.shards
        )

    def _is_new(self, bundle: str, records: list[Path]) -> bool:
        """Whether the records are newer than the chunk table, and this than its files."""
        chunks = self.results / "chunks" / f"{bundle}.parquet"
        genomes = self.run.bundles[bundle].genomes
        files = (file for each in genomes for file in (each.fasta, each.regions, each.variants))
        try:
            made = chunks.stat().st_mtime_ns
            return all(path.stat().st_mtime_ns >= made for path in records) and all(
                Path(file).stat().st_mtime_ns <= made for file in files if file
            )
        except OSError:
            return False

    def _is_complete(self, rule: str, path: Path, extraction: str, bundle: str) -> bool:
        """Whether a record has the settings and genomes of the run, and its part files exist."""
        try:
            record = read_json(path)
        except InputError:
            return False
        if not self._is_of_run(rule, record, extraction, bundle) or has_lost_files(str(path)):
            return False
        pattern = _DATASETS.get(rule, _DATASET)
        for name in record["datasets"]:
            dataset = self.results / pattern.format(extraction=extraction, name=name)
            lost = self._parts(str(dataset)).get(bundle, True)
            if lost and not has_new_parts([str(path)], str(dataset)):
                return False
        return True

    def _is_of_run(self, rule: str, record: dict, extraction: str, bundle: str) -> bool:
        def settings(of: str) -> dict:
            return rule_params(self.run, of, extraction, bundle=bundle)["settings"]

        made = [settings("chunk_fasta"), settings("pack_tokens"), self._weights[extraction]]
        found = [record["windows"], record["packing"], record["checkpoint_sha256"]]
        rows = [genome.row for genome in self.run.bundles[bundle].genomes]
        return (
            len(record["shards"]) == self.run.bundles[bundle].n_shards
            and record["digest"] == settings_digest([settings(rule), record["shards"]])
            and settings_digest([made, rows]) == settings_digest([found, record.get("genomes")])
        )

    @cached_property
    def _weights(self) -> dict[str, str | None]:
        """By extraction, the digest of its weights; None without a valid record of them."""
        found = {}
        for name, key in self.run.model_keys.items():
            path = self.results / "models" / f"{key}.json"
            known = is_recorded(self.run.models[key], str(path))
            found[name] = read_json(path)["sha256"] if known else None
        return found
