"""FASTA files to a chunk table: the windows of a bundle's genomes, and what was skipped and why."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pyarrow as pa

from evo2_embed.chunk.cut_contigs import cut_contigs
from evo2_embed.chunk.cut_variants import cut_variants
from evo2_embed.chunk.stretches import Numbering
from evo2_embed.chunk.work import ASKED, Work
from evo2_embed.genomes.blocks import Buffers
from evo2_embed.genomes.fasta import fasta_index, index_folder, open_fasta
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.genomes.skipped import input_digests
from evo2_embed.io.digests import settings_digest
from evo2_embed.io.errors import InputError, InputErrors, MachineError
from evo2_embed.io.logs import log
from evo2_embed.io.row_checks import check_chunks
from evo2_embed.io.tables import CHUNKS, chunk_table, gathered, metadata_schema, table_writer
from evo2_embed.settings.windows import RegionSettings, VariantSettings, Windows

_ROWS = 1 << 16  # of a row group


def chunk_bundle(
    genomes: list[Genome],
    windows: dict,
    indexes: str,
    output: str,
    code: int,
    threads: int = 1,
    regions: dict | None = None,
    variants: dict | None = None,
    on_bad_genome: str = "stop",
) -> dict:
    """Write the chunk table of a bundle.

    Parameters
    ----------
    genomes : list of Genome
    windows : dict
        The section `windows` of the configuration, as the table's metadata repeats it.
    indexes : str
        Folder that keeps FASTA indexes (`fasta.index_folder`).
    output : str
        Path of the table.
    code : int
        Version of this stage's code.
    threads : int
        Number of threads that read and measure blocks of a contig.
    regions : dict, optional
        The section `regions` of the configuration, if a genome of the bundle has a file of regions.
    variants : dict, optional
        The section `variants`, if one has variants.
    on_bad_genome : {"stop", "skip"}
        Whether a genome that cannot be used is an error, or is left out.

    Returns
    -------
    dict
        The table's metadata: `settings`, `digest`, `inputs` (digests of the files), `n_stretches`,
        `genomes` (counts by genome), and `skipped` (why, by genome) if genomes were left out.

    Raises
    ------
    InputError
        One line per genome that cannot be used: a fault of a file, or no window is left though no
        policy asked to skip its windows.
    """
    settings = {"windows": windows, "code": code}
    settings |= {} if regions is None else {"regions": regions}
    settings |= {} if variants is None else {"variants": variants}
    sections = (
        Windows.from_dict(windows),
        RegionSettings.from_dict(regions or {}),
        VariantSettings.from_dict(variants or {}),
    )
    bad: dict[str, str] = {}
    with _pool(threads) as pool, index_folder(indexes, len(genomes)) as folder:
        digests = [pool.submit(input_digests, genome) for genome in genomes]

        def origin() -> dict:
            inputs = [digest.result() for digest in digests]
            digest = settings_digest([settings, inputs])
            return {"settings": settings, "inputs": inputs, "digest": digest}

        while True:
            work = Work(*sections, folder, pool, Buffers(), Numbering())
            try:
                return _write_table(output, genomes, work, bad, on_bad_genome, origin)
            except _Spoiled:
                continue  # without the genomes that are known to be bad now


class _Spoiled(Exception):
    """A table has rows of a genome that turned out to be bad further on."""


def _write_table(
    output: str,
    genomes: list[Genome],
    work: Work,
    bad: dict[str, str],
    on_bad_genome: str,
    origin: Callable[[], dict],
) -> dict:
    """Write the table; its metadata. `bad` has the faults of genomes that are left out, and gets
    those that are found."""
    metadata, first = {"genomes": {}}, 0
    with table_writer(output, CHUNKS) as writer:
        rows = _chunk_genomes(genomes, metadata["genomes"], bad, work)
        for table in gathered(rows, _ROWS):
            writer.write_table(check_chunks(table, output, first))
            first += len(table)
        if bad and on_bad_genome == "stop":
            raise InputErrors(list(bad.values()))
        if first > sum(counts["chunks"] for counts in metadata["genomes"].values() if counts):
            raise _Spoiled
        metadata |= {**origin(), **({"skipped": bad} if bad else {})}
        metadata["n_stretches"] = work.numbering.count
        # The counts are known only now; a writer adds metadata until it is closed.
        writer.add_key_value_metadata(metadata_schema(CHUNKS, metadata).metadata)
    return metadata


@contextmanager
def _pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that start no new work after the block has ended."""
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _chunk_genomes(
    genomes: list[Genome], counted: dict, bad: dict[str, str], work: Work
) -> Iterator[pa.Table]:
    """Chunks of all genomes but the bad ones; the counts of each are added to `counted`."""
    first = 0
    for genome in genomes:
        counts = Counter()
        try:
            if genome.name not in bad:
                for table in _chunk_genome(genome, counts, first, work):
                    first += len(table)
                    yield table
                _check_left(genome, counts)
        except MachineError:
            raise
        except InputError as error:
            # The other genomes are looked at too, so that all faults are known.
            bad[genome.name] = str(error)
        log.info("genome %s: %s", genome.name, bad.get(genome.name) or dict(counts))
        counted[genome.name] = {} if genome.name in bad else dict(sorted(counts.items()))


def _chunk_genome(genome: Genome, counts: Counter, first: int, work: Work) -> Iterator[pa.Table]:
    """Chunks of a genome, the first of which has the number `first`; `counts` is added to."""
    index, full_names = fasta_index(work.indexes, genome.name), genome.full_names
    with open_fasta(genome.fasta, index, rebuild=True, full_names=full_names) as fasta:
        cut = cut_variants if genome.has_variants else cut_contigs
        for contig, batch in cut(genome, fasta, counts, work):
            n = len(batch["start"])
            batch["chunk"] = np.arange(first, first + n)
            for key, value in (("genome", genome.name), ("contig", contig)):
                batch[key] = np.full(n, value, object)
            batch["stretch"] = work.numbering.number(batch["stretch"])
            if "parent" in batch:
                batch["parent"] = work.numbering.known(batch["parent"])
            first += n
            counts["chunks"] += n
            counts["tokens"] += int(batch["length"].sum())
            yield chunk_table(batch)


def _check_left(genome: Genome, counts: Counter) -> None:
    """Check that a genome has a window, or that a policy asked to skip its windows."""
    if counts["chunks"]:
        return
    if not any(counts[why] for why in ASKED):
        raise InputError(f"genome '{genome.name}' ({genome.fasta}): {_none_left(counts)}")
    counts.update(chunks=0, tokens=0)


def _none_left(counts: Counter) -> str:
    skipped = [
        f"{n} {why.removeprefix('skipped: ')}" for why, n in counts.items() if "skipped" in why
    ]
    return (
        f"no window is left to embed ({'; '.join(skipped)}); "
        "change the settings of windows or remove the genome from the sheet"
    )
