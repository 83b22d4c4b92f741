"""Rows of regions: each equals `Evo2.forward` on the sequence that the region is, base by base."""

import numpy as np
import pytest
from evo2_embed.analysis.probes.check import check_labels
from evo2_embed.chunk import cut_contigs, measures
from evo2_embed.chunk.chunk_table import chunk_bundle
from evo2_embed.embed.pooling import Pooler
from evo2_embed.embed.row_spans import RowLocator
from evo2_embed.embed.rows import ShardRows
from evo2_embed.engine.pack import Pack
from evo2_embed.engine.packed import PackedEngine
from evo2_embed.finetune.split import split_chunks
from evo2_embed.genomes import sequences
from evo2_embed.genomes.regions import Regions
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.errors import InputError
from evo2_embed.io.tables import CHUNKS, PACKS, open_table
from evo2_embed.pack.pack_shard import pack_shard
from evo2_embed.pack.read import read_chunk_keys, read_packs
from evo2_embed.settings.analyses import Probe
from evo2_embed.settings.jobs import Packing
from evo2_embed.settings.windows import Windows
from runs import random_bases, write_fasta
from stock import alone, assert_same, bounds_of, in_float64

CONTIGS = {"line": random_bases(400, 1), "circle": random_bases(500, 2)}
COMPLEMENT = str.maketrans("ACGT", "TGCA")
LAYER = "norm"
TABLES = (CHUNKS, PACKS)
# By name: contig, strand, and the positions of its parts; past the length, after the origin.
REGIONS = {
    "whole": ("line", "", [(0, 400)]),
    "at the start": ("line", "+", [(10, 60)]),
    "at the end": ("line", "-", [(200, 390)]),
    "three exons": ("line", "+", [(40, 70), (80, 85), (120, 300)]),
    "three exons, minus": ("line", "-", [(40, 70), (80, 85), (120, 300)]),
    "over the origin": ("circle", "+", [(450, 560)]),
    "over the origin, minus": ("circle", "-", [(450, 560)]),
    "flank over the origin": ("circle", "+", [(5, 100)]),
    "flank over the origin, minus": ("circle", "-", [(430, 495)]),
    "once around": ("circle", "-", [(100, 600)]),
    "exons over the origin": ("circle", "+", [(400, 440), (480, 510), (530, 541)]),
    "exons over the origin, minus": ("circle", "-", [(400, 440), (480, 510), (530, 541)]),
    "an exon that begins at the origin": ("circle", "+", [(470, 480), (500, 520)]),
    "one base": ("circle", "-", [(499, 500)]),
}


def regions_of(contig):
    """The regions of a contig in columns, as they are read from a file."""
    mine = {name: (strand, parts) for name, (c, strand, parts) in REGIONS.items() if c == contig}
    parts = [parts for _, parts in mine.values()]
    start, end = np.array([part for some in parts for part in some]).T
    return Regions(
        np.array([some[0][0] for some in parts]),
        np.array([some[-1][1] for some in parts]),
        np.array([strand for strand, _ in mine.values()]),
        np.array(list(mine), object),
        np.arange(len(mine)),
        np.concatenate([[0], np.cumsum([len(some) for some in parts])]),
        start,
        end,
    )


def strands_of(name):
    return REGIONS[name][1] or "+-"


def positions_of(name, strand, flank):
    """Positions of a region's bases in the order in which the model reads them, and of the bases
    before it."""
    contig, _, parts = REGIONS[name]
    own = [base for start, end in parts for base in range(start, end)]
    length = len(CONTIGS[contig])
    if strand == "+":
        before = [own[0] - flank + i for i in range(flank)]
    else:
        own = own[::-1]
        before = [own[0] + flank - i for i in range(flank)]
    if contig == "circle":
        return own, before[max(0, flank - (length - (max(own) + 1 - min(own)))) :]
    return own, [base for base in before if 0 <= base < length]


def letters_of(contig, positions, strand):
    bases = "".join(CONTIGS[contig][base % len(CONTIGS[contig])] for base in positions)
    return bases if strand == "+" else bases.translate(COMPLEMENT)


def rows_of(name, strand, flank, pooling):
    """Keys of the rows of a region, and which of its tokens they pool."""
    contig = REGIONS[name][0]
    own, before = positions_of(name, strand, flank)
    size = pooling["bin"] if isinstance(pooling, dict) else len(own)
    for first in range(0, len(own), size):
        mine = sorted(own[first : first + size])
        round_trip = len(CONTIGS[contig]) * (mine[0] >= len(CONTIGS[contig]))
        yield (
            {
                "contig": contig,
                "start": mine[0] - round_trip,
                "end": mine[-1] + 1 - round_trip,
                "strand": strand,
                "name": name,
                "n_tokens": len(mine),
                "context": len(before) + first + len(mine),
                "exons": 1 + sum(b > a + 1 for a, b in zip(mine, mine[1:], strict=False)),
            },
            slice(first, first + len(mine)),
        )


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A function that writes the pack file of all regions."""
    monkeypatch.setattr(
        cut_contigs, "read_regions", lambda *_: {contig: regions_of(contig) for contig in CONTIGS}
    )
    (tmp_path / "regions").write_text("as above")

    def make(flank, ambiguous=None, **packing):
        fasta = write_fasta(tmp_path / "g.fa", CONTIGS.items())
        genomes = [Genome("g", fasta, str(tmp_path / "regions"), ("circle",))]
        windows = {**Windows(strands="both").to_dict(), "ambiguous": ambiguous or {}}
        regions = {"flank": flank}
        indexes, chunks = str(tmp_path / "i"), str(tmp_path / "c.parquet")
        chunk_bundle(genomes, windows, indexes, chunks, 1, 2, regions)
        packing = Packing(**{"piece": 16_384, **packing})
        how = {"packing": packing.to_dict(), "code": 1}
        pack_shard(genomes, chunks, 0, 1, how, indexes, str(tmp_path / "p.parquet"))
        return chunks, tmp_path / "p.parquet"

    return make


@pytest.fixture(scope="module")
def precise(evo2):
    """The model in float64."""
    return in_float64(evo2)


def embedded(packs, evo2, pooling, bos):
    """Keys and vectors of the rows of a pack file."""
    file = open_table(packs, PACKS)
    rows = ShardRows(read_chunk_keys(file), pooling)
    locator, pooler = RowLocator(rows, pooling, bos), Pooler(pooling)
    engine, found = PackedEngine(evo2, [LAYER]), None
    for row in read_packs(file, "packs"):
        ends = row["cu_seqlens"].astype(np.int64)
        pack = Pack(row["tokens"], ends, 0, row["stretch"], row["offset"], row["remaining"])
        spans = locator.spans(row["stretch"], row["offset"], ends)
        index, values = pooler.pool(engine.run(pack), spans)
        found = np.full((rows.count, 128), np.nan, np.float32) if found is None else found
        found[index] = values[LAYER].cpu().numpy()
    columns = {name: column.to_pylist() for name, column in rows.keys(0, rows.count).items()}
    return columns, found


def pooled(vectors, pooling):
    """Token embeddings (n, width) as one vector."""
    if pooling == "last":
        return vectors[-1]
    return vectors.max(0) if pooling == "max" else vectors.mean(0)


def from_evo2(model, pooling, flank, bos):
    """Keys of the rows of all regions, and their vectors from the package itself."""
    keys, vectors = [], []
    for name in REGIONS:
        for strand in strands_of(name):
            own, before = positions_of(name, strand, flank)
            letters = letters_of(REGIONS[name][0], before + own, strand)
            tokens = np.frombuffer(b"\0" * bos + letters.encode(), np.uint8)
            values = alone(model, tokens, [LAYER])[LAYER][bos + len(before) :].numpy()
            for key, mine in rows_of(name, strand, flank, pooling):
                keys.append(tuple(key.values()))
                vectors.append(pooled(values[mine], pooling))
    return keys, np.stack(vectors)


@pytest.mark.parametrize(
    ("pooling", "flank", "piece"),
    [("mean", 0, 999), ("mean", 45, 70), ("max", 45, 999), ("last", 0, 70), ({"bin": 16}, 45, 70)],
)
def test_rows_of_regions_equal_evo2_on_the_sequence_of_the_region(
    made, evo2, precise, pooling, flank, piece
):
    bos = int(flank > 0)
    _, packs = made(flank, max_tokens=piece + 60, piece=piece, bos=bool(bos))
    columns, found = embedded(packs, evo2, pooling, bos)
    keys, wanted = from_evo2(evo2, pooling, flank, bos)
    _, exact = from_evo2(precise, pooling, flank, bos)
    names = ["contig", "start", "end", "strand", "name", "n_tokens", "context", "exons"]
    mine = list(zip(*(columns[name] for name in names), strict=True))
    assert sorted(mine) == sorted(keys)
    order = [keys.index(key) for key in mine]
    stock, exact = {LAYER: wanted[order]}, {LAYER: exact[order]}
    assert_same({LAYER: found}, stock, bounds_of(stock, exact))


def test_the_chunk_table_has_the_parts_and_measures_of_regions(made):
    chunks, _ = made(45)
    table = open_table(chunks, CHUNKS).read().to_pylist()
    rows = {(row["name"], row["strand"]): row for row in table}
    assert len(rows) == len(REGIONS) + 1
    for (name, strand), row in rows.items():
        own, before = positions_of(name, strand, 45)
        bases = letters_of(row["contig"], own, strand)
        assert row["length"] == len(own)
        assert row["context"] == len(before) + len(own)
        assert row["gc"] == pytest.approx(sum(base in "GC" for base in bases) / len(bases))
        assert row["start"] < len(CONTIGS[row["contig"]])
    parts = {name: rows[name, strand]["parts"] for name, strand in rows}
    assert parts["whole"] is None
    assert parts["three exons"] == [40, 70, 80, 85, 120, 300]
    assert parts["over the origin"] == [450, 500, 0, 60]
    assert parts["flank over the origin"] == [5, 100]
    assert parts["exons over the origin"] == [400, 440, 480, 500, 0, 10, 30, 41]


def test_the_order_of_rows_is_that_of_their_contig(made, tmp_path):
    """Bins after the origin come last: they follow those before it."""
    chunks, packs = made(0)
    assert chunks
    rows = ShardRows(read_chunk_keys(open_table(packs, PACKS)), {"bin": 16})
    starts, contig = rows.rows["start"], rows.rank[rows.rows["chunk"]]
    assert (np.diff(contig) >= 0).all()
    assert all((np.diff(starts[contig == number]) >= 0).all() for number in (0, 1))
    assert max(rows.keys(0, rows.count)["start"].to_pylist()) < 500


def test_stages_that_need_one_interval_refuse_rows_of_several_parts(made, tmp_path):
    chunks, _ = made(0)
    settings = {"split": "block", "block": 100, "gap": 0, "validation_share": 0.5, "code": 1}
    said = "finetune.split: block .*, such as bases 100 to 600 of 'circle' of g .*contig"
    with pytest.raises(InputError, match=said):
        split_chunks([chunks], settings, str(tmp_path / "b.parquet"))
    found = split_chunks([chunks], {**settings, "split": "contig"}, str(tmp_path / "b.parquet"))
    assert found["longest"] == 500
    (tmp_path / "l.bed").write_text("line\t0\t9\tx\n")
    probe = Probe(labels=str(tmp_path / "l.bed"), gap=0)
    said = "probe: 8 windows have several parts .* on 'line' of g, bases 40 to 300"
    with pytest.raises(InputError, match=said):
        check_labels([chunks], [], probe, "mean", 1, "i", str(tmp_path / "o.json"))


def test_blocks_of_few_bases_give_the_same_tables(made, monkeypatch):
    """Long regions are read and measured block by block."""
    wanted = [
        open_table(path, schema).read() for path, schema in zip(made(45), TABLES, strict=True)
    ]
    for module in (cut_contigs, measures, sequences):
        monkeypatch.setattr(module, "BLOCK", 32)
    found = [open_table(path, schema).read() for path, schema in zip(made(45), TABLES, strict=True)]
    assert all(one.equals(other) for one, other in zip(found, wanted, strict=True))


def test_ambiguous_letters_of_introns_do_not_count(made, monkeypatch):
    """A letter at base 75 is in the intron of `three exons`, one at base 82 in its second exon."""
    for base, share in ((75, 0), (82, 1 / 215)):
        text = CONTIGS["line"]
        monkeypatch.setitem(CONTIGS, "line", text[:base] + "N" + text[base + 1 :])
        rows = open_table(made(0)[0], CHUNKS).read().to_pylist()
        (mine,) = (row for row in rows if row["name"] == "three exons")
        assert mine["ambiguous"] == pytest.approx(share)
        monkeypatch.setitem(CONTIGS, "line", text)
    monkeypatch.setitem(CONTIGS, "line", text[:82] + "R" + text[83:])
    monkeypatch.setitem(REGIONS, "whole", ("line", "+", [(0, 50)]))
    with pytest.raises(InputError, match="record 'line': ambiguous letter 'R' at base 83 "):
        made(0, ambiguous={"policy": "error"})
