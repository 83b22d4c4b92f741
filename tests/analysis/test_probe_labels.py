"""Labels: what is read from each format, which rows get which, and what is refused, in a line."""

import gzip

import polars as pl
import pytest
from evo2_embed.analysis.probes.formats import MOST_LABELS
from evo2_embed.analysis.probes.labels import probe_faults, read_labels
from evo2_embed.analysis.probes.rows import interval_table, label_rows, thin_rows
from evo2_embed.io.errors import InputError
from evo2_embed.settings.analyses import Probe
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import run_python

GFF = "##gff-version 3\nc%3A1\tx\tCDS\t3\t9\t.\t-\t0\tID=a\nc2\tx\tgene\t1\t2\t.\t?\t.\tID=b\n"
TSV = "genome\tcontig\tstart\tend\t"


def section(labels, feature=None, **keys):
    return Probe(labels=str(labels), feature=feature, folds=2, gap=0, **keys)


def intervals(labels):
    rows = zip(labels.contig, labels.start, labels.end, labels.strand, labels.value, strict=True)
    return list(rows)


def faults_of(path, feature=None, genomes=("g",)):
    return probe_faults(section(path, feature), list(genomes), [])


@pytest.mark.parametrize(
    ("name", "text", "feature", "wanted"),
    [
        (
            "a.bed",
            "track x\n# y\nc\t0\t5\nc\t5\t9\tlow\t0\t-\nc\t1\t2\t.\t0\t.\n",
            None,
            [("c", 0, 5, ".", "inside"), ("c", 5, 9, "-", "low"), ("c", 1, 2, ".", "inside")],
        ),
        ("a.gff3", f"{GFF}##FASTA\n>c2\nACGT\n", "CDS", [("c:1", 2, 9, "-", "CDS")]),
        ("a.gff", GFF, "gene", [("c2", 0, 2, ".", "gene")]),
        (
            "a.tsv",
            f"{TSV}label\tstrand\ng\tc\t0\t5\tx y\t+\ng\tc\t7\t9\tz\t.\n",
            None,
            [("c", 0, 5, "+", "x y"), ("c", 7, 9, ".", "z")],
        ),
        (
            "a.txt",
            f"#\n{TSV}number\ng\tc\t0\t5\t-1.5\ng\tc\t7\t9\t2e3\n",
            None,
            [("c", 0, 5, ".", -1.5), ("c", 7, 9, ".", 2000.0)],
        ),
    ],
    ids=["bed", "gff3", "gff", "tsv", "numbers"],
)
def test_intervals_of_each_format_plain_and_gzip(tmp_path, name, text, feature, wanted):
    (tmp_path / name).write_text(text)
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    for path in (tmp_path / name, tmp_path / f"{name}.gz"):
        assert faults_of(path, feature) == []
        labels = read_labels(section(path, feature))
        assert intervals(labels) == wanted
        assert labels.kind == ("number" if isinstance(wanted[0][-1], float) else "class")
        assert labels.background == (name[-3:] not in ("tsv", "txt"))


@pytest.mark.parametrize(
    ("name", "text", "feature", "said"),
    [
        (
            "a.csv",
            "",
            None,
            "a.csv: the name does not end like a known format (allowed: .bed, .gff",
        ),
        ("a.bed", "c\t0\t5\n", "CDS", "probe.feature: 'CDS' is for GFF3 only"),
        ("a.bed", "c\t5\n", None, "line 1: not BED"),
        ("a.bed", "c\t5\t5\n", None, "line 1: start 5 and end 5 (wanted: 0 <= start < end)"),
        ("a.bed", "c\t0\t5\tx\t0\t*\n", None, "line 1: strand '*' (allowed: + - .)"),
        ("a.bed", "c\t0\t5\tbackground\n", None, "is the label of rows without intervals"),
        ("a.bed", "#\n", None, "no intervals in the file"),
        (
            "a.bed",
            "".join(f"c\t{i}\t{i + 1}\tn{i}\n" for i in range(MOST_LABELS + 1)),
            None,
            "101 different labels (allowed: at most 100)",
        ),
        ("a.gff3", GFF, None, "needs probe.feature, a feature type (in the file: CDS, gene)"),
        ("a.gff3", GFF, "rRNA", "no feature 'rRNA' (probe.feature; in the file: CDS, gene)"),
        ("a.gff3", "c\tx\tCDS\t1\t2\n", "CDS", "line 1: 5 columns (expected: 9"),
        ("a.gff3", "c\tx\tCDS\t0\t2\t.\t+\t0\t\n", "CDS", "expected: 1 <= start <= end"),
        ("a.gff3", "c\tx\tCDS\t1\tz\t.\t+\t0\t\n", "CDS", "end 'z' (expected: whole numbers)"),
        (
            "a.gff3",
            f"c\tx\tCDS\t1\t{10**19}\t.\t+\t0\t\n",
            "CDS",
            "line 1: end 10000000000000000000 (allowed: at most 1000000000000)",
        ),
        ("a.tsv", f"{TSV}label\ng\tc\t0\t{10**19}\tx\n", None, "line 2: end 10000000000000000000"),
        ("a.tsv", f"{TSV}label\ng\tc\t0\t1_0\tx\n", None, "end '1_0' (expected: whole numbers)"),
        ("a.tsv", f"{TSV}number\ng\tc\t0\t9\t1_0\n", None, "'1_0' is not a number"),
        ("a.bed", "c" * 2_000_000, None, "line 1: longer than 1,048,576 characters"),
        ("a.tsv", "genome\tcontig\tstart\tlabel\n", None, "line 1: column 'end' is missing"),
        ("a.tsv", f"{TSV}\n", None, "line 1: unknown column ''"),
        ("a.tsv", f"{TSV}label\tnumber\n", None, "line 1: label and number: exactly one of these"),
        ("a.tsv", f"{TSV}label\tscore\n", None, "line 1: unknown column 'score'"),
        ("a.tsv", f"{TSV}label\tlabel\n", None, "line 1: a column name is there twice"),
        ("a.tsv", f"{TSV}label\ng\tc\t0\n", None, "line 2: 3 cells under 5 columns"),
        ("a.tsv", f"{TSV}label\ng\tc\t3\t2\tx\n", None, "line 2: start 3 and end 2 (expected"),
        ("a.tsv", f"{TSV}label\ng\tc\t0\t2\t\n", None, "line 2: no label"),
        (
            "a.tsv",
            f"{TSV}label\ng\tc\t0\t2\tx\n",
            None,
            "all intervals have 'x' (expected: at least",
        ),
        ("a.tsv", f"{TSV}number\ng\tc\t0\t2\tnan\n", None, "line 2: 'nan' is not a number"),
        ("a.tsv", f"{TSV}number\ng\tc\t0\t2\t1\ng\tc\t3\t4\t1\n", None, "all intervals have 1.0"),
        (
            "a.tsv",
            f"{TSV}label\ng\tc\t0\t2\tx\nh\tc\t0\t2\ty\n",
            None,
            "genome 'h' is not in the sheet (allowed: g)",
        ),
        ("a.bed.gz", "c\t0\t5\n", None, "not a gzip file, or truncated or damaged"),
        ("a{b}.bed", "c\t0\t5\n", None, "a path must not contain { or }"),
    ],
)
def test_a_fault_is_a_line_that_says_what_is_allowed(tmp_path, name, text, feature, said):
    path = tmp_path / name
    path.write_text(text)
    (fault,) = faults_of(path, feature)
    assert said in fault
    assert str(path) in fault
    assert "\n" not in fault
    if "sheet" not in said:
        with pytest.raises(InputError) as error:
            read_labels(section(path, feature))
        assert str(error.value) == fault


def test_other_files_are_refused(tmp_path):
    (fault,) = faults_of(tmp_path / "none.bed")
    assert fault == f"probe.labels: {tmp_path}/none.bed: no such file"
    (tmp_path / "b.bed").write_bytes(b"\xff\xfe\x00")
    assert "not a text file" in faults_of(tmp_path / "b.bed")[0]
    (tmp_path / "c.bed.gz").write_bytes(gzip.compress(b"c\t0\t5\n" * 9)[:-6])
    assert "truncated" in faults_of(tmp_path / "c.bed.gz")[0]


def test_the_first_faulty_lines_are_shown_and_a_header_only_once(tmp_path):
    (tmp_path / "a.bed").write_text("c\t5\n" * 9)
    faults = faults_of(tmp_path / "a.bed")
    assert [fault.split(": ")[2] for fault in faults] == ["line 1", "line 2", "line 3"]
    (tmp_path / "a.tsv").write_text("x\ty\n" * 9)
    assert len(faults_of(tmp_path / "a.tsv")) == 1


def test_the_configuration_checks_labels_and_fills_in_the_gap(complete, tmp_path):
    (tmp_path / "a.bed").write_text("any\t0\t50\n")
    assert complete(probe={"labels": "a.bed"}).probe.gap == 200
    assert complete(probe={"labels": "a.bed", "gap": 0}).probe.gap == 0
    fusion = {"gc_kmers": {"method": "mean"}}
    layers = {"layers": ["norm"], "fusion": fusion}
    with pytest.raises(InputError) as error:
        complete(probe={"labels": "b.bed"}, extractions={"default": layers})
    assert str(error.value).splitlines() == [
        "fusion: 'gc_kmers' is the name of a baseline (allowed: any other name)",
        "probe.labels: b.bed: no such file",
    ]


def test_checking_labels_imports_nothing_heavy(tmp_path):
    code = (
        "import sys, evo2_embed.config.resolve, evo2_embed.analysis.probes.memory\n"
        "print({'numpy', 'polars', 'pyarrow', 'sklearn', 'torch'} & set(sys.modules))"
    )
    assert run_python(code, tmp_path) == "set()"


def keys_of(rows, genome="g"):
    columns = ["contig", "start", "end", "strand"]
    frame = pl.DataFrame(rows, schema=columns, orient="row")
    return frame.with_columns(genome=pl.lit(genome)).select("genome", *columns)


spans = st.tuples(
    st.sampled_from("cd"), st.integers(0, 40), st.integers(1, 15), st.sampled_from("+-.")
)


def by_hand(row, found, least, stranded, kind):
    """The label of a row, base by base; `found` are intervals with a value."""
    contig, start, end, strand = row
    mine = [
        (set(range(s, e)) & set(range(start, end)), value)
        for c, s, e, t, value in found
        if c == contig and (not stranded or t in (".", strand))
    ]
    any_base = set().union(*(bases for bases, _ in mine))
    length = end - start
    if kind == "number":
        if len(any_base) < least * length:
            return None
        total = sum(len(bases) for bases, _ in mine)
        return sum(len(bases) * value for bases, value in mine) / total
    counts = {
        label: len(set().union(*(bases for bases, value in mine if value == label)))
        for label in sorted({value for _, value in mine})
    }
    enough = {label: count for label, count in counts.items() if count >= least * length}
    if enough:
        return max(enough, key=enough.get)
    if kind == "background" and len(any_base) <= (1 - least) * length:
        return "background" if len(any_base) < least * length else None
    return None


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_labels_of_rows_equal_a_count_base_by_base(tmp_path_factory, data):
    kind = data.draw(st.sampled_from(["background", "class", "number"]))
    values = st.sampled_from([-2.0, 0.5, 7.0] if kind == "number" else ["x", "y"])
    found = [
        (c, s, s + n, t, value)
        for (c, s, n, t), value in data.draw(st.lists(st.tuples(spans, values), min_size=1))
    ]
    rows = [
        (c, s, s + n, "+" if t == "." else t)
        for c, s, n, t in data.draw(st.lists(spans, min_size=1, max_size=12))
    ]
    least = data.draw(st.sampled_from([0.5, 0.6, 0.75, 0.9, 1.0]))
    stranded = data.draw(st.booleans())
    folder = tmp_path_factory.mktemp("labels")
    if kind == "background":
        path = folder / "a.bed"
        path.write_text("".join(f"{c}\t{s}\t{e}\t{v}\t0\t{t}\n" for c, s, e, t, v in found))
    else:
        path = folder / "a.tsv"
        # Another genome's intervals, for which the file has two values.
        found_elsewhere = [("h", "c", 0, 60, "+", v) for v in values.elements]
        lines = [("g", *interval) for interval in found] + found_elsewhere
        head = f"{TSV}strand\t{'number' if kind == 'number' else 'label'}\n"
        path.write_text(head + "".join("\t".join(map(str, line)) + "\n" for line in lines))
    probe = section(path, min_overlap=least, stranded=stranded)
    result = label_rows(keys_of(rows), probe, ["g", "h"]).tolist()
    known = kind != "background" or {c for c, *_ in found} & {c for c, *_ in rows}
    wanted = [by_hand(row, found, least, stranded, kind) for row in rows]
    wanted = [None if label == "background" and not known else label for label in wanted]
    if kind == "number":
        result = [None if value != value else value for value in result]
        assert result == [w if w is None else pytest.approx(w, abs=1e-9) for w in wanted]
    else:
        assert result == wanted


def test_rows_of_a_genome_without_intervals_are_left_out(tmp_path):
    (tmp_path / "a.bed").write_text("c\t0\t10\n")
    keys = pl.concat(
        [keys_of([("c", 0, 10, "+"), ("d", 0, 10, "+")]), keys_of([("e", 0, 5, "+")], "h")]
    )
    result = label_rows(keys, section(tmp_path / "a.bed"), ["g", "h"])
    assert result.tolist() == ["inside", "background", None]


def test_a_contig_of_two_genomes_needs_a_file_that_tells_them_apart(tmp_path):
    keys = pl.concat([keys_of([("c", 0, 10, "+")]), keys_of([("c", 0, 10, "+")], "h")])
    (tmp_path / "a.bed").write_text("c\t0\t10\n")
    with pytest.raises(InputError, match="'c' is in the genomes 'g' and 'h'.*allowed: a TSV file"):
        label_rows(keys, section(tmp_path / "a.bed"), ["g", "h"])
    (tmp_path / "a.tsv").write_text(f"{TSV}label\nh\tc\t0\t10\tx\ng\tc\t0\t4\ty\n")
    result = label_rows(keys, section(tmp_path / "a.tsv"), ["g", "h"])
    assert result.tolist() == [None, "x"]
    labels = read_labels(section(tmp_path / "a.tsv"))
    with pytest.raises(InputError, match="genome 'h' is not in the sheet"):
        interval_table(labels, keys, "a.tsv", ["g"])


@given(st.integers(1, 60), st.integers(20, 50), st.booleans())
@settings(deadline=None)
def test_rows_are_thinned_by_window_with_both_strands(windows, most, both):
    strands = "+-" if both else "+"
    rows = [("c", 10 * i, 10 * i + 20, strand) for i in range(windows) for strand in strands]
    keys = keys_of(rows)
    labelled = pl.Series(range(len(rows))).to_numpy()
    kept = thin_rows(keys, labelled, most)
    assert len(kept) <= most
    assert len(kept) >= min(len(rows), most - 1)
    starts = keys[kept]["start"].to_list()
    assert all(starts.count(start) == len(strands) for start in starts)
    assert {starts[0], starts[-1]} == {0, 10 * (windows - 1)}
