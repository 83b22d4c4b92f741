"""The shards of a bundle, checked, and their rows in the final order."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from evo2_embed import __version__
from evo2_embed.dataset.merge import merge_shards
from evo2_embed.dataset.shards import BundleFiles, Shard, check_ranges, check_shared, worst_check
from evo2_embed.embed.row_spans import tokens_of
from evo2_embed.io.digests import settings_digest
from evo2_embed.io.tables import CHUNKS, open_table, table_metadata
from evo2_embed.settings.extraction import Extraction


@dataclass(frozen=True)
class CheckedBundle:
    """The shards of a bundle: alike, complete, and made with the settings of this run.

    Attributes
    ----------
    shards : list of Shard
    settings : dict
        Of the rule: `embed`, the settings of the shards; with `variants` all tables have the
        columns of variants. All of them are in the digest.
    extraction : Extraction
    origin : dict
        What the shards were made from, for records and the metadata of files.
    """

    shards: list[Shard]
    settings: dict
    extraction: Extraction
    origin: dict

    @staticmethod
    def open(files: BundleFiles, settings: dict) -> "CheckedBundle":
        """Read and check the records of a bundle's shards.

        Raises
        ------
        InputError
            If a shard is missing or damaged, or has other settings or another version.
        """
        shards = [Shard.open(files, path) for path in files.records]
        shared = check_shared(shards, settings["embed"])
        check_ranges(shards)
        extraction = Extraction.from_dict(settings["embed"]["extraction"])
        origin = {
            **shared,
            "model": extraction.model.name,
            "pooling": extraction.pooling,
            "precision": extraction.precision,
            "engine": extraction.engine,
            "workflow": __version__,
            "windows": table_metadata(open_table(files.chunks, CHUNKS))["settings"],
            **({"variants": True} if settings.get("variants") else {}),
        }
        return CheckedBundle(shards, settings, extraction, origin)

    @property
    def described(self) -> dict:
        """What the record of the bundle says of its origin."""
        return {
            **self.origin,
            "bundle": self.shards[0].bundle.name,
            "digest": settings_digest([self.settings, self.digests]),
            "shards": self.digests,
        }

    @property
    def digests(self) -> list[str]:
        """Digests of the shards."""
        return [shard.record["digest"] for shard in self.shards]

    @property
    def has_variants(self) -> bool:
        """Whether tables have the columns of variants."""
        return bool(self.settings.get("variants"))

    def self_check(self, name: str) -> dict | None:
        """The engine's self-check for a layer or for `scores`, see `worst_check`."""
        layer, _ = tokens_of(name)
        checks = (shard.record["self_check"] for shard in self.shards)
        return worst_check(
            [check and {**check, "difference": check["difference"][layer]} for check in checks]
        )

    def metadata(self, name: str) -> dict:
        """What the part files of a layer, or of `scores`, were made from."""
        return {
            **self.origin,
            "layer": name,
            "self_check": self.self_check(name),
            "digest": settings_digest([self.settings, name, self.digests]),
        }

    def rows(self, name: str) -> Iterator[pa.Table]:
        """Rows of a layer, or of `scores`, in their final order; see `Shard.tables`.

        Raises
        ------
        InputError
            When they are read, if the rows of a shard are not those of its chunks.
        """
        filled = [shard for shard in self.shards if shard.record["n_chunks"]]
        yield from merge_shards(filled, name, self.extraction, self.has_variants)
