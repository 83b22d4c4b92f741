"""Measures of windows: shares and checksums; and which windows are left out."""

import zlib

import numpy as np
import pyfaidx

from evo2_embed.genomes.blocks import Buffers, classify, read_letters
from evo2_embed.genomes.fasta import IS_AMBIGUOUS, IS_GC, fetch_tokens
from evo2_embed.io.errors import InputError
from evo2_embed.io.text import shown
from evo2_embed.settings.sections import Ambiguous, Windows


def measure_windows(
    fasta: pyfaidx.Fasta,
    contig: str,
    block: dict[str, np.ndarray],
    windows: Windows,
    source: str,
    buffers: Buffers,
) -> tuple[dict[str, np.ndarray], int]:
    """Measure consecutive windows of a contig. Threads may do this at the same time.

    Parameters
    ----------
    fasta : pyfaidx.Fasta
    contig : str
    block : dict
        `start` and `end` of the windows, and any other columns, (n,) each.
    windows : Windows
    source : str
        Name of the file, for errors.
    buffers : Buffers

    Returns
    -------
    block : dict
        The windows that are kept, also with `length`, `gc`, `ambiguous` and `crc32`.
    skipped : int
        Number of windows that are not kept.

    Raises
    ------
    InputError
        If a letter is no nucleotide, or is ambiguous and the policy is `error`.
    """
    base = int(block["start"][0])
    bases = (fasta, contig, base, int(block["end"].max()))
    letters = read_letters(*bases, buffers)
    found = None if letters is None else classify(letters, windows.lower_case, buffers)
    if found is None:
        # Not a plain file, or letters other than A, C, G, T and N: slower, with all checks.
        tokens = fetch_tokens(*bases, windows.lower_case, source)
        found = tokens, IS_GC[tokens], IS_AMBIGUOUS[tokens]
    block = block | _measures(block["start"] - base, block["end"] - base, *found)
    where = f"{source}: record '{shown(contig)}'"
    keep = _apply_policy(block, found[0], windows.ambiguous, where)
    return {key: values[keep] for key, values in block.items()}, int((~keep).sum())


def _measures(
    starts: np.ndarray,
    ends: np.ndarray,
    tokens: np.ndarray,
    is_gc: np.ndarray,
    is_ambiguous: np.ndarray,
) -> dict[str, np.ndarray]:
    """Length, GC share, ambiguous share and checksum of windows of tokens, (n,) each."""
    lengths = (ends - starts).astype(np.int32)
    slices = [slice(start, end) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
    measures = {"length": lengths}
    for key, marked in (("gc", is_gc), ("ambiguous", is_ambiguous)):
        # Most blocks have no ambiguous letter, so there is nothing to count.
        some = marked.any()
        counts = [np.count_nonzero(marked[mine]) for mine in slices] if some else [0] * len(slices)
        measures[key] = (np.array(counts) / lengths).astype(np.float32)
    measures["crc32"] = np.array([zlib.crc32(tokens[mine]) for mine in slices], np.uint32)
    return measures


def _apply_policy(
    block: dict[str, np.ndarray], tokens: np.ndarray, ambiguous: Ambiguous, where: str
) -> np.ndarray:
    """Whether each window is kept, (n,)."""
    if ambiguous.policy == "skip":
        return block["ambiguous"] <= ambiguous.max_share
    bad = np.flatnonzero(block["ambiguous"] > 0)
    if ambiguous.policy == "error" and len(bad):
        base, start = int(block["start"][0]), int(block["start"][bad[0]])
        offset = int(np.argmax(IS_AMBIGUOUS[tokens[start - base :]]))
        letter = chr(tokens[start - base + offset])
        raise InputError(
            f"{where}: ambiguous letter '{letter}' at base "
            f"{start + offset + 1} (windows.ambiguous.policy is error; allowed: keep, skip)"
        )
    return np.ones(len(block["start"]), bool)
