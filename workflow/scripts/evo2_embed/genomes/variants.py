"""Files of variants: VCF and BCF, plain or bgzip, through htslib. Genotypes are never parsed.

pysam is imported only where a file is read, by a job: a run is planned without it
(`variant_sample`).
"""

import re
from array import array
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evo2_embed.genomes.fasta import LETTERS
from evo2_embed.genomes.variant_sample import Sites, check_file
from evo2_embed.io.errors import InputError, MachineError
from evo2_embed.io.files import is_machine_fault
from evo2_embed.io.text import shown

if TYPE_CHECKING:
    import pysam

_BATCH = 1 << 17  # variants that are Python objects at once
_PLAIN = frozenset("ACGT")
_BASES = re.compile("[ACGT]+", re.IGNORECASE)
_LETTERS = re.compile(f"[{LETTERS}]+", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Variants:
    """Variants of a contig, each one alternate allele of a record, sorted by position.

    Attributes
    ----------
    position : ndarray of int64, (n,)
        Of the first base of the reference allele, 0-based; as the file has it.
    ref, alt : pyarrow.StringArray, (n,)
        Alleles in upper case.
    id : pyarrow.StringArray, (n,)
        ID of the record, or null.
    """

    position: np.ndarray
    ref: pa.StringArray
    alt: pa.StringArray
    id: pa.StringArray

    def __len__(self) -> int:
        return len(self.position)

    @property
    def sites(self) -> Sites:
        """Their positions and lengths."""
        lengths = (pc.binary_length(c).to_numpy().astype(np.int64) for c in (self.ref, self.alt))
        return Sites(self.position, *lengths)

    def take(self, rows: np.ndarray) -> "Variants":
        """The variants with these indices, in their order."""
        index = pa.array(rows)
        return Variants(
            self.position[rows], *(c.take(index) for c in (self.ref, self.alt, self.id))
        )


def read_variants(path: str) -> tuple[dict[str, Variants], Counter]:
    """Read a file of variants.

    Returns
    -------
    variants : dict
        By contig, in the order of the file.
    counts : Counter
        `records`, `variants`, and what was skipped and why: records and alleles that are no
        sequence of bases, and those that are in the file before.

    Raises
    ------
    InputError
        If the file cannot be read to its end, or has no variant.
    """
    check_file(path)
    counts, contigs = Counter(), {}
    batches = [_table(batch) for batch in _batches(path, counts, contigs)]
    if not batches:
        raise InputError(f"{path}: no variants in the file{_skipped(counts)}")
    table = pa.concat_tables(batches).combine_chunks()
    del batches
    contig = table["contig"].to_numpy()
    order = np.lexsort((table["position"].to_numpy(), contig))
    stops = np.cumsum(np.bincount(contig, minlength=len(contigs)))
    variants = {}
    for name, rows in zip(contigs, np.split(order, stops[:-1]), strict=True):
        if len(rows):
            variants[name] = _without_copies(_of_contig(table.take(pa.array(rows))), counts)
    counts["variants"] = sum(map(len, variants.values()))
    return variants, counts


@contextmanager
def _opened(path: str) -> Iterator["pysam.VariantFile"]:
    import pysam

    # htslib prints warnings, such as those on contigs that the header does not have.
    before = pysam.set_verbosity(0)
    try:
        with pysam.VariantFile(path, drop_samples=True) as file:
            yield file
    finally:
        pysam.set_verbosity(before)


def _batches(path: str, counts: Counter, contigs: dict[str, int]) -> Iterator[tuple]:
    """Columns of the variants of a file: number of the contig, position, alleles, ID."""
    where = "the header"
    columns = _columns()
    try:
        with _opened(path) as file:
            where = "the first record"
            for record in file:
                contig, position = record.chrom, record.pos
                ref, alts, name = record.ref, record.alts, record.id
                counts["records"] += 1
                where = (contig, position)
                if ref not in _PLAIN and not _LETTERS.fullmatch(ref or ""):
                    text = shown(ref)
                    raise InputError(f"reference allele '{text}' is not a sequence of bases")
                for alt in alts or (".",):
                    if alt not in _PLAIN and (why := _refusal(alt)):
                        counts[f"skipped: {why}"] += 1
                        continue
                    number = contigs.setdefault(contig, len(contigs))
                    for column, value in zip(
                        columns, (number, position - 1, ref, alt, name), strict=True
                    ):
                        column.append(value)
                if len(columns[0]) >= _BATCH:
                    yield columns
                    columns = _columns()
    except InputError as error:
        raise InputError(f"{path}: {_place(where)}: {error}") from None
    except (OSError, ValueError, NotImplementedError, UnicodeDecodeError) as error:
        at = f"in {where}" if isinstance(where, str) else f"after {_place(where)}"
        kind = MachineError if is_machine_fault(error) else InputError
        raise kind(
            f"{path}: {at}: cannot be read as VCF or BCF ({shown(error)}); is a line damaged, or "
            "not separated by tabs?"
        ) from None
    if len(columns[0]):
        yield columns


def _columns() -> tuple:
    return array("i"), array("q"), [], [], []


def _table(columns: tuple) -> pa.Table:
    names = ("contig", "position", "ref", "alt", "id")
    kinds = (pa.int32(), pa.int64(), pa.large_string(), pa.large_string(), pa.large_string())
    arrays = [pa.array(values, kind) for values, kind in zip(columns, kinds, strict=True)]
    table = pa.table(dict(zip(names, arrays, strict=True)))
    for name in ("ref", "alt"):
        table = table.set_column(table.column_names.index(name), name, pc.ascii_upper(table[name]))
    return table


def _of_contig(table: pa.Table) -> Variants:
    texts = (table[name].combine_chunks() for name in ("ref", "alt", "id"))
    return Variants(table["position"].to_numpy(), *texts)


def _refusal(alt: str) -> str | None:
    """Why an alternate allele is not a sequence of bases; None if it is one."""
    if _BASES.fullmatch(alt):
        return None
    if alt in ("<NON_REF>", "<*>"):
        return f"{alt} of a gVCF"
    if alt.startswith("<") and alt.endswith(">"):
        return f"symbolic allele {shown(alt)}"
    if alt == "*":
        return "allele *"
    if alt == ".":
        return "no alternate allele"
    if "[" in alt or "]" in alt or "." in alt:
        return "breakend"
    if _LETTERS.fullmatch(alt):
        return "ambiguous letter in the alternate allele"
    raise InputError(f"alternate allele '{shown(alt)}' is not an allele of VCF")


def _without_copies(variants: Variants, counts: Counter) -> Variants:
    """Variants without those that were there before, and those that change nothing."""
    position, keep = variants.position, np.ones(len(variants), bool)
    same = pc.equal(variants.ref, variants.alt).to_numpy(zero_copy_only=False)
    keep[same] = False
    again = np.flatnonzero(position[1:] == position[:-1])
    seen: set[tuple[str, str]] = set()
    last = -1
    for row in np.unique([again, again + 1]).tolist():
        if position[row] != last:
            seen, last = set(), position[row]
        allele = (variants.ref[row].as_py(), variants.alt[row].as_py())
        if allele in seen and keep[row]:
            counts["skipped: variant is in the file before"] += 1
            keep[row] = False
        seen.add(allele)
    if same.any():
        counts["skipped: both alleles are the same"] += int(same.sum())
    return variants if keep.all() else variants.take(np.flatnonzero(keep))


def _skipped(counts: Counter) -> str:
    why = [f"{n:,} x {key.removeprefix('skipped: ')}" for key, n in counts.items() if ":" in key]
    return f" ({'; '.join(why)})" if why else ""


def _place(where: str | tuple[str, int]) -> str:
    return where if isinstance(where, str) else f"{shown(where[0])}:{where[1]}"
