"""BED files: what is read of a line, and which lines are refused."""

import pytest
from evo2_embed.genomes.regions import read_regions, region_faults
from evo2_embed.io.errors import InputError
from evo2_embed.settings.sections import RegionSettings

SETTINGS = RegionSettings()


def rows(path, **settings):
    """By contig, the regions of a file: start, end, strand, name, line and parts."""
    found = read_regions(str(path), RegionSettings(**settings))
    return {contig: list(_rows(mine)) for contig, mine in found.items()}


def _rows(mine):
    for i in range(len(mine)):
        parts = slice(mine.edges[i], mine.edges[i + 1])
        both = zip(mine.part_start[parts].tolist(), mine.part_end[parts].tolist(), strict=True)
        columns = (mine.start, mine.end, mine.strand, mine.name, mine.line)
        yield *(column[i : i + 1].tolist()[0] for column in columns), list(both)


def test_columns_four_and_six_are_name_and_strand(tmp_path):
    path = tmp_path / "r.bed"
    path.write_text("# note\ntrack name=x\nc\t1\t5\nc\t0\t9\tgene\t0\t-\nd 2 3 .\n")
    assert rows(path) == {
        "c": [(1, 5, "", None, 3, [(1, 5)]), (0, 9, "-", "gene", 4, [(0, 9)])],
        "d": [(2, 3, "", None, 5, [(2, 3)])],
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("c\t5\t5", r"line 2: start 5 and end 5 \(wanted: 0 <= start < end\)"),
        ("c\t-1\t5", r"line 2: start -1 and end 5"),
        ("c\t6\t5", r"line 2: start 6 and end 5"),
        ("c\t1", r"line 2: not BED"),
        ("c\t1\tx", r"line 2: not BED"),
        ("c\t1\t5\tn\t0\t*", r"line 2: strand '\*' \(allowed: \+ - \.\)"),
        (f"c\t1\t{10**19}", r"line 2: end 10000000000000000000 \(allowed: at most 1000000000000\)"),
        (f"c\t1\t{'9' * 5000}", r"line 2: not BED"),
        ("c\t1\t1_000", r"line 2: not BED"),
        ("c\t1\t²", r"line 2: not BED"),
        ("c\t1\t٣", r"line 2: not BED"),
        ("c" * 2_000_000, r"line 2: longer than 1,048,576 characters"),
        ("c\t1\t5\tn\t0\t\x1b[31m", r"line 2: strand '\\x1b\[31m'"),
    ],
)
def test_other_lines_are_refused_with_their_number(tmp_path, line, message):
    path = tmp_path / "r.bed"
    path.write_text(f"c\t0\t1\n{line}\n")
    with pytest.raises(InputError, match=message) as error:
        read_regions(str(path), SETTINGS)
    # The same is found when a run starts.
    assert region_faults(str(path), SETTINGS) == [str(error.value)]


@pytest.mark.parametrize("content", [b"", b"# note\n\n", b"\x1f\x8b\x08\xff"])
def test_a_file_without_regions_is_refused(tmp_path, content):
    path = tmp_path / "r.bed"
    path.write_bytes(content)
    with pytest.raises(InputError, match="r.bed: (no regions in|not a text file)") as error:
        read_regions(str(path), SETTINGS)
    assert region_faults(str(path), SETTINGS) == [str(error.value)]
