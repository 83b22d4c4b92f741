"""Variants to chunks: both alleles of each, on both strands, against a genome that has the variant.

The expected sequences are built from plain texts: the alternate allele is put into the contig, and
the result is read from either end.
"""

import gzip
import random
import zlib
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from evo2_embed.chunk.chunk_table import chunk_bundle
from evo2_embed.chunk.variants import count_pairs, plan_variants
from evo2_embed.config.resolve import resolve
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.genomes.variant_sample import sample_sites
from evo2_embed.io.errors import InputError
from runs import ROOT, random_bases, write_fasta
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
    before = list(Path("out").glob("*"))
    with pytest.raises(InputError) as error:
        chunk(*arguments, **keywords)
    assert "\n" not in str(error.value)
    assert list(Path("out").glob("*")) == before
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
    # Rows follow the contig, so that blocks of it are read once.
    for name in CONTIGS if share != "contig" else ():
        for strand, edge in (("+", "start"), ("-", "end")):
            edges = [r[edge] for r in rows[::2] if (r["contig"], r["strand"]) == (name, strand)]
            assert edges == sorted(edges)
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
        windows, stretches, bases, covered, points = map(sum, zip(*sums, strict=True))
        assert (windows, stretches, bases) == (len(rows), len(runs), sum(runs.values()))
        parents = {(row["parent"], row["fork"]) for row in rows if row["parent"] is not None}
        assert points == len(parents)
        # Bases of the reference's stretches, on each strand.
        seen = set()
        for row in rows[::2]:
            before = row["context"] - row["length"]
            start = row["start"] - (before if row["strand"] == "+" else 0)
            end = row["end"] + (before if row["strand"] == "-" else 0)
            seen |= {(row["contig"], row["strand"], base) for base in range(start, end)}
        assert covered == len(seen)


SITE = CONTIGS["c1"][9:13]  # the bases at the positions 10 to 13


def at(position, ref=None, alt="", contig="c1", name="."):
    """A record; without alleles, the SNV of the base that is there."""
    base = CONTIGS[contig][position - 1]
    return contig, position, name, ref or base, alt or base.translate(_SWAP)


def test_what_is_no_sequence_of_bases_is_counted_and_named(chunk):
    base = SITE[0]
    odd = ["<DEL>", "*", "<NON_REF>", "<*>", "G[c1:20[", "]c1:20]G", f"{base}.", ".", "N", base]
    records = [at(10, base, f"{base}GG,{alt}") for alt in odd] + [at(11)]
    rows, counts = chunk(vcf_of(records))
    assert {row["variant"] for row in rows} == {
        f"c1:10:{base}:{base}GG",
        f"c1:11:{SITE[1]}:{SITE[1].translate(_SWAP)}",
    }
    assert {key: n for key, n in counts.items() if "skipped" in key} == {
        "skipped: symbolic allele <DEL>": 1,
        "skipped: allele *": 1,
        "skipped: <NON_REF> of a gVCF": 1,
        "skipped: <*> of a gVCF": 1,
        "skipped: breakend": 3,
        "skipped: no alternate allele": 1,
        "skipped: ambiguous letter in the alternate allele": 1,
        "skipped: both alleles are the same": 1,
        "skipped: variant is in the file before": 9,
    }
    assert (counts["records"], counts["variants"], counts["chunks"]) == (11, 2, 4)


def test_alleles_in_lower_case_are_those_in_upper_case_unless_case_is_kept(chunk):
    masked = {"c1": CONTIGS["c1"][:9] + CONTIGS["c1"][9:12].lower() + CONTIGS["c1"][12:]}
    ref = SITE[:2]
    records = [("c1", 10, ".", ref.lower(), "cat"), ("c1", 13, ".", SITE[3].lower(), "gat")]
    rows, _ = chunk(vcf_of(records), masked)
    assert [row["insert"] for row in rows[1::2]] == ["CAT", "GAT"]
    assert rows[1]["variant"] == f"c1:10:{ref}:CAT"
    rows, _ = chunk(vcf_of(records), masked, lower_case="keep")
    assert [row["insert"] for row in rows[1::2]] == ["cat", "GAT"]
    window = masked["c1"]
    alternate = window[:9] + "cat" + window[11:]
    for row, bases in ((rows[0], window), (rows[1], alternate)):
        assert row["crc32"] == zlib.crc32(bases[: row["length"]].encode())


def test_ambiguous_letters_of_the_contig_are_matched_and_follow_their_policy(chunk):
    bases = CONTIGS["c1"]
    contigs = {"c1": bases[:9] + "NR" + bases[11:]}
    records = [("c1", 10, ".", "N", "A"), ("c1", 11, ".", "A", "C"), ("c1", 300, *at(300)[2:])]
    rows, counts = chunk(vcf_of(records), contigs)
    assert counts["variants"] == 3
    assert [row["ambiguous"] for row in rows[:2]] == pytest.approx([2 / 29, 1 / 29])
    policy = {"policy": "skip", "max_share": 0}
    rows, counts = chunk(vcf_of(records), contigs, ambiguous=policy)
    assert {row["variant"].split(":")[1] for row in rows} == {"300"}
    assert counts["skipped: ambiguous share above max_share"] == 4
    said = refused(chunk, vcf_of(records), contigs, ambiguous={"policy": "error"})
    assert "ambiguous letters in the window of the variant at 10" in said


def test_another_assembly_is_refused_with_its_first_five_records_or_skipped(chunk):
    wrong = [at(place, CONTIGS["c1"][place - 1].translate(_SWAP), "AC") for place in range(20, 27)]
    records = [*wrong, at(50), at(700, f"{CONTIGS['c1'][-1]}A", "C"), ("c1", 9000, ".", "A", "C")]
    said = refused(chunk, vcf_of(records))
    assert "v.vcf: 9 of 10 reference alleles are not in record 'c1' of " in said
    shown = [
        f"position {place} {wrong[place - 20][3]}, not {CONTIGS['c1'][place - 1]}"
        for place in range(20, 25)
    ]
    assert f"{'; '.join(shown)}; is this another assembly?" in said
    assert "variants.on_mismatch: skip" in said
    rows, counts = chunk(vcf_of(records), variants={"on_mismatch": "skip"})
    assert {row["variant"] for row in rows} == {":".join(map(str, (at(50)[0], 50, *at(50)[3:])))}
    assert counts["skipped: reference allele is not in the FASTA file"] == 9


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([at(700, f"{CONTIGS['c1'][-1]}A", "C")], "position 700 .A is not on its 700 bases"),
        ([("c1", 0, ".", "A", "C")], "position 0 A is not on its 700 bases"),
        ([("chrc1", 3, ".", "A", "C")], "chrc1:3: no record 'chrc1' in .*'chrc1' and 'c1' differ"),
        ([("c1", 3, ".", "A-", "C")], "c1:3: reference allele 'A-' is not a sequence of bases"),
        ([at(3, alt="X")], "c1:3: alternate allele 'X' is not an allele of VCF"),
        ([at(9), ("c1", "x", ".", "A", "C")], "after c1:9: cannot be read as VCF or BCF"),
        ([at(9), ("c1 3 . A C",)], "after c1:9: cannot be read as VCF or BCF"),
        ([at(9, alt="<DEL>")], r"no variants in the file \(1 x symbolic allele <DEL>\)"),
        ([at(9, alt=".")], r"no variants in the file \(1 x no alternate allele\)"),
        ([at(9, alt="<NON_REF>")], r"no variants in the file \(1 x <NON_REF> of a gVCF\)"),
        ([("c1", 9, ".", "A")], "in the first record: cannot be read as VCF or BCF"),
        ([], "no variants in the file"),
        ([at(9, alt="A" * 30)], "no window is left to embed .1 allele longer than variants.downs"),
    ],
)
def test_bad_records_are_refused_in_one_line(chunk, records, said):
    with pytest.raises(InputError, match=said) as error:
        chunk(vcf_of(records))
    assert "\n" not in str(error.value)


def test_an_insertion_that_the_rest_of_the_contig_cannot_hold_is_counted(chunk):
    last = CONTIGS["c1"][-1]
    rows, counts = chunk(vcf_of([at(700), at(700, last, f"{last}ACG")]), strands="both")
    assert counts["skipped: window too short at the end of its contig"] == 1
    assert {row["variant"] for row in rows} == {f"c1:700:{last}:{last.translate(_SWAP)}"}


def test_samples_change_nothing(chunk):
    samples = [f"s{i}" for i in range(1000)]
    records = [at(place) for place in range(1, 200)]
    assert chunk(vcf_of(records, samples)) == chunk(vcf_of(records))


def test_the_example_of_lambda_is_chunked_on_both_strands(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT / "config" / "examples" / "variants")
    settings, genomes = resolve(yaml.safe_load(Path("config/config.yaml").read_text()))
    made = chunk_bundle(
        genomes,
        settings.windows.to_dict(),
        str(tmp_path / "indexes"),
        str(tmp_path / "chunks.parquet"),
        1,
        variants=settings.variants.to_dict(),
    )
    rows = pq.read_table(tmp_path / "chunks.parquet").to_pylist()
    counts = made["genomes"]["lambda"]
    assert (counts["records"], counts["variants"], len(rows)) == (11, 13, 52)
    assert counts["skipped: symbolic allele <DEL>"] == 1
    assert counts["skipped: symbolic allele <DUP>"] == 1
    assert counts["skipped: allele *"] == 1
    with gzip.open("../../../resources/lambda.fa.gz", "rt") as lines:
        contigs = {rows[0]["contig"]: "".join(lines.read().split("\n")[1:]).upper()}
    for row in rows:
        strand, place = expected(row, contigs)
        window = strand[place - row["fork"] :][: row["context"]][-row["length"] :]
        forward = window if row["strand"] == "+" else window.translate(_SWAP)[::-1]
        assert row["crc32"] == zlib.crc32(forward.encode())
