"""Markov models of DNA: the baseline for a sequence model.

Counts are over both strands of the genomes, without held-out bases. The weight of a genome is its
share of the training windows.
"""

import numpy as np
from corpus import Contig, Corpus, kmers, reverse_complement

PSEUDOCOUNT = 1.0


def markov_counts(contigs: list[Contig], order: int) -> np.ndarray:
    """Weighted counts (4 ** order, 4) of the base that follows each word of `order` bases."""
    counts = np.zeros(4 ** (order + 1))
    total = sum(contig.kept.sum() for contig in contigs)
    shares = sum(contig.share for contig in contigs)
    for contig in contigs:
        weight = contig.share / shares * total / max(contig.kept.sum(), 1)
        for tokens, kept in (
            (contig.tokens, contig.kept),
            (reverse_complement(contig.tokens), contig.kept[::-1]),
        ):
            words = kmers(tokens, order + 1)
            whole = np.lib.stride_tricks.sliding_window_view(kept, order + 1).all(axis=1)
            words = words[whole & (words >= 0)]
            counts += weight * np.bincount(words, minlength=len(counts))
    return counts.reshape(-1, 4) + PSEUDOCOUNT


def markov_bits(counts: np.ndarray, tokens: np.ndarray) -> float:
    """Bits per base of a sequence, from the first base after a complete word."""
    order = round(np.log2(len(counts)) / 2)
    words = kmers(tokens, order + 1)
    words = words[words >= 0]
    chances = (counts / counts.sum(axis=1, keepdims=True)).reshape(-1)
    return float(-np.log2(chances[words]).mean())


def of_genome(corpus: Corpus, file: str) -> list[Contig]:
    """The contigs of one of the genomes."""
    return [contig for contig in corpus.contigs if contig.file == file]
