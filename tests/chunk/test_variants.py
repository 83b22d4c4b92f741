"""Variants to chunks: both alleles of each, on both strands, against a genome that has the variant.

The expected sequences are built from plain texts: the alternate allele is put into the contig, and
the result is read from either end.
"""

import random
import zlib
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from evo2_embed.chunk.chunk_table import chunk_bundle
from evo2_embed.chunk.variants import count_pairs, plan_variants
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.genomes.variant_sample import sample_sites
from evo2_embed.io.errors import InputError
from runs import random_bases, write_fasta
from variant_files import vcf_of

CONTIGS = {"c1": random_bases(700, 1), "HLA-A*01:01": random_bases(90, 2), "c3": "ACGT" * 3}
_SWAP = str.maketrans("ACGTacgtNn", "TGCAtgcaNn")


@pytest.fixture
def chunk(complete, tmp_path):
    """A function that chunks the variants of a file: rows of the table, and counts."""

    def chunk(vcf, contigs=CONTIGS, variants=None, **windows):
        fasta = write_fasta(tmp_path / "g.fa", contigs.items())
        path = tmp_path / "v.vcf"
        path.write_text(vcf)
        settings = complete(windows=windows, variants={"size": 40, **(variants or {})})
        genome = Genome("g", str(fasta), variants=str(path))
        made = chunk_bundle(
            [genome],
            settings.windows.to_dict(),
            "indexes",
            "out/chunks.parquet",
            1,
            variants=settings.variants.to_dict(),
        )
        return pq.read_table("out/chunks.parquet").to_pylist(), made["genomes"]["g"]

    return chunk


def refused(chunk, *arguments, **keywords):
    """The one line that refuses a file, which leaves nothing behind."""
    with pytest.raises(InputError) as error:
        chunk(*arguments, **keywords)
    assert "\n" not in str(error.value)
    assert not list(Path("out").glob("*"))
    return str(error.value)


def many(contigs, seed=3, longest=9):
    """Records of SNVs, insertions and deletions: at both ends of each contig, and anywhere."""
    chance, found = random.Random(seed), []
    for name, bases in contigs.items():
        places = [0, 1, len(bases) - 1, *chance.choices(range(len(bases)), k=40)]
        for place in sorted(set(places)):
            ref = bases[place : place + chance.choice([1, 1, 1, 2, longest])]
            alts = {chance.choice("ACGT") for _ in range(2)}
            alts |= {random_bases(chance.randint(1, longest), chance.random()) for _ in range(2)}
            alts -= {ref}
            found.append((name, place + 1, f"v{len(found)}", ref, ",".join(sorted(alts))))
    return found


def expected(row, contigs):
    """What the model reads of a chunk of a variant, from the start of its strand on, and where the
    variant is there; of the contig with the allele of the chunk."""
    contig, position, ref, alt = row["variant"].rsplit(":", 3)
    bases, place = contigs[contig], int(position) - 1
    assert bases[place : place + len(ref)] == ref
    assert contig == row["contig"]
    if row["allele"] == "alt":
        bases = bases[:place] + alt + bases[place + len(ref) :]
    end = place + len(alt if row["allele"] == "alt" else ref)
    if row["strand"] == "+":
        return bases, place
    return bases.translate(_SWAP)[::-1], len(bases) - end


@pytest.mark.parametrize("share", ["window", "contig", "none"])
@pytest.mark.parametrize("downstream", [20, 9, 33])
def test_chunks_are_windows_of_a_contig_that_has_the_variant(chunk, share, downstream):
    context = {"span": 120, "min": 30} if share == "contig" else {}
    section = {"share": share, "downstream": downstream}
    rows, counts = chunk(
        vcf_of(many(CONTIGS)), variants=section, size=40, strands="both", context=context
    )
    assert counts["variants"] > 200
    assert {row["contig"] for row in rows} == set(CONTIGS)
    origins, families = {}, []
    for ref, alt in zip(rows[::2], rows[1::2], strict=True):
        same = ("variant", "id", "strand", "length", "contig")
        assert [ref[key] for key in same] == [alt[key] for key in same]
        assert (ref["allele"], alt["allele"], ref["insert"]) == ("ref", "alt", None)
        assert alt["insert"] == alt["variant"].rsplit(":", 1)[1]
        found = []
        for row in (ref, alt):
            strand, place = expected(row, CONTIGS)
            origin = place - row["fork"]  # of the stretch, on its strand
            seen = strand[origin : origin + row["context"]]
            window = seen[-row["length"] :]
            assert len(seen) == row["context"] <= (120 if context else 40)
            found.append((origin, len(seen) - len(window), window))
            forward = window if row["strand"] == "+" else window.translate(_SWAP)[::-1]
            assert row["crc32"] == zlib.crc32(forward.encode()), row
            assert row["gc"] == pytest.approx(sum(map(window.count, "GC")) / len(window))
            assert row["ambiguous"] == 0
        # Both windows begin at the same base, and nothing differs before the variant.
        before = ref["length"] - (ref["context"] - ref["fork"])
        assert before == min(40 - downstream, found[0][0] + ref["fork"])
        assert found[0][2][:before] == found[1][2][:before]
        assert ref["length"] - before <= downstream
        bases = CONTIGS[ref["contig"]][ref["start"] : ref["end"]]
        assert len(bases) == ref["length"]
        assert origins.setdefault(ref["stretch"], found[0][0]) == found[0][0]
        assert ref["parent"] is None
        if share == "none" or not alt["fork"]:
            assert alt["parent"] is None
            assert alt["context"] == alt["length"]
        else:
            assert (alt["parent"], alt["fork"]) == (ref["stretch"], ref["fork"])
        families.append((ref["stretch"], alt["stretch"]))
    # A stretch's forks have the numbers after its own, and each alternate a number of its own.
    own = [alt for _, alt in families]
    assert own == sorted(set(own))
    assert all(ref < alt for ref, alt in families)
    assert sorted({*own, *origins}) == list(range(len(own) + len(origins)))
    parents = [ref for ref, _ in families]
    assert parents == sorted(parents)
    if share == "window":
        assert len(origins) < len(families) / 2


def test_the_plan_knows_windows_and_tokens_before_the_run(chunk, complete, tmp_path):
    records = many(CONTIGS)
    for share in ("window", "contig", "none"):
        context = {"span": 120, "min": 30}
        keys = {"size": 40, "strands": "both", "context": context}
        rows, _ = chunk(vcf_of(records), variants={"share": share}, **keys)
        settings = complete(windows=keys, variants={"size": 40, "share": share})
        sites, factor = sample_sites(str(tmp_path / "v.vcf"))
        assert factor == 1
        sums = [
            count_pairs(plan_variants(len(bases), sites[c], settings.windows, settings.variants)[0])
            for c, bases in CONTIGS.items()
        ]
        runs = {}
        for row in rows:
            own = row["context"] - (row["fork"] if row["parent"] is not None else 0)
            runs[row["stretch"]] = max(runs.get(row["stretch"], 0), own)
        windows, stretches, bases = map(sum, zip(*sums, strict=True))
        assert (windows, stretches, bases) == (len(rows), len(runs), sum(runs.values()))
