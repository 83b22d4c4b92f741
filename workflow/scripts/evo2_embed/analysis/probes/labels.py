"""Labelled intervals from BED, GFF3 and TSV files; every fault is a line that names it.

Light: the labels of a run are checked when the workflow is parsed.
"""

import gzip
import zlib
from pathlib import Path

from evo2_embed.analysis.probes.formats import BedReader, GffReader, Labels, TsvReader, some_of
from evo2_embed.genomes.sample_sheet import NOT_LITERAL, is_literal
from evo2_embed.io.errors import InputError

GC_KMERS, SHUFFLED = "gc_kmers", "shuffled_labels"  # bases of comparison, beside the layers

MOST_FAULTS = 3  # that are shown

FORMATS = {".bed": "bed", ".gff": "gff3", ".gff3": "gff3", ".tsv": "tsv", ".txt": "tsv"}
_READERS = {"bed": BedReader, "gff3": GffReader, "tsv": TsvReader}
_DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile)


def read_labels(probe: dict) -> Labels:
    """Read the labels that the section `probe` of the settings names.

    Raises
    ------
    InputError
        A line for the first fault.
    """
    labels, faults = _read(probe)
    if faults:
        raise InputError(faults[0])
    return labels


def probe_faults(probe: dict | None, genomes: list[str], fusions: list[str]) -> list[str]:
    """What is wrong with the section `probe`, a line a fault.

    Parameters
    ----------
    probe : dict or None
        The section, complete.
    genomes : list of str
        The genomes of the sheet.
    fusions : list of str
        Names of all fusions.
    """
    if probe is None:
        return []
    faults = [
        f"fusion: '{name}' is the name of a base of comparison (allowed: another one)"
        for name in (GC_KMERS, SHUFFLED)
        if name in fusions
    ]
    labels, more = _read(probe)
    if labels is not None and not more:
        unknown = sorted(set(labels.genome) - set(genomes))
        more += [
            f"probe.labels: {probe['labels']}: genome '{name}' is not in the sheet "
            f"(allowed: {some_of(genomes)})"
            for name in unknown[:MOST_FAULTS]
        ]
    return faults + more


def _read(probe: dict) -> tuple[Labels | None, list[str]]:
    path, feature = probe["labels"], probe["feature"]
    where = f"probe.labels: {path}"
    fault = _file_fault(path, feature)
    if fault:
        return None, [fault]
    reader = _READERS[_format(path)](feature)
    faults = []
    try:
        with _opener(path)(path, "rt", encoding="utf-8-sig") as handle:
            for number, line in enumerate(handle, 1):
                try:
                    if not reader.take(line.rstrip("\r\n"), number):
                        break
                except InputError as error:
                    faults.append(f"{where}: line {number}: {error}")
                    if len(faults) == MOST_FAULTS or reader.hopeless:
                        break
    except UnicodeDecodeError:
        return None, [f"{where}: not a text file (allowed: plain text, or gzip named .gz)"]
    except _DAMAGED as error:
        return None, [f"{where}: the gzip file is cut off, damaged or none ({error})"]
    except OSError as error:
        return None, [f"{where}: {error.strerror or error}"]
    return reader.labels, faults or [f"{where}: {fault}" for fault in reader.faults()]


def _format(path: str) -> str | None:
    return FORMATS.get(Path(path.lower().removesuffix(".gz")).suffix)


def _opener(path: str):
    return gzip.open if path.lower().endswith(".gz") else open


def _file_fault(path: str, feature: str | None) -> str | None:
    form = _format(path)
    if form is None:
        return (
            f"probe.labels: {path}: the ending does not tell the format "
            f"(allowed: {', '.join(FORMATS)}, each also with .gz)"
        )
    if feature is not None and form != "gff3":
        return f"probe.feature: '{feature}' is for GFF3 only, and {path} is none; leave it out"
    if not is_literal(path):
        return f"probe.labels: {path}: {NOT_LITERAL}"
    if not Path(path).is_file():
        return f"probe.labels: {path}: no such file"
    return None
