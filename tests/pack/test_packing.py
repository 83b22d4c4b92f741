"""Chunk tables to pack files: every chunk once, under budget, the right tokens."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from evo2_embed.chunk.chunk_table import chunk_bundle
from evo2_embed.genomes.fasta import KEEP, LETTERS, UPPER
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.errors import InputError
from evo2_embed.io.tables import PACKS, open_table, table_writer
from evo2_embed.pack.assign import padded_tokens
from evo2_embed.pack.fit import first_fit, padded_batches
from evo2_embed.pack.pack_shard import pack_shard, shard_bounds
from evo2_embed.pack.read import read_packs
from evo2_embed.settings.jobs import Packing
from hypothesis import given
from hypothesis import strategies as st
from lengths import random_lengths
from runs import random_bases, write_fasta

LENGTHS = random_lengths(100, 80)
COMPLEMENT = str.maketrans("ACGTRN", "TGCAYN")
PACKING = {"strategy": "packed", "max_tokens": 300, "piece": 300, "bos": False}
RECORDS = [("b", random_bases(450, 1) + "RN"), ("a", random_bases(130, 2))]


@given(lengths=LENGTHS, budget=st.integers(100, 400))
def test_each_segment_is_packed_once_and_no_pack_is_over_budget(lengths, budget):
    for packs in (first_fit(lengths, budget), padded_batches(lengths, budget)):
        members = [segment for pack in packs for segment in pack.tolist()]
        assert sorted(members) == list(range(len(lengths)))
    assert all(lengths[pack].sum() <= budget for pack in first_fit(lengths, budget))
    assert all(
        len(batch) * lengths[batch].max() <= budget for batch in padded_batches(lengths, budget)
    )


@given(lengths=LENGTHS, seed=st.integers(0, 99))
def test_packs_do_not_depend_on_the_order_of_input(lengths, seed):
    order = np.random.default_rng(seed).permutation(len(lengths))
    packs = [sorted(lengths[pack]) for pack in first_fit(lengths, 150)]
    shuffled = [sorted(lengths[order][pack]) for pack in first_fit(lengths[order], 150)]
    assert packs == shuffled


def test_first_fit_fills_the_first_pack_with_room_and_keeps_equal_lengths_in_order():
    packs = first_fit(np.array([4, 9, 4, 1, 6, 4]), 10)
    assert [pack.tolist() for pack in packs] == [[1, 3], [4, 0], [2, 5]]


def test_padding_costs_the_longest_of_each_batch():
    lengths = np.array([2, 5, 3, 9])
    assert [batch.tolist() for batch in padded_batches(lengths, 15)] == [[0, 1, 2], [3]]
    assert padded_tokens(lengths, Packing(max_tokens=15, piece=15)) == 3 * 5 + 9


@given(lengths=LENGTHS, n_shards=st.integers(1, 20))
def test_shards_cover_the_chunks_with_near_equal_tokens(lengths, n_shards):
    bounds = shard_bounds(lengths, n_shards)
    assert len(bounds) == n_shards + 1
    assert bounds[0] == 0
    assert bounds[-1] == len(lengths)
    assert (np.diff(bounds) >= 0).all()
    # Each bound is as near to that of equal shares as the stretch that is there allows.
    found = np.concatenate([[0], np.cumsum(lengths)])[bounds]
    wanted = lengths.sum() * np.arange(n_shards + 1) / n_shards
    assert (np.abs(found - wanted) <= lengths.max(initial=0) / 2).all()


@pytest.fixture
def pack(complete, tmp_path):
    """A function that packs a shard of RECORDS, which are chunked: metadata and rows."""
    genomes = [Genome("g", write_fasta(tmp_path / "g.fa", RECORDS))]
    windows = complete(windows={"strands": "both"}).windows.to_dict()
    chunk_bundle(genomes, windows, "indexes", "chunks.parquet", 1)

    def pack(shard=0, n_shards=1, **packing):
        settings = complete(packing=packing)
        packing = {"packing": settings.packing.to_dict(), "code": 1}
        metadata = pack_shard(
            genomes, "chunks.parquet", shard, n_shards, packing, "indexes", "packs.parquet"
        )
        return metadata, list(read_packs(open_table("packs.parquet", PACKS), "packs.parquet"))

    return pack


def segments(rows):
    """Tokens by chunk number."""
    return {
        int(chunk): row["tokens"][start:end]
        for row in rows
        for chunk, start, end in zip(
            row["chunk"], row["cu_seqlens"][:-1], row["cu_seqlens"][1:], strict=True
        )
    }


def wanted_tokens(bos):
    """Tokens by chunk number, made with vortex's own tokenizer."""
    from evo2_embed.model.import_evo2 import import_evo2

    tokenizer = import_evo2().CharLevelTokenizer(512)
    chunks = pq.read_table("chunks.parquet").to_pylist()
    sequences = dict(RECORDS)
    result = {}
    for chunk in chunks:
        bases = sequences[chunk["contig"]][chunk["start"] : chunk["end"]]
        if chunk["strand"] == "-":
            bases = bases.translate(COMPLEMENT)[::-1]
        result[chunk["chunk"]] = [tokenizer.eod] * bos + tokenizer.tokenize(bases)
    return result


@pytest.mark.parametrize("bos", [False, True])
def test_tokens_are_those_of_the_tokenizer_on_both_strands(pack, bos):
    metadata, rows = pack(bos=bos, max_tokens=300)
    found = {chunk: tokens.tolist() for chunk, tokens in segments(rows).items()}
    assert found == wanted_tokens(bos)
    assert all(len(row["tokens"]) <= 300 for row in rows)
    assert metadata.n_packs == len(rows) == 4 + 1
    assert metadata.n_bases == 2 * (452 + 130)
    assert metadata.n_tokens == 2 * (452 + 130) + 8 * bos


def test_every_byte_is_tokenized_as_charleveltokenizer_does_or_refused():
    from evo2_embed.model.import_evo2 import import_evo2

    tokenizer = import_evo2().CharLevelTokenizer(512)
    for byte in range(128):
        letter = chr(byte)
        if letter.upper() in LETTERS:
            assert [KEEP[byte]] == tokenizer.tokenize(letter)
            assert [UPPER[byte]] == tokenizer.tokenize(letter.upper())
        else:
            assert KEEP[byte] == UPPER[byte] == 0
    assert not KEEP[128:].any()
    assert not UPPER[128:].any()


@pytest.mark.parametrize(("pad", "token"), [("PAD", 1), ("EOS", 0)])
def test_padded_rows_have_pads_and_a_mask_that_says_so(pack, pad, token):
    metadata, rows = pack(strategy="padded", pad=pad, max_tokens=450)
    found = {}
    for row in rows:
        tokens, mask = (row[key].reshape(-1, row["width"]) for key in ("tokens", "mask"))
        assert (tokens[~mask] == token).all()
        assert (mask.sum(axis=1) == np.diff(row["cu_seqlens"])).all()
        found |= {int(c): t[m].tolist() for c, t, m in zip(row["chunk"], tokens, mask, strict=True)}
    assert found == wanted_tokens(False)
    assert metadata.padded_tokens == sum(len(row["tokens"]) for row in rows)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("cu_seqlens", [0, 60, 60]),
        ("cu_seqlens", [0, 60, 99]),
        ("position", [-1, 0]),
        ("position", [0, 61]),
        ("left", [0]),
        ("stretch", [0]),
        ("segment", [0, 2]),
        ("segment", [1, 1]),
        ("context", [61, 40]),
        ("end", [60]),
    ],
)
def test_a_pack_whose_lists_do_not_fit_together_is_refused(tmp_path, name, values):
    row = {
        **{"pack": 0, "tokens": b"A" * 100, "width": 0, "mask": None, "cu_seqlens": [0, 60, 100]},
        **{"stretch": [0, 1], "position": [0, 0], "left": [0, 0], "chunk": [0, 1]},
        **{"segment": [0, 1], "context": [60, 40], "start": [0, 0], "end": [60, 40]},
        **{"genome": ["g", "g"], "contig": ["a", "b"], "strand": ["+", "+"], "name": ["", ""]},
    }
    path = str(tmp_path / "p.parquet")

    def read(row):
        with table_writer(path, PACKS) as writer:
            writer.write_table(pa.Table.from_pylist([row], PACKS))
        return list(read_packs(open_table(path, PACKS), path))

    assert read(row)[0]["context"].tolist() == [60, 40]
    with pytest.raises(InputError, match=r"p\.parquet: the lists of pack 0 do not match"):
        read({**row, name: values})


def test_more_shards_than_chunks_gives_empty_shards_and_every_chunk_once(pack):
    chunks = []
    for shard in range(12):
        metadata, rows = pack(shard, 12)
        assert metadata.n_chunks == len(segments(rows))
        chunks += sorted(segments(rows))
    assert chunks == list(range(8))


def test_the_same_input_gives_the_same_bytes(pack):
    pack()
    first = Path("packs.parquet").read_bytes()
    pack()
    assert Path("packs.parquet").read_bytes() == first


def test_a_fasta_that_changed_after_chunking_is_refused(pack, tmp_path):
    pack()
    write_fasta(tmp_path / "g.fa", [("b", RECORDS[0][1][:-1] + "A"), RECORDS[1]])
    settings = {"packing": PACKING, "code": 1}
    genomes = [Genome("g", str(tmp_path / "g.fa"))]
    before = Path("packs.parquet").read_bytes()
    with pytest.raises(InputError, match=r"g\.fa: record 'b': .* changed"):
        pack_shard(genomes, "chunks.parquet", 0, 1, settings, "indexes", "packs.parquet")
    assert Path("packs.parquet").read_bytes() == before


def test_a_damaged_chunk_table_names_itself(pack, tmp_path):
    pack()
    content = Path("chunks.parquet").read_bytes()
    Path("chunks.parquet").write_bytes(content[:-20])
    settings = {"packing": PACKING, "code": 1}
    with pytest.raises(InputError, match=r"chunks\.parquet: damaged"):
        pack_shard([], "chunks.parquet", 0, 1, settings, "indexes", "packs.parquet")


def test_the_chunk_table_of_other_genomes_is_refused(complete, tmp_path):
    settings = complete()
    genomes = [Genome(name, write_fasta(f"{name}.fa", RECORDS)) for name in ("z", "a")]
    chunk_bundle(genomes, settings.windows.to_dict(), "indexes", "chunks.parquet", 1)
    packing = {"packing": settings.packing.to_dict(), "code": 1}
    pack_shard(genomes, "chunks.parquet", 0, 1, packing, "indexes", "packs.parquet")
    with pytest.raises(InputError, match=r"windows of 'z' \(2 genomes\), not those of 'a' \(1\)"):
        pack_shard(genomes[1:], "chunks.parquet", 0, 1, packing, "indexes", "packs.parquet")


def test_only_a_genome_that_stands_alone_keeps_its_index(complete, tmp_path):
    settings = complete()
    genomes = [Genome(name, write_fasta(f"{name}.fa", RECORDS)) for name in ("a", "b", "c")]
    packing = {"packing": settings.packing.to_dict(), "code": 1}
    for some in (genomes[:2], genomes[2:]):
        chunk_bundle(some, settings.windows.to_dict(), "indexes", "chunks.parquet", 1)
        pack_shard(some, "chunks.parquet", 0, 1, packing, "indexes", "packs.parquet")
    assert [path.name for path in Path("indexes").iterdir()] == ["c.fai"]
