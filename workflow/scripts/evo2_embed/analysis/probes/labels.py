"""Labelled intervals from BED, GFF3 and TSV files. Every fault is one line.

Light: the labels of a run are checked when the workflow is parsed.
"""

import gzip
import zlib
from pathlib import Path

from evo2_embed.analysis.probes.formats import BedReader, GffReader, Labels, TsvReader
from evo2_embed.genomes.sheet_files import NOT_LITERAL, is_literal
from evo2_embed.io.errors import InputError
from evo2_embed.io.text import numbered_lines, shown, some_of
from evo2_embed.settings.analyses import Probe

GC_KMERS, SHUFFLED = "gc_kmers", "shuffled_labels"  # baselines, beside the layers

MOST_FAULTS = 3  # lines shown per file

FORMATS = {".bed": "bed", ".gff": "gff3", ".gff3": "gff3", ".tsv": "tsv", ".txt": "tsv"}
_READERS = {"bed": BedReader, "gff3": GffReader, "tsv": TsvReader}
_DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile)


def read_labels(probe: Probe) -> Labels:
    """Read the file of labels that the settings name.

    Raises
    ------
    InputError
        With one line, for the first fault.
    """
    labels, faults = _read(probe)
    if faults:
        raise InputError(faults[0])
    return labels


def probe_faults(probe: Probe | None, genomes: list[str], fusions: list[str]) -> list[str]:
    """Faults of the section `probe`, one line per fault.

    Parameters
    ----------
    probe : Probe or None
        Complete settings.
    genomes : list of str
        Names of all genomes of the sheet.
    fusions : list of str
        Names of the fusions of all extractions.
    """
    if probe is None:
        return []
    faults = [
        f"fusion: '{name}' is the name of a baseline (allowed: any other name)"
        for name in (GC_KMERS, SHUFFLED)
        if name in fusions
    ]
    labels, more = _read(probe)
    if labels is not None and not more:
        unknown = sorted(set(labels.genome) - set(genomes))
        more += [
            f"probe.labels: {probe.labels}: genome '{shown(name)}' is not in the sheet "
            f"(allowed: {some_of(genomes)})"
            for name in unknown[:MOST_FAULTS]
        ]
    return faults + more


def _read(probe: Probe) -> tuple[Labels | None, list[str]]:
    path, feature = probe.labels, probe.feature
    where = f"probe.labels: {path}"
    fault = _file_fault(path, feature)
    if fault:
        return None, [fault]
    reader = _READERS[_format(path)](feature)
    faults = []
    try:
        with _opener(path)(path, "rt", encoding="utf-8-sig") as handle:
            for number, line in numbered_lines(handle):
                try:
                    if not reader.take(line):
                        break
                except InputError as error:
                    faults.append(f"{where}: line {number}: {error}")
                    if len(faults) == MOST_FAULTS or reader.hopeless:
                        break
    except InputError as error:
        return None, [f"{where}: {error}"]
    except UnicodeDecodeError:
        return None, [
            f"{where}: not a text file (allowed: plain text, or gzip with the ending .gz)"
        ]
    except _DAMAGED as error:
        return None, [f"{where}: not a gzip file, or truncated or damaged ({error})"]
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
            f"probe.labels: {path}: the name does not end like a known format "
            f"(allowed: {', '.join(FORMATS)}, each also with .gz)"
        )
    if feature is not None and form != "gff3":
        what = f"'{shown(feature)}' is for GFF3 only"
        return f"probe.feature: {what}, and {path} is not GFF3; leave it out"
    if not is_literal(path):
        return f"probe.labels: {path}: {NOT_LITERAL}"
    if not Path(path).is_file():
        return f"probe.labels: {path}: no such file"
    return None
