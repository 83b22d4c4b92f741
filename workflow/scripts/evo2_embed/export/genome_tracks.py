"""The tracks of one genome: a bigWig per track and strand, and a BED file of calls."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from evo2_embed.export.averages import Averager, Spans, merge
from evo2_embed.io.digests import file_sha256

CALLS = "calls.bed"
JOINED = "."  # the strand of tracks with the mean of both, as in BED
_SUFFIXES = {"+": ".plus", "-": ".minus", JOINED: ""}
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_MOST_SCORE = 1000  # of a line of BED


class GenomeTracks:
    """Writes the tracks of a genome, contig by contig.

    Parameters
    ----------
    folder : Path
        It exists, and is empty.
    lengths : dict of str to int
        Bases of all contigs.
    names : list of str
        Of all tracks that are averaged.
    drawn : list of str
        Of those that get a bigWig.
    called : {"largest", "positive", None}
        What the calls are: of all tracks the largest; each that is above 0; or nothing.
    hidden : str or None
        A track that is never called.
    """

    def __init__(
        self,
        folder: Path,
        lengths: dict[str, int],
        names: list[str],
        drawn: list[str],
        called: str | None,
        hidden: str | None,
    ):
        self.folder, self.lengths, self.names = folder, lengths, names
        self.called, self.hidden = called, hidden
        self.columns = {name: names.index(name) for name in drawn}
        self._files = dict(zip(drawn, file_names(drawn), strict=True))
        self._writers: dict[tuple[str, str], object] = {}
        self._calls: list[tuple] = []
        self._pending: dict[tuple[str, int], list[tuple]] = {}  # of the contig in work

    def add_contig(
        self, contig: str, rows: Iterable[tuple[str, np.ndarray, np.ndarray, np.ndarray]]
    ) -> None:
        """Average the rows of a contig, and write them.

        Parameters
        ----------
        contig : str
        rows : iterable
            Some rows of a strand at a time: strand, starts, ends, values (n, tracks).
        """
        averagers: dict[str, Averager] = {}
        for strand, *spans in rows:
            averager = averagers.setdefault(strand, Averager(self.lengths[contig]))
            self._write(contig, strand, averager.add(*spans))
        for strand, averager in averagers.items():
            self._write(contig, strand, averager.close())
        for (strand, _), calls in self._pending.items():
            # Again, for calls that go on in the next rows.
            joined = (np.concatenate(each) for each in zip(*calls, strict=True))
            self._calls.append((contig, strand, *merge(*joined)))
        self._pending = {}

    def close(self) -> list[dict]:
        """End all files.

        Returns
        -------
        list of dict
            `file`, `track`, `strand`, `bytes` and `sha256` of each.
        """
        for writer in self._writers.values():
            writer.close()
        made = [(self._name(*key), *key) for key in self._writers]
        if self.called:
            self._write_calls()
            made.append((CALLS, None, None))
        entries = []
        for file, track, strand in sorted(made, key=lambda each: each[0]):
            path = self.folder / file
            size = {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
            entries.append({"file": file, "track": track, "strand": strand, **size})
        return entries

    def _name(self, track: str, strand: str) -> str:
        return f"{self._files[track]}{_SUFFIXES[strand]}.bw"

    def _write(self, contig: str, strand: str, spans: Spans | None) -> None:
        if spans is None or not len(spans[0]):
            return
        starts, ends, means = spans
        for track, column in self.columns.items():
            writer = self._writer(track, strand)
            values = means[:, column].astype(np.float64)
            writer.addEntries([contig] * len(starts), starts, ends=ends, values=values)
        for number, calls in enumerate(self._called(*spans)):
            self._pending.setdefault((strand, number), []).append(merge(*calls))

    def _writer(self, track: str, strand: str):
        import pyBigWig  # only jobs that write tracks need it

        if (track, strand) not in self._writers:
            writer = pyBigWig.open(str(self.folder / self._name(track, strand)), "w")
            writer.addHeader(list(self.lengths.items()))
            self._writers[track, strand] = writer
        return self._writers[track, strand]

    def _called(self, starts: np.ndarray, ends: np.ndarray, means: np.ndarray) -> list[tuple]:
        """Intervals with the number of the track that is called, and its mean; by track if each is
        called for itself."""
        if self.called == "largest":
            best = means.argmax(axis=1)
            return [(starts, ends, best, means[np.arange(len(best)), best])]
        if self.called == "positive":
            above = [np.flatnonzero(column > 0) for column in means.T]
            return [
                (starts[rows], ends[rows], np.full(len(rows), number), means[rows, number])
                for number, rows in enumerate(above)
            ]
        return []

    def _write_calls(self) -> None:
        """BED lines, sorted by contig and start. A score is 1000 times a probability, or times the
        share of a feature's largest value in the genome."""
        order = {contig: number for number, contig in enumerate(self.lengths)}
        most = np.ones(len(self.names))
        if self.called == "positive":
            for *_, what, value in self._calls:
                np.maximum.at(most, what, value)
        lines = [
            (order[contig], start, end, self.names[track], strand, value / most[track])
            for contig, strand, *columns in self._calls
            for start, end, track, value in zip(*map(np.ndarray.tolist, columns), strict=True)
            if self.names[track] != self.hidden
        ]
        contigs = list(self.lengths)
        with open(self.folder / CALLS, "w", encoding="utf-8") as handle:
            for contig, start, end, name, strand, value in sorted(lines):
                score = round(_MOST_SCORE * value)
                handle.write(f"{contigs[contig]}\t{start}\t{end}\t{name}\t{score}\t{strand}\n")


def file_names(tracks: list[str]) -> list[str]:
    """Names of files for tracks, each once.

    >>> file_names(["CDS", "rRNA 16S", "rRNA/16S"])
    ['CDS', 'rRNA_16S', 'rRNA_16S-2']
    """
    names: list[str] = []
    for track in tracks:
        name = safe = _UNSAFE.sub("_", track)
        number = 1
        while name.lower() in (other.lower() for other in names):
            number += 1
            name = f"{safe}-{number}"
        names.append(name)
    return names
