"""The files that a sheet names: whether they are there and can be read."""

import errno
import os
import stat
import time

from evo2_embed.genomes.sample_sheet import Genome, reason_of
from evo2_embed.io.errors import InputError, MachineError
from evo2_embed.io.remote import NOT_AN_ADDRESS, address_of, fetch_early, file_size, is_remote
from evo2_embed.io.text import MESSAGE, is_printable, shown

# Seconds that the clock of a file server may be ahead.
CLOCK_SKEW = 5
NOT_LITERAL = "a path must not contain { or } or control characters; rename it or link to it"


def file_faults(path: str, genome: Genome) -> list[str]:
    """One line per file of a genome that is missing, empty, from the future, not a file, or that
    may not be read."""
    faults = []
    for column in ("fasta", "regions", "variants"):
        file = getattr(genome, column)
        early = column != "fasta"
        fault = file and (remote_fault(file, early) if is_remote(file) else _file_fault(file))
        if fault:
            file = address_of(file) or file
            where = f"genome '{shown(genome.name)}': {column} '{shown(file, MESSAGE)}'"
            faults.append(f"{path}: {where}: {fault}")
    return faults


def remote_fault(file: str, early: bool = False) -> str | None:
    """What is wrong with a file at an address; it is fetched if it is needed early."""
    if not address_of(file):
        return NOT_AN_ADDRESS
    if not is_literal(file):
        return NOT_LITERAL
    try:
        if file_size(file) == 0:
            return "the file is empty, or the server does not say how large it is"
        if early:
            fetch_early(file)
    except MachineError:
        raise
    except InputError as error:
        return str(error)
    return None


def _file_fault(file: str) -> str | None:
    if not is_literal(file):
        return NOT_LITERAL
    try:
        state = os.stat(file)  # once: a sheet can have a hundred thousand rows
    except (OSError, ValueError) as error:
        return reason_of(error)
    if not stat.S_ISREG(state.st_mode):
        return "not a file"
    if state.st_size == 0:
        return "the file is empty"
    if not os.access(file, os.R_OK):
        return os.strerror(errno.EACCES)
    return _future_fault(state.st_mtime)


def is_literal(path: str) -> bool:
    """Whether a path can be an input of a rule: Snakemake reads braces as wildcards, and prints
    paths as they are."""
    return not set("{}") & set(path) and is_printable(path)


def future_fault(path: str) -> str | None:
    """What is wrong if a file is newer than the clock: results made from it would be older."""
    return _future_fault(os.stat(path).st_mtime)


def _future_fault(modified: float) -> str | None:
    if modified <= time.time() + CLOCK_SKEW:
        return None
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(modified))
    return f"modified in the future ({moment}); touch it, or correct the clock"
