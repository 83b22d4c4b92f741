"""What a row's bases say by themselves: the GC share and counts of k-mers."""

import numpy as np
import polars as pl

from evo2_embed.genomes.fasta import (
    fasta_index,
    fetch_tokens,
    index_folder,
    open_fasta,
    reverse_complement,
)
from evo2_embed.genomes.sample_sheet import Genome

LENGTHS = (1, 2, 3, 4)
FEATURES = 1 + sum(4**k for k in LENGTHS)

_NONE = 4  # a letter other than A, C, G and T
_DIGITS = np.full(256, _NONE, np.int64)
for _digit, _pair in enumerate(("Aa", "Cc", "Gg", "Tt")):
    _DIGITS[[ord(letter) for letter in _pair]] = _digit


def gc_kmers(keys: pl.DataFrame, bundles: list[list[Genome]], indexes: str) -> np.ndarray:
    """GC share and k-mer shares of the bases of rows, each on its own strand.

    Soft-masked bases count as any others.

    Parameters
    ----------
    keys : DataFrame, n rows
        genome, contig, start, end, strand.
    bundles : list of list of Genome
    indexes : str
        Folder with the indexes of genomes that stand alone.

    Returns
    -------
    ndarray of float32, (n, FEATURES)

    Raises
    ------
    InputError
        When a FASTA file is not as it was.
    """
    features = np.zeros((len(keys), FEATURES), np.float32)
    rows = keys.with_row_index("row").partition_by("genome", as_dict=True)
    for genomes in bundles:
        mine = [genome for genome in genomes if (genome.name,) in rows]
        if not mine:
            continue
        with index_folder(indexes, len(genomes)) as folder:
            for genome in mine:
                with open_fasta(genome.fasta, fasta_index(folder, genome.name)) as fasta:
                    for row in rows[genome.name,].iter_rows(named=True):
                        place = row["contig"], row["start"], row["end"]
                        tokens = fetch_tokens(fasta, *place, "upper", genome.fasta)
                        tokens = reverse_complement(tokens) if row["strand"] == "-" else tokens
                        features[row["row"]] = count_kmers(tokens)
    return features


def count_kmers(tokens: np.ndarray) -> np.ndarray:
    """GC share and shares of k-mers, k = 1 to 4; those with other letters than A, C, G, T count
    nowhere.

    Parameters
    ----------
    tokens : ndarray of uint8, (length,)

    Returns
    -------
    ndarray of float64, (FEATURES,)
        GC; A, C, G, T; AA, AC ... TTTT.
    """
    digits = _DIGITS[tokens]
    parts = []
    for k in LENGTHS:
        places = max(0, len(digits) - k + 1)
        codes, known = np.zeros(places, np.int64), np.ones(places, bool)
        for offset in range(k):
            part = digits[offset : offset + places]
            codes, known = 4 * codes + part, known & (part != _NONE)
        counts = np.bincount(codes[known], minlength=4**k)
        parts.append(counts / max(1, counts.sum()))
    return np.concatenate([[parts[0][1] + parts[0][2]], *parts])
