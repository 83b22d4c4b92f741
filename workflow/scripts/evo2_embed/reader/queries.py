"""Rows by region or by name: which row groups may hold them, and the rows themselves."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import polars as pl

from evo2_embed.dataset.dataset import Dataset
from evo2_embed.io.errors import InputError
from evo2_embed.io.text import shown, some_of
from evo2_embed.reader.groups import RowGroups
from evo2_embed.reader.names import not_there
from evo2_embed.reader.places import Place

# Columns that name a row, in the order in which a name is looked for.
_NAMES = ("name", "variant", "id")


class Queries:
    """Queries of a dataset. What they know of its files is read once, by the first of them."""

    def __init__(self, dataset: Dataset):
        self.dataset = dataset

    @cached_property
    def groups(self) -> RowGroups:
        """The row groups of the dataset."""
        return RowGroups.of(self.dataset)

    @cached_property
    def _contigs(self) -> pl.DataFrame:
        """Each genome and contig, and the row groups that have rows of it (`group`)."""
        return self.groups.unique(["genome", "contig"])

    @cached_property
    def _names(self) -> dict[str, pl.DataFrame]:
        """Per column of names: the names, and the row groups that have rows of them (`group`)."""
        columns = [name for name in _NAMES if name in self.dataset.schema.names]
        return {name: self.groups.unique([name]).drop_nulls() for name in columns}

    def region(
        self,
        region: str | tuple | Place,
        strand: str | None,
        genome: str | None,
        circular: int | None,
    ) -> pl.DataFrame:
        """See `Embeddings.region`."""
        place = Place.read(region, set(self._contigs["contig"]))
        mine = self._contigs.filter(pl.col("contig") == place.contig)
        genome = self._genome(place, mine["genome"].unique(maintain_order=True).to_list(), genome)
        spans = place.spans(circular)
        groups = mine.filter(pl.col("genome") == genome)["group"].to_numpy()
        bounds = self.groups.table[groups].select(_may_overlap(spans, self._is_of_alleles))
        where = (pl.col("contig") == place.contig) & (pl.col("genome") == genome)
        where &= _overlaps(spans, self._is_of_alleles) & _on(strand)
        return self.groups.select(groups[bounds.to_series().to_numpy()], where)

    def has_contig(self, region: str) -> bool:
        """Whether a text is a region of a contig that there is."""
        contigs = set(self._contigs["contig"])
        try:
            return Place.read(region, contigs).contig in contigs
        except InputError:
            return False

    def has_name(self, name: str) -> bool:
        """Whether some row has this name."""
        return self._column_of(name) is not None

    def by_name(
        self, names: str | Sequence[str], strand: str | None, genome: str | None
    ) -> pl.DataFrame:
        """See `Embeddings.by_name`."""
        names = [names] if isinstance(names, str) else list(names)
        groups, where = [np.empty(0, np.int64)], pl.lit(False)
        for name in dict.fromkeys(names):
            column = self._column_of(name)
            if column is None:
                raise InputError(f"{self.dataset.path}: {self._unknown(name)}")
            known = self._names[column]
            groups.append(known.filter(pl.col(column) == name)["group"].to_numpy())
            where |= pl.col(column) == name
        where &= _on(strand)
        if genome is not None:
            self._check_genome(genome)
            where &= pl.col("genome") == genome
        return self.groups.select(np.unique(np.concatenate(groups)), where)

    def _column_of(self, name: str) -> str | None:
        """The column that has this name; None if none has it."""
        for column, known in self._names.items():
            if (known[column] == name).any():
                return column
        return None

    def _unknown(self, name: str) -> str:
        known = pl.concat([names.to_series() for names in self._names.values()])
        if not len(known):
            return "its rows have no names (regions and variants of the sheet give names)"
        return not_there("no row has the name", name, known.to_list())

    @property
    def _is_of_alleles(self) -> bool:
        """Whether rows are variants at a position, without start and end."""
        return "position" in self.dataset.schema.names

    def _genome(self, place: Place, there: list[str], asked: str | None) -> str:
        """The genome of a contig."""
        if asked is not None:
            self._check_genome(asked)
        if not there:
            contigs = self._contigs["contig"].unique(maintain_order=True).to_list()
            fault = not_there("no row is of a contig", place.contig, contigs)
            raise InputError(f"{self.dataset.path}: {fault}")
        if asked in there or (asked is None and len(there) == 1):
            return asked or there[0]
        what = f"contig '{shown(place.contig)}' is in {some_of(there)}"
        raise InputError(f"{self.dataset.path}: {what}; name one of them: genome='{there[0]}'")

    def _check_genome(self, genome: str) -> None:
        there = self._contigs["genome"].unique(maintain_order=True).to_list()
        if genome not in there:
            raise InputError(
                f"{self.dataset.path}: {not_there('no row is of a genome', genome, there)}"
            )


def _on(strand: str | None) -> pl.Expr:
    if strand is None:
        return pl.lit(True)
    if strand not in ("+", "-"):
        raise InputError(f"strand: '{shown(strand)}' (allowed: '+', '-')")
    return pl.col("strand") == strand


def _overlaps(spans: list[tuple[int, int]], alleles: bool) -> pl.Expr:
    """Whether a row has bases in one of some intervals [start, end)."""
    first, end = pl.col("start"), pl.col("end")
    if alleles:
        first = pl.col("position") - 1
        end = first + pl.col("ref").str.len_bytes().cast(pl.Int64)
    return pl.any_horizontal((first < stop) & (end > start) for start, stop in spans)


def _may_overlap(spans: list[tuple[int, int]], alleles: bool) -> pl.Expr:
    """Whether a row group may have such rows, by its smallest and largest values."""
    if alleles:  # the longest reference allele is not known
        near = [pl.col("position_low") - 1 < stop for _, stop in spans]
    else:
        near = [
            (pl.col("start_low") < stop) & (pl.col("end_high") > start) for start, stop in spans
        ]
    return pl.any_horizontal(near).fill_null(True)
