"""Reading in blocks gives what reading one by one does: letters, measures, packs."""

import os
import resource
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from evo2_embed.chunk.chunk_table import chunk_bundle
from evo2_embed.genomes import sequences
from evo2_embed.genomes.blocks import Buffers, WindowReader, classify, read_letters
from evo2_embed.genomes.fasta import IS_AMBIGUOUS, IS_GC, KEEP, UPPER, open_fasta
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.genomes.sequences import Sequences
from evo2_embed.io.tables import PACKS, open_table
from evo2_embed.pack import rows as packrows
from evo2_embed.pack.fit import first_fit
from evo2_embed.pack.pack_shard import pack_shard
from evo2_embed.pack.read import read_packs
from hypothesis import given, settings
from hypothesis import strategies as st
from lengths import random_lengths
from runs import random_bases, write_fasta

RECORDS = [("b", random_bases(450, 1)), ("a", random_bases(130, 2))]


def plain_first_fit(lengths, max_tokens):
    """The definition: longest first, each into the first pack that has room."""
    packs = []
    for segment in np.argsort(-lengths, kind="stable"):
        for pack in packs:
            if lengths[pack].sum() + lengths[segment] <= max_tokens:
                pack.append(int(segment))
                break
        else:
            packs.append([int(segment)])
    return packs


@given(
    lengths=random_lengths(12, 60) | random_lengths(100, 60),
    budget=st.integers(100, 300),
)
@settings(deadline=None)
def test_packs_of_all_segments_at_once_are_those_of_one_by_one(lengths, budget):
    found = [pack.tolist() for pack in first_fit(lengths, budget)]
    assert found == plain_first_fit(lengths, budget)


@given(
    sequence=st.text("ACGTN", min_size=1, max_size=200) | st.text("ACGTNacgtnRy", min_size=1),
    lower_case=st.sampled_from(["upper", "keep"]),
)
def test_letters_are_classified_as_by_the_tables_or_not_at_all(sequence, lower_case):
    letters = np.frombuffer(sequence.encode(), np.uint8)
    found = classify(letters, lower_case, Buffers())
    if found is None:
        assert set(sequence) - set("ACGTNacgtn")
        return
    tokens = (UPPER if lower_case == "upper" else KEEP)[letters]
    assert not set(sequence) - set("ACGTNacgtn")
    for mine, wanted in zip(found, (tokens, IS_GC[tokens], IS_AMBIGUOUS[tokens]), strict=True):
        assert (mine == wanted).all()


@given(
    spans=st.lists(st.tuples(st.integers(0, 449), st.integers(1, 200)), min_size=1, max_size=20),
    width=st.integers(1, 70),
    crlf=st.booleans(),
)
@settings(deadline=None, max_examples=50)
def test_windows_in_any_order_are_read_right(spans, width, crlf):
    sequence = RECORDS[0][1]
    lines = [sequence[i : i + width] for i in range(0, len(sequence), width)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "g.fa"
        path.write_bytes(("\r\n" if crlf else "\n").join([">b", *lines]).encode())
        with open_fasta(str(path), f"{folder}/g.fai") as fasta:
            reader = WindowReader()
            for start, size in spans:
                end = min(start + size, len(sequence))
                letters = reader.read(fasta, "b", start, end)
                assert letters is not None
                assert letters.tobytes().decode() == sequence[start:end]


def test_a_file_that_is_not_as_its_index_says_is_not_read_in_blocks(tmp_path):
    path = write_fasta(tmp_path / "g.fa", RECORDS)
    with open_fasta(path, str(tmp_path / "g.fai")) as fasta:
        assert read_letters(fasta, "b", 0, 450, Buffers()) is not None
        assert read_letters(fasta, "b", 0, 451, Buffers()) is None
        assert read_letters(fasta, "none", 0, 1, Buffers()) is None
        text = Path(path).read_text()
        Path(path).write_text(text.replace("\n", "", 2))
        assert read_letters(fasta, "b", 0, 450, Buffers()) is None
        os.truncate(path, 100)
        assert read_letters(fasta, "b", 0, 450, Buffers()) is None


@pytest.fixture
def pack(complete, tmp_path):
    """A function that chunks genomes with some threads and packs them: bytes of table and packs."""

    def pack(genomes, threads=1, **packing):
        section = complete(packing=packing)
        chunk_bundle(genomes, section.windows.to_dict(), "i", "c.parquet", 1, threads)
        settings = {"packing": section.packing.to_dict(), "code": 1}
        pack_shard(genomes, "c.parquet", 0, 1, settings, "i", "p.parquet")
        rows = list(read_packs(open_table("p.parquet", PACKS), "p.parquet"))
        return Path("c.parquet").read_bytes(), rows

    return pack


def test_neither_threads_nor_row_groups_nor_open_files_change_results(pack, tmp_path, monkeypatch):
    genomes = [
        Genome(f"g{number}", write_fasta(tmp_path / f"{number}.fa", RECORDS[: 1 + number % 2]))
        for number in range(7)
    ]
    table, rows = pack(genomes, max_tokens=300)
    monkeypatch.setattr(packrows, "ROW_GROUP_TOKENS", 500)
    monkeypatch.setattr(sequences, "_allow_open_files", lambda: sequences._SPARE_FILES + 2)
    again, others = pack(genomes, threads=3, max_tokens=300)
    assert again == table
    assert open_table("p.parquet", PACKS).num_row_groups > 1
    for mine, other in zip(rows, others, strict=True):
        assert mine.keys() == other.keys()
        assert all(np.array_equal(mine[key], other[key]) for key in mine)


@pytest.mark.parametrize(("limit", "most"), [(sequences._SPARE_FILES + 2, 2), (100, 1)])
def test_only_so_many_files_are_open_at_a_time(tmp_path, monkeypatch, limit, most):
    monkeypatch.setattr(sequences, "_allow_open_files", lambda: limit)
    genomes = [
        Genome(str(number), write_fasta(tmp_path / f"{number}.fa", [("a", "ACGT")]))
        for number in range(5)
    ]
    out, window = np.empty(4, np.uint8), np.array([[0, 4, zlib.crc32(b"ACGT"), 0, 4]])
    with Sequences(genomes, "c.parquet", str(tmp_path / "i"), "upper") as files:
        for genome in genomes * 2:
            files.copy_tokens(genome.name, "a", "+", [[0, 4]], window, out)
            assert len(files.open) <= most


def test_a_process_may_open_at_least_as_many_files_as_before():
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert sequences._allow_open_files() >= min(before, 65_536)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] == hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))
