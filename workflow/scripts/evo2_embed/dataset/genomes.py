"""The table of the genomes of a run, and of those that it left out."""

import re

import pyarrow as pa
import pyarrow.parquet as pq

from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.genomes.skipped import Skipped, read_digest, write_skipped
from evo2_embed.io.digests import settings_digest
from evo2_embed.io.errors import InputError
from evo2_embed.io.remote import address_of
from evo2_embed.io.tables import (
    CHUNKS,
    GENOMES,
    metadata_schema,
    open_table,
    table_metadata,
    table_writer,
)

_NO_VALUE = ("", "NA")
# Eighteen digits fit into 64 bits.
_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})?(\.[0-9]+)?(?<=[0-9])([eE][+-]?[0-9]{1,2})?")
_COUNTS = {"contigs": "contigs", "bases": "bases", "windows": "chunks", "tokens": "tokens"}


def write_genomes(
    chunks: list[str],
    genomes: list[Genome],
    settings: dict,
    table: str,
    skipped: str,
) -> None:
    """Write the table of genomes, and that of genomes that are left out.

    Parameters
    ----------
    chunks : list of str
        Chunk tables of all bundles, in the order of the sheet.
    genomes : list of Genome
        All of the sheet; those with a `fault` are in no bundle.
    settings : dict
        Those of the rule, for the metadata of the table.
    table, skipped : str
        Files to write: `tables.GENOMES`, and that of `genomes.skipped`.

    Raises
    ------
    InputError
        If every genome is left out.
    """
    found = [table_metadata(open_table(path, CHUNKS)) for path in chunks]
    counts = {name: entry for each in found for name, entry in each["genomes"].items()}
    bad = _skipped_by_jobs(found, genomes)
    if len(bad) == len(counts):
        raise InputError("every genome is left out; the first: " + next(iter(bad.values())).reason)
    early = [Skipped(g.name, g.fasta, " ".join(g.fault.split("\n"))) for g in genomes if g.fault]
    rows = [_row(genome, counts.get(genome.name, {}), bad) for genome in _of_table(genomes)]
    digest = settings_digest([settings, [each["digest"] for each in found]])
    result = pa.Table.from_pylist(rows, GENOMES)
    for name, cells in _further(_of_table(genomes)).items():
        result = result.append_column(name, typed(cells))
    schema = metadata_schema(result.schema, {"settings": settings, "digest": digest})
    with table_writer(table, schema) as writer:
        writer.write_table(result.cast(schema))
    write_skipped(skipped, [*bad.values(), *early])


def _skipped_by_jobs(found: list[dict], genomes: list[Genome]) -> dict[str, Skipped]:
    """By name, the genomes that chunk tables leave out."""
    files = {genome.name: genome.fasta for genome in genomes if not genome.fault}
    result = {}
    for each in found:
        inputs = {entry["genome"]: entry for entry in each["inputs"]}
        for name, reason in each.get("skipped", {}).items():
            digest = read_digest(each["settings"], inputs[name])
            result[name] = Skipped(name, files[name], reason, digest)
    return result


def _of_table(genomes: list[Genome]) -> list[Genome]:
    """Genomes, each name once: a usable one if there is one."""
    first: dict[str, Genome] = {}
    for genome in sorted(genomes, key=lambda genome: bool(genome.fault)):
        first.setdefault(genome.name, genome)
    return [genome for genome in genomes if first[genome.name] is genome]


def _further(genomes: list[Genome]) -> dict[str, list[str]]:
    """Cells of the further columns of the sheet, by name."""
    names = [name for name, _ in genomes[0].columns]
    return {name: [dict(genome.columns)[name] for genome in genomes] for name in names}


def typed(cells: list[str]) -> pa.Array:
    """Cells of a column of the sheet as whole numbers, numbers or text; nulls for cells that are
    empty or `NA`.

    Numbers with zeros before them (`007`) are text, and so is a column with any text.

    >>> typed(["3", "", "-12"]).to_pylist(), typed(["3", "NA", "1e-3"]).to_pylist()
    ([3, None, -12], [3.0, None, 0.001])
    >>> typed(["007", "3"]).to_pylist(), str(typed(["", "NA"]).type)
    (['007', '3'], 'string')
    """
    known = [cell for cell in cells if cell not in _NO_VALUE]
    kind, parse = pa.string(), str
    if known and all(_WHOLE.fullmatch(cell) for cell in known):
        kind, parse = pa.int64(), int
    elif known and all(_NUMBER.fullmatch(cell) for cell in known):
        kind, parse = pa.float64(), float
    return pa.array([None if cell in _NO_VALUE else parse(cell) for cell in cells], kind)


def further_columns(table: str) -> dict[str, dict]:
    """By genome, its values in the further columns of the sheet; nothing without such columns."""
    rows = pq.read_table(table).drop_columns(GENOMES.names[1:])
    if rows.num_columns == 1:
        return {}
    return {row.pop("genome"): row for row in rows.to_pylist()}


def _row(genome: Genome, counts: dict, bad: dict[str, Skipped]) -> dict:
    reason = genome.fault or (bad[genome.name].reason if genome.name in bad else None)
    skipped = sum(n for why, n in counts.items() if why.startswith("skipped: "))
    numbers = {name: counts.get(key, 0) for name, key in _COUNTS.items()}
    return {
        "genome": genome.name,
        "fasta": address_of(genome.fasta) or genome.fasta,
        **numbers,
        "skipped": skipped,
        "reason": reason,
    }
