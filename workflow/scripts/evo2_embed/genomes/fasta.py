"""FASTA files through pyfaidx: plain, bgzip or gzip, and letters to tokens.

A token is the ASCII code of a base, as `CharLevelTokenizer` of vortex makes it.
"""

import gzip
import os
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pyfaidx

from evo2_embed.genomes.index import IndexedFasta, scan_index
from evo2_embed.genomes.lines import file_kind, is_regular, other_format, rewrap
from evo2_embed.io.errors import InputError, MachineError
from evo2_embed.io.files import (
    atomic_path,
    is_disk_fault,
    is_machine_fault,
    temporary_names,
)
from evo2_embed.io.locks import exclusive
from evo2_embed.io.text import human_bytes, shown

LETTERS = "ACGTRYSWKMBDHVN"  # the four bases and the ambiguity codes of IUPAC
COMPLEMENTS = "TGCAYRSWMKVHDBN"

_DAMAGED = (EOFError, zlib.error, struct.error, gzip.BadGzipFile)


def _table(source: str, target: str) -> np.ndarray:
    table = np.zeros(256, np.uint8)
    table[np.frombuffer(source.encode(), np.uint8)] = np.frombuffer(target.encode(), np.uint8)
    return table


_BOTH = LETTERS + LETTERS.lower()
UPPER = _table(_BOTH, LETTERS * 2)  # 0: not a nucleotide letter
KEEP = _table(_BOTH, _BOTH)
COMPLEMENT = _table(_BOTH, COMPLEMENTS + COMPLEMENTS.lower())
IS_GC = _table("GCgc", "\1\1\1\1").astype(bool)
IS_AMBIGUOUS = (KEEP > 0) & ~_table("ACGTacgt", "\1" * 8).astype(bool)


def reverse_complement(tokens: np.ndarray) -> np.ndarray:
    """Tokens of the reverse complement; case is kept."""
    return COMPLEMENT[tokens[::-1]]


def fetch_tokens(
    fasta: IndexedFasta, contig: str, start: int, end: int, lower_case: str, source: str
) -> np.ndarray:
    """Tokens (uint8) of bases [start, end) of a contig's forward strand.

    Parameters
    ----------
    lower_case : {"upper", "keep"}
        Whether soft-masked bases are converted to upper case.
    source : str
        The file's name, for errors.

    Raises
    ------
    InputError
        If a letter is not a nucleotide, or the file ends too early.
    """
    try:
        text = fasta.fetch(contig, start + 1, end)
    except (pyfaidx.FetchError, ValueError, OSError, *_DAMAGED) as error:
        kind = MachineError if is_machine_fault(error) else InputError
        raise kind(
            f"{source}: record '{shown(contig)}': cannot be read ({shown(error, 300)})"
        ) from None
    letters = np.frombuffer(str(text).encode("utf-8", "surrogateescape"), np.uint8)
    tokens = (UPPER if lower_case == "upper" else KEEP)[letters]
    bad = np.flatnonzero(tokens == 0)
    if len(bad):
        raise InputError(_bad_letter(source, contig, start + int(bad[0]), letters[bad[0]]))
    if len(tokens) != end - start:
        raise InputError(
            f"{source}: record '{shown(contig)}': bases {start} to {end} are not in the file; "
            "it changed after it was indexed"
        )
    return tokens


@contextmanager
def open_fasta(
    path: str, index: str, rebuild: bool = False, full_names: bool = False
) -> Iterator[IndexedFasta]:
    """Open a FASTA file of any kind for random access.

    Plain and bgzip files are read where they are. An ordinary gzip file, or one that pyfaidx
    cannot index (lines of unequal length), is rewritten to a temporary file first.

    Parameters
    ----------
    path : str
        The file. Neither the file nor its folder is written to.
    index : str
        Path of its `.fai` (and for bgzip its `.gzi`).
    rebuild : bool
        Build the index even if one exists that is newer than the file.
    full_names : bool
        Whether names of records are whole lines. bgzip files are rewritten, too, then.

    Raises
    ------
    InputError
        One line that names the file and what is wrong with it.
    """
    kind = file_kind(path)
    with ExitStack() as stack:
        if _ensure_index(path, kind, index, rebuild, full_names):
            alias, names = None, {"indexname": index, "gzi_indexname": f"{index}.gzi"}
        else:
            opener = open if kind == "plain" else gzip.open
            alias, names = stack.enter_context(_rewritten(path, opener, full_names)), {}
        try:
            # A copied index can be older than its file: pyfaidx must not rebuild it.
            fasta = IndexedFasta(alias or path, rebuild=False, as_raw=True, **names)
        except (pyfaidx.FastaIndexingError, ValueError, OSError, *_DAMAGED) as error:
            raise _refusal(path, error, alias) from None
        stack.enter_context(fasta)
        yield fasta


def _ensure_index(path: str, kind: str, index: str, rebuild: bool, full_names: bool) -> bool:
    """Make a file's index if it is missing or older; False if pyfaidx cannot index the file."""
    files = [index, f"{index}.gzi"][: 1 + (kind == "bgzip")]
    kinds = ("plain",) if full_names else ("plain", "bgzip")
    if kind in kinds and not (rebuild or _is_stale(path, files)):
        return True
    try:
        text = scan_index(path, full_names) if kind == "plain" else None
        opener = open if kind == "plain" else gzip.open
        # pyfaidx knows first words only.
        by_pyfaidx = kind in kinds and not full_names
        if text is not None or (by_pyfaidx and is_regular(path, opener)):
            lock = Path(f"{index}.lock")
            with exclusive(lock, pause=0.1):
                # Another job may have made it while this one waited.
                if rebuild or _is_stale(path, files):
                    _write_index(path, index, text)
                lock.unlink()
            return True
    except (pyfaidx.FastaIndexingError, ValueError, OSError, *_DAMAGED) as error:
        raise _refusal(path, error) from None
    # No later job may use the index of an earlier version of the file.
    for old in (index, f"{index}.gzi"):
        Path(old).unlink(missing_ok=True)
    return False


def _is_stale(path: str, files: list[str]) -> bool:
    changed = os.stat(path).st_mtime
    return any(not os.path.exists(file) or os.stat(file).st_mtime < changed for file in files)


def _write_index(path: str, index: str, text: str | None) -> None:
    """Write an index atomically, for other jobs read it: this text, or what pyfaidx makes."""
    if text is not None:
        with atomic_path(index) as temporary:
            temporary.write_text(text, encoding="utf-8")
        return
    with tempfile.TemporaryDirectory(**temporary_names(Path(index))) as scratch:
        new = {index: os.path.join(scratch, "fai"), f"{index}.gzi": os.path.join(scratch, "gzi")}
        pyfaidx.Faidx(path, indexname=new[index], gzi_indexname=new[f"{index}.gzi"]).close()
        for final, temporary in new.items():
            if os.path.exists(temporary):
                os.replace(temporary, final)


@contextmanager
def _rewritten(path: str, opener, full_names: bool) -> Iterator[str]:
    """Path of the file, decompressed and with lines of equal length, in a temporary folder; with
    full names, its index is there too."""
    with tempfile.TemporaryDirectory(prefix="evo2-embed.") as scratch:
        plain = os.path.join(scratch, "genome.fa")
        try:
            with opener(path, "rb") as source, open(plain, "wb") as target:
                rewrap(source, target)
            if full_names and (text := scan_index(plain, full_names)) is not None:
                Path(f"{plain}.fai").write_text(text, encoding="utf-8")
        except (InputError, UnicodeDecodeError, *_DAMAGED) as error:
            raise _refusal(path, error) from None
        except OSError as error:
            if not is_disk_fault(error):
                raise
            raise MachineError(_no_room(path, opener, os.path.dirname(scratch), error)) from error
        yield plain


def _no_room(path: str, opener, folder: str, error: OSError) -> str:
    needed = 0
    with opener(path, "rb") as source:
        while part := source.read(1 << 20):
            needed += len(part)
    return (
        f"{path}: its copy for random access needs about {human_bytes(needed)} in {folder} "
        f"(TMPDIR): {os.strerror(error.errno)}; set TMPDIR to a folder with more space, or "
        f"{'wrap its lines' if opener is open else 'compress it with bgzip'}"
    )


def _bad_letter(source: str, contig: str, position: int, letter: int) -> str:
    seen = chr(letter) if 32 < letter < 127 else {32: "blank", 9: "tab"}.get(letter, hex(letter))
    hint = ""
    if seen in "EFILPQXZJOefilpqxzjo*":
        hint = "; is this a protein?"
    elif seen in "Uu":
        hint = "; write RNA as DNA, with T for U"
    return (
        f"{source}: record '{shown(contig)}': '{seen}' at base {position + 1} is not a "
        f"nucleotide letter (allowed: {LETTERS}, upper or lower case){hint}"
    )


def _refusal(path: str, error: Exception, alias: str | None = None) -> InputError:
    """The error for a file that cannot be read; `alias` is its copy."""
    kind = MachineError if is_machine_fault(error) else InputError
    return kind(_explain(path, error, alias))


def _explain(path: str, error: Exception, alias: str | None = None) -> str:
    if isinstance(error, InputError):
        return f"{path}: {error}"
    if isinstance(error, UnicodeDecodeError):
        found = other_format(path) or f"it has the byte {error.object[error.start]:#04x}"
        return f"{path}: not a FASTA file in UTF-8 or ASCII text ({found})"
    if isinstance(error, _DAMAGED) or "BGZF" in str(error):
        return f"{path}: the gzip file is cut off or damaged ({str(error).split('.')[0]})"
    text = " ".join(str(error).replace(alias or path, "the file").split())
    if text.startswith("Duplicate key"):
        name = text.removeprefix("Duplicate key").strip().strip('"')
        return (
            f"{path}: record name '{shown(name)}' occurs twice (names must differ; a name ends at "
            "the first blank of its line, unless record_names: full)"
        )
    if "Bad sequence name" in text:
        # pyfaidx counts lines from 0; lines of a rewritten file are not those of the user's file.
        line = "" if alias else f" (line {int(text.split()[-1].rstrip('.')) + 1})"
        return f"{path}: a '>' line without a record name{line}"
    if text.startswith("Unexpected text before"):
        found = other_format(path) or "there is text before the first line that starts with '>'"
        return f"{path}: not a FASTA file ({found})"
    if "does not contain a valid sequence" in text:
        found = other_format(path) or "no line starts with '>'"
        return f"{path}: not a FASTA file ({found})"
    return f"{path}: not a FASTA file that can be read ({shown(text, 300)})"


def fasta_index(index_folder: str | Path, genome: str) -> str:
    """Path of a genome's index."""
    return str(Path(index_folder) / f"{genome}.fai")


@contextmanager
def index_folder(folder: str, genomes: int) -> Iterator[str]:
    """Folder for the indexes of a bundle's genomes.

    Each shard of a large genome, which has a bundle of its own, needs the index. So `folder` keeps
    it, as a cache: every job makes an index that is missing or older than its file, and no rule
    lists it. Small genomes that share a bundle are indexed quickly, so their indexes are temporary:
    one file for each of thousands of genomes would be most of the files of a run.
    """
    if genomes == 1:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="evo2-embed.") as scratch:
        yield scratch
