"""What a chunk table says of windows: shares, checksums, and which ones are left out."""

import zlib

import numpy as np
import pyfaidx

from evo2_embed.genomes.blocks import Buffers, classify, read_letters
from evo2_embed.genomes.fasta import IS_AMBIGUOUS, IS_GC, fetch_tokens, short
from evo2_embed.io.errors import InputError


def measure_windows(
    fasta: pyfaidx.Fasta,
    contig: str,
    block: dict[str, np.ndarray],
    windows: dict,
    source: str,
    buffers: Buffers,
) -> tuple[dict[str, np.ndarray], int]:
    """Measure windows that follow one another on a contig; threads may do so side by side.

    Parameters
    ----------
    fasta : pyfaidx.Fasta
    contig : str
    block : dict
        `start` and `end` of the windows, and whatever else they have, (n,) each.
    windows : dict
        The section `windows` of the configuration.
    source : str
        The file's name, for errors.
    buffers : Buffers

    Returns
    -------
    block, skipped
        The windows that are kept, with `length`, `gc`, `ambiguous` and `crc32`, and how many are
        not.

    Raises
    ------
    InputError
        For a letter that is no nucleotide, or an ambiguous one where the policy says so.
    """
    base = int(block["start"][0])
    place = (fasta, contig, base, int(block["end"].max()))
    letters = read_letters(*place, buffers)
    known = None if letters is None else classify(letters, windows["lower_case"], buffers)
    if known is None:
        tokens = fetch_tokens(*place, windows["lower_case"], source)
        known = tokens, IS_GC[tokens], IS_AMBIGUOUS[tokens]
    block = block | _measures(block["start"] - base, block["end"] - base, *known)
    keep = _apply_policy(
        block, known[0], windows["ambiguous"], f"{source}: record '{short(contig)}'"
    )
    return {key: values[keep] for key, values in block.items()}, int((~keep).sum())


def _measures(
    starts: np.ndarray,
    ends: np.ndarray,
    tokens: np.ndarray,
    is_gc: np.ndarray,
    is_ambiguous: np.ndarray,
) -> dict[str, np.ndarray]:
    """Length, GC share, ambiguous share and checksum of every window of some tokens."""
    lengths = (ends - starts).astype(np.int32)
    spans = [slice(start, end) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
    measures = {"length": lengths}
    for key, marked in (("gc", is_gc), ("ambiguous", is_ambiguous)):
        some = marked.any()
        counts = [np.count_nonzero(marked[span]) for span in spans] if some else [0] * len(spans)
        measures[key] = (np.array(counts) / lengths).astype(np.float32)
    measures["crc32"] = np.array([zlib.crc32(tokens[span]) for span in spans], np.uint32)
    return measures


def _apply_policy(
    block: dict[str, np.ndarray], tokens: np.ndarray, ambiguous: dict, where: str
) -> np.ndarray:
    """Which windows are kept."""
    if ambiguous["policy"] == "skip":
        return block["ambiguous"] <= ambiguous["max_share"]
    bad = np.flatnonzero(block["ambiguous"] > 0)
    if ambiguous["policy"] == "error" and len(bad):
        base, start = int(block["start"][0]), int(block["start"][bad[0]])
        offset = int(np.argmax(IS_AMBIGUOUS[tokens[start - base :]]))
        letter = chr(tokens[start - base + offset])
        raise InputError(
            f"{where}: ambiguous letter '{letter}' at base "
            f"{start + offset + 1} (windows.ambiguous.policy is error; allowed: keep, skip)"
        )
    return np.ones(len(block["start"]), bool)
