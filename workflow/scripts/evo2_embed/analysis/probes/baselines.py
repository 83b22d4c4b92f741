"""The baseline of all layers: GC content and k-mer counts of a row's bases."""

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

_NONE = 4  # any letter but A, C, G and T
_DIGITS = np.full(256, _NONE, np.int64)
for _digit, _pair in enumerate(("Aa", "Cc", "Gg", "Tt")):
    _DIGITS[[ord(letter) for letter in _pair]] = _digit


def gc_kmers(keys: pl.DataFrame, bundles: list[list[Genome]], indexes: str) -> np.ndarray:
    """GC content and k-mer shares of rows, each on its own strand.

    Soft-masked bases count like all others.

    Parameters
    ----------
    keys : DataFrame, n rows
        genome, contig, start, end, strand.
    bundles : list of list of Genome
    indexes : str
        Folder that keeps FASTA indexes (`fasta.index_folder`).

    Returns
    -------
    ndarray of float32, (n, FEATURES)

    Raises
    ------
    InputError
        If a FASTA file has changed.
    """
    features = np.zeros((len(keys), FEATURES), np.float32)
    rows = keys.with_row_index("row").partition_by("genome", as_dict=True)
    for genomes in bundles:
        mine = [genome for genome in genomes if (genome.name,) in rows]
        if not mine:
            continue
        with index_folder(indexes, len(genomes)) as folder:
            for genome in mine:
                index, full_names = fasta_index(folder, genome.name), genome.full_names
                with open_fasta(genome.fasta, index, full_names=full_names) as fasta:
                    for row in rows[genome.name,].iter_rows(named=True):
                        span = row["contig"], row["start"], row["end"]
                        tokens = fetch_tokens(fasta, *span, "upper", genome.fasta)
                        tokens = reverse_complement(tokens) if row["strand"] == "-" else tokens
                        features[row["row"]] = count_kmers(tokens)
    return features


def count_kmers(tokens: np.ndarray) -> np.ndarray:
    """GC content and k-mer shares, k = 1 to 4. K-mers with letters other than A, C, G and T do not
    count.

    Parameters
    ----------
    tokens : ndarray of uint8, (length,)

    Returns
    -------
    ndarray of float64, (FEATURES,)
        GC; A, C, G, T; AA, AC ... TTTT. The shares of each k sum to 1, or are all 0.
    """
    digits = _DIGITS[tokens]
    shares = []
    for k in LENGTHS:
        number = max(0, len(digits) - k + 1)
        # Each k-mer as a number in base 4, built up digit by digit for all k-mers at once.
        codes, known = np.zeros(number, np.int64), np.ones(number, bool)
        for offset in range(k):
            digit = digits[offset : offset + number]
            codes, known = 4 * codes + digit, known & (digit != _NONE)
        counts = np.bincount(codes[known], minlength=4**k)
        shares.append(counts / max(1, counts.sum()))
    return np.concatenate([[shares[0][1] + shares[0][2]], *shares])
