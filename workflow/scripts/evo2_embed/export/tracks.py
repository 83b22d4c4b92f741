"""The tracks of a head, or of the scores: files that genome browsers open, per genome."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from evo2_embed import __version__
from evo2_embed.analysis.probes.formats import BACKGROUND
from evo2_embed.dataset.dataset import Dataset, to_polars
from evo2_embed.dataset.heads import CLASS, PROBABILITY, SPARSE, HeadDataset
from evo2_embed.dataset.kinds import open_dataset
from evo2_embed.export.genome_tracks import JOINED, GenomeTracks
from evo2_embed.genomes.fasta import fasta_index, index_folder, open_fasta
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.digests import settings_digest
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import atomic_directory, check_write, read_json, remove, write_json
from evo2_embed.io.logs import log
from evo2_embed.io.tables import vectors_to_numpy
from evo2_embed.io.text import shown, some_of

_SPANS = ["genome", "contig", "start", "end", "strand"]
LOG_P = "log_p"  # the track of scores


@dataclass(frozen=True)
class _Source:
    """What is drawn of a dataset: see `GenomeTracks` for the names."""

    dataset: Dataset
    columns: list[str]
    names: list[str]
    drawn: list[str]
    called: str | None

    def values(self, table: pa.Table) -> np.ndarray:
        """The tracks of some rows: (n, tracks); NaN where a row has no value."""
        if self.columns == ["features", "values"]:
            return self._of_features(table)
        if self.columns == ["numbers"]:
            numbers = vectors_to_numpy(table["numbers"], self.dataset.width)
            return numbers[:, [int(name) for name in self.names]]
        return np.stack([table[name].to_numpy() for name in self.columns], axis=1)

    def _of_features(self, table: pa.Table) -> np.ndarray:
        features, values = (table[name].combine_chunks() for name in self.columns)
        row = np.repeat(np.arange(len(table)), features.value_lengths().to_numpy())
        which, numbers = features.flatten().to_numpy(), values.flatten().to_numpy()
        found = np.zeros((len(table), len(self.names)))
        for column, name in enumerate(self.names):
            mine = which == int(name)
            found[row[mine], column] = numbers[mine]
        return found


def write_tracks(
    record: str, bundles: list[tuple[str, list[Genome]]], settings: dict, indexes: str, output: str
) -> dict:
    """Write the tracks of a dataset: a folder per genome, with the bigWig and BED files of
    `GenomeTracks`.

    Rows that overlap are averaged per base. Rows of variants are left out. The files of a genome
    are kept if its bundle did not change.

    Parameters
    ----------
    record : str
        Record of the dataset of a head, or of scores.
    bundles : list of (str, list of Genome)
        In the order of the sheet, with their genomes.
    settings : dict
        `tracks`, the classes or features to draw, or None for all; `strands`, keep or mean; `code`.
    indexes : str
        Folder that keeps FASTA indexes (`fasta.index_folder`).
    output : str
        JSON file to write last. The folder beside it, of the same name, gets the files.

    Raises
    ------
    InputError
        If a track is not of the head, or a file is missing, damaged or changed.
    """
    dataset = open_dataset(record)
    source, folder = _source_of(dataset, settings["tracks"]), Path(output.removesuffix(".json"))
    joined = settings["strands"] == "mean"
    earlier, made, files = _Earlier.open(output), {}, []
    for bundle, genomes in bundles:
        mine = dataset.of_bundle(bundle)
        digest = settings_digest([settings, [part["sha256"] for part in mine.record["parts"]]])
        names = [genome.name for genome in genomes]
        kept = earlier.files(names, digest)
        if kept is None:
            with index_folder(indexes, len(genomes)) as indexed:
                kept = _write_bundle(source, mine, genomes, indexed, folder, joined)
        made |= dict.fromkeys(names, digest)
        files += kept
    check_write()
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in made:
            remove(path)
    result = {
        "workflow": __version__,
        "settings": settings,
        "tracks": source.drawn,
        "genomes": made,
        "dataset": dataset.record["digest"],
        "exported": files,
    }
    write_json(output, result)
    log.info("%d files of %d tracks", len(files), len(source.drawn))
    return result


def _write_bundle(
    source: _Source,
    rows: Dataset,
    genomes: list[Genome],
    indexes: str,
    folder: Path,
    joined: bool,
) -> list[dict]:
    """Write the tracks of all genomes of a bundle; the entries of their files."""
    by_name, files = {genome.name: genome for genome in genomes}, []
    for name, runs in groupby(_runs(source, rows), key=lambda run: run[0]):
        lengths = _lengths(by_name[name], indexes)
        with atomic_directory(folder / name) as temporary:
            tracks = GenomeTracks(
                temporary, lengths, source.names, source.drawn, source.called, BACKGROUND
            )
            for contig, mine in groupby(runs, key=lambda run: run[1]):
                tables = (table for _, _, table in mine)
                tracks.add_contig(contig, _by_strand(source, tables, joined))
            for entry in tracks.close():
                files.append({**entry, "file": f"{folder.name}/{name}/{entry['file']}"})
    return files


def _runs(source: _Source, dataset: Dataset) -> Iterator[tuple[str, str, pa.Table]]:
    """Consecutive rows of one contig, with its genome; none of variants."""
    of_variant = ["variant"] if dataset.has_variants else []
    for rows in dataset.row_groups([*_SPANS, *of_variant, *source.columns]):
        table = rows.filter(pc.is_null(rows["variant"])) if of_variant else rows
        keys = to_polars(table.select(["genome", "contig"]))
        runs = keys.select(pl.struct("genome", "contig").rle_id()).to_series().to_numpy()
        firsts = np.flatnonzero(np.diff(runs, prepend=-1))
        for first, stop in pairwise([*firsts, len(table)]):
            yield *keys.row(int(first)), table.slice(first, stop - first)


def _by_strand(source: _Source, tables: Iterator[pa.Table], joined: bool) -> Iterator[tuple]:
    """Rows with values as `GenomeTracks.add_contig` takes them."""
    for table in tables:
        values = source.values(table)
        known = ~np.isnan(values).any(axis=1)
        starts, ends = (table[name].to_numpy()[known] for name in ("start", "end"))
        strands = np.array(table["strand"].to_pylist())[known]
        for strand in (JOINED,) if joined else ("+", "-"):
            mine = np.ones(len(starts), bool) if joined else strands == strand
            if mine.any():
                yield strand, starts[mine], ends[mine], values[known][mine]


def _source_of(dataset: Dataset, tracks: list | None) -> _Source:
    if not isinstance(dataset, HeadDataset):
        return _Source(dataset, ["mean"], [LOG_P], [LOG_P], None)
    kind, asked = dataset.head["kind"], None if tracks is None else [str(name) for name in tracks]
    if kind == CLASS:
        names = dataset.head["classes"]
        columns = [f"{PROBABILITY}{name}" for name in names]
        return _Source(dataset, columns, names, _chosen(dataset, asked, names), "largest")
    names = [str(number) for number in range(dataset.head["outputs"])]
    drawn = _chosen(dataset, asked, names)
    if kind == SPARSE:
        return _Source(dataset, ["features", "values"], drawn, drawn, "positive")
    column = "number" if dataset.width == 1 else "numbers"
    return _Source(dataset, [column], drawn, drawn, None)


def _chosen(dataset: Dataset, asked: list[str] | None, names: list[str]) -> list[str]:
    for name in asked or ():
        if name not in names:
            raise InputError(
                f"heads.{dataset.name}: tracks: '{shown(name)}' is not an output of this head "
                f"(allowed: {some_of(names)})"
            )
    return names if asked is None else asked


def _lengths(genome: Genome, indexes: str) -> dict[str, int]:
    index = fasta_index(indexes, genome.name)
    with open_fasta(genome.fasta, index, full_names=genome.full_names) as fasta:
        return {name: int(fasta.index[name].rlen) for name in fasta.index}


@dataclass(frozen=True)
class _Earlier:
    """What an earlier record says: the digests of genomes, and the entries of their files."""

    folder: Path
    genomes: dict[str, str]
    entries: dict[str, list[dict]]

    @staticmethod
    def open(output: str) -> "_Earlier":
        """Read a record; it may be missing."""
        try:
            record = read_json(output)
        except InputError:
            record = {"genomes": {}, "exported": []}
        entries: dict[str, list[dict]] = {}
        for entry in record["exported"]:
            entries.setdefault(Path(entry["file"]).parts[1], []).append(entry)
        return _Earlier(Path(output).parent, record["genomes"], entries)

    def files(self, genomes: list[str], digest: str) -> list[dict] | None:
        """The entries of the files of genomes, if all were made from the same rows and have their
        sizes."""
        if any(self.genomes.get(genome) != digest for genome in genomes):
            return None
        found = [entry for genome in genomes for entry in self.entries.get(genome, ())]
        paths = [(self.folder / entry["file"], entry["bytes"]) for entry in found]
        fit = all(path.is_file() and path.stat().st_size == size for path, size in paths)
        return found if fit else None
