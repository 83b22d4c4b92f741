"""Regions, variants and the records of their FASTA file: what does not fit, and what is cut off."""

import re
from collections.abc import Iterator
from pathlib import Path

from evo2_embed.genomes.lengths import known_lengths
from evo2_embed.genomes.region_lists import Regions
from evo2_embed.genomes.regions import read_regions
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.genomes.variant_sample import check_file, sample_sites
from evo2_embed.io.errors import InputError
from evo2_embed.io.text import shown, some_of
from evo2_embed.settings.windows import RegionSettings

MOST_READ = 64 << 20  # bases of FASTA files that are looked at when a run starts

_PREFIX, _VERSION = re.compile(r"^chr", re.IGNORECASE), re.compile(r"\.\d+$")
_MITOCHONDRION = re.compile(r"^MT?$")


def region_faults(genomes: list[Genome], settings: RegionSettings) -> list[str | None]:
    """Per genome, the first fault of its file of regions, in one line, or None. Takes seconds per
    million regions.

    Contigs and ends are checked for FASTA files that are small, or have an index beside them: a job
    checks the others.
    """
    faults: list[str | None] = []
    room = MOST_READ
    for genome in genomes:
        faults.append(None)
        if not genome.regions or not Path(genome.regions).is_file():
            continue
        try:
            regions = read_regions(genome.regions, settings)
            lengths = known_lengths(genome.fasta, genome.full_names) if room > 0 else None
            if lengths is not None:
                room -= sum(lengths.values())
                fit_regions(regions, lengths, genome, settings)
        except InputError as error:
            faults[-1] = str(error)
    return faults


def fit_regions(
    regions: dict[str, Regions], lengths: dict[str, int], genome: Genome, settings: RegionSettings
) -> dict[str, Regions]:
    """Check regions against the records of their genome, and clip them if the settings say so.

    Parameters
    ----------
    regions : dict
        By contig, as `read_regions` gives them.
    lengths : dict
        Bases of each record of the FASTA file.
    genome : Genome
    settings : RegionSettings

    Returns
    -------
    dict
        By contig. On circular records, ends may be past the length: the region is over the origin.

    Raises
    ------
    InputError
        If a contig is not a record, if a region is past the end of its record, or if a name in the
        column `circular` of the sheet is not a record.
    """
    try:
        check_records(
            {key: f"line {mine.line[0]}" for key, mine in regions.items()}, lengths, genome
        )
        return {
            contig: _fit(mine, contig, lengths[contig], genome.is_circular(contig), settings)
            for contig, mine in regions.items()
        }
    except InputError as error:
        raise InputError(f"{genome.regions}: {error}") from None


def variant_faults(genomes: list[Genome]) -> list[str | None]:
    """Per genome, the first fault of its file of variants, in one line, or None.

    The beginning and the end of each file are checked, and the contigs of its first records, for
    FASTA files that are small, or have an index beside them. A job checks all records.
    """
    faults: list[str | None] = []
    room = MOST_READ
    for genome in genomes:
        faults.append(None)
        if not genome.variants or not Path(genome.variants).is_file():
            continue
        try:
            check_file(genome.variants)
            lengths = known_lengths(genome.fasta, genome.full_names) if room > 0 else None
            if lengths is not None:
                room -= sum(lengths.values())
                sites, _ = sample_sites(genome.variants)
                first = {name: int(mine.position[0]) for name, mine in sites.items() if len(mine)}
                check_contigs(first, lengths, genome)
        except InputError as error:
            faults[-1] = str(error)
        except OSError as error:
            faults[-1] = f"{genome.variants}: {error.strerror or error}"
    return faults


def check_contigs(first: dict[str, int], lengths: dict[str, int], genome: Genome) -> None:
    """Check that the contigs of a file of variants are records of its genome.

    Parameters
    ----------
    first : dict of str to int
        By contig, the position of its first variant, from 0.
    lengths : dict
        Bases of each record of the FASTA file.
    genome : Genome

    Raises
    ------
    InputError
        If one is not.
    """
    places = {contig: f"{shown(contig)}:{position + 1}" for contig, position in first.items()}
    try:
        check_records(places, lengths, genome)
    except InputError as error:
        raise InputError(f"{genome.variants}: {error}") from None


def check_records(found: dict[str, str], lengths: dict[str, int], genome: Genome) -> None:
    """Check that contigs are records of their genome; `found` says where each is in its file first,
    in the order of the file.

    Raises
    ------
    InputError
        If one is not, or a name in the column `circular` of the sheet is not a record.
    """
    unknown = [contig for contig in found if contig not in lengths]
    if unknown:
        what = f"record '{shown(unknown[0])}'"
        if len(unknown) > 1:
            what = f"record for {len(unknown):,} contigs ({some_of(unknown)})"
        records = some_of(list(lengths), 3)
        hint = next(_hints(unknown, lengths), "")
        raise InputError(
            f"{found[unknown[0]]}: no {what} in {genome.fasta}, which has {records}{hint}"
        )
    names = genome.circular if isinstance(genome.circular, tuple) else ()
    missing = [name for name in names if name not in lengths]
    if missing:
        raise InputError(
            f"genome '{genome.name}' of the sheet: circular: no record '{shown(missing[0])}' in "
            f"{genome.fasta} (allowed: true, false, or names of records, separated by commas)"
        )


def _hints(unknown: list[str], records: dict[str, int]) -> Iterator[str]:
    """What is different in names that are nearly those of records."""
    for what, plain in (("the prefix 'chr'", _without_prefix), ("the version", _without_version)):
        alike = {plain(record): record for record in records}
        for contig in unknown:
            if plain(contig) in alike:
                record = alike[plain(contig)]
                yield f"; '{shown(contig)}' and '{shown(record)}' differ in {what} only"


def _without_prefix(name: str) -> str:
    return _MITOCHONDRION.sub("MT", _PREFIX.sub("", name))


def _without_version(name: str) -> str:
    return _VERSION.sub("", name)


def _fit(
    mine: Regions, contig: str, length: int, circular: bool, settings: RegionSettings
) -> Regions:
    record = f"record '{shown(contig)}' ({length:,} bases)"
    if circular:
        for row in (mine.end - mine.start > length).nonzero()[0][:1]:
            raise InputError(
                f"line {mine.line[row]}: start {mine.start[row]} and end {mine.end[row]} are more "
                f"than once around the circular {record}"
            )
    for row in (mine.start >= length).nonzero()[0][:1]:
        raise InputError(
            f"line {mine.line[row]}: start {mine.start[row]} is past the end of {record}"
        )
    past = mine.end > length
    if not past.any() or (circular and settings.rows == "region"):
        return mine
    if circular:
        raise InputError(
            f"line {mine.line[past][0]}: end {mine.end[past][0]} is past the origin of the "
            f"circular {record}, which needs regions.rows: region"
        )
    if settings.off_contig == "clip":
        return _clip(mine, length)
    row = past.nonzero()[0][0]
    raise InputError(
        f"line {mine.line[row]}: end {mine.end[row]} is past the end of {record}; "
        "regions.off_contig: clip cuts regions off, and a region over the origin needs the column "
        "circular of the sheet"
    )


def _clip(mine: Regions, length: int) -> Regions:
    import numpy as np

    # Exons that begin past the end are left out; each region keeps its first.
    kept = mine.part_start < length
    counts = np.add.reduceat(kept.astype(np.int64), mine.edges[:-1])
    edges = np.concatenate([[0], np.cumsum(counts)])
    part_start, part_end = mine.part_start[kept], np.minimum(mine.part_end[kept], length)
    end = part_end[edges[1:] - 1]
    return Regions(mine.start, end, mine.strand, mine.name, mine.line, edges, part_start, part_end)
