"""The training genomes of evo2_tiny: read, checked, and sampled at random."""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from Bio import SeqIO
from evo2_embed.io.digests import file_sha256
from evo2_embed.io.errors import InputError

HERE = Path(__file__).resolve().parent
GENOMES = HERE / "genomes.yaml"
LAMBDA = HERE.parent / "lambda.fa.gz"
BASES = np.frombuffer(b"ACGT", np.uint8)
SHARED_BASES = 25  # regions that share this many bases with lambda are not trained on,
MARGIN = 1000  # nor this many bases on either side of them

_COMPLEMENT = np.arange(256, dtype=np.uint8)
_COMPLEMENT[list(b"ACGT")] = list(b"TGCA")
_CODE = np.full(256, 4, np.int64)
_CODE[BASES] = range(4)


@dataclass(frozen=True)
class Contig:
    """A record of a genome.

    Attributes
    ----------
    file : str
        Name of the genome's file.
    tokens : ndarray of uint8, (n,)
    kept : ndarray of bool, (n,)
        Bases allowed for training.
    share : float
        Share of the training windows.
    """

    file: str
    tokens: np.ndarray
    kept: np.ndarray
    share: float


@dataclass(frozen=True)
class Corpus:
    """Contigs for training, and held-out sequences, by name."""

    contigs: list[Contig]
    held_out: dict[str, np.ndarray]


def load_corpus(folder: Path) -> Corpus:
    """Read the genomes of `genomes.yaml` from a folder.

    Raises
    ------
    InputError
        If a file is missing, or is not the training file.
    """
    held_out = {"lambda": read_fasta(LAMBDA)[0]}
    foreign = kmers(held_out["lambda"], SHARED_BASES)
    contigs = []
    for genome in yaml.safe_load(GENOMES.read_text()):
        path = folder / genome["file"]
        if not path.is_file():
            raise InputError(f"{path}: no such file (make tiny-model fetches it)")
        if file_sha256(path) != genome["sha256"]:
            raise InputError(f"{path}: not the file in {GENOMES.name}")
        records = read_fasta(path)
        bases = sum(map(len, records))
        for tokens in records:
            kept = ~_near_shared(tokens, foreign)
            if genome["held_out"]:
                held_out[genome["organism"].split(",")[0]] = tokens[-genome["held_out"] :]
                kept[-genome["held_out"] :] = False
            share = genome["share"] * len(tokens) / bases
            contigs.append(Contig(genome["file"], tokens, kept, share))
    return Corpus(contigs, held_out)


def draw_windows(corpus: Corpus, number: int, length: int, rng: np.random.Generator) -> np.ndarray:
    """Windows (number, length) of tokens from either strand, without held-out bases."""
    shares = np.array([contig.share for contig in corpus.contigs])
    windows = []
    while len(windows) < number:
        contig = corpus.contigs[rng.choice(len(shares), p=shares / shares.sum())]
        start = rng.integers(len(contig.tokens) - length + 1)
        if contig.kept[start : start + length].all():
            window = contig.tokens[start : start + length]
            windows.append(reverse_complement(window) if rng.integers(2) else window)
    return np.stack(windows)


def read_fasta(path: Path) -> list[np.ndarray]:
    """Tokens of the records of a FASTA file, upper case."""
    return [tokens for _, tokens in read_records(path)]


def read_records(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Names and tokens, upper case, of the records of a FASTA file."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt") as handle:
        for record in SeqIO.parse(handle, "fasta"):
            yield record.id, np.frombuffer(str(record.seq).upper().encode(), np.uint8)


def reverse_complement(tokens: np.ndarray) -> np.ndarray:
    """The reverse complement."""
    return _COMPLEMENT[tokens[::-1]]


def kmers(tokens: np.ndarray, k: int) -> np.ndarray:
    """Indices (n - k + 1,) of a sequence's k-mers; -1 if a letter is not A, C, G or T."""
    codes = _CODE[tokens]
    number = np.zeros(max(0, len(codes) - k + 1), np.int64)
    for offset in range(k):
        number = number * 4 + codes[offset : offset + len(number)] % 4
    bad = np.concatenate([[0], np.cumsum(codes == 4)])
    number[bad[k:] > bad[: len(number)]] = -1
    return number


def _near_shared(tokens: np.ndarray, foreign: np.ndarray) -> np.ndarray:
    """Which bases are in, or near, a k-mer of another sequence, on either strand."""
    forward = np.isin(kmers(tokens, SHARED_BASES), foreign)
    backward = np.isin(kmers(reverse_complement(tokens), SHARED_BASES), foreign)[::-1]
    edges = np.zeros(len(tokens) + 1, np.int64)
    for start in np.flatnonzero(forward | backward):
        edges[max(0, start - MARGIN)] += 1
        edges[min(len(tokens), start + SHARED_BASES + MARGIN)] -= 1
    return np.cumsum(edges[:-1]) > 0
