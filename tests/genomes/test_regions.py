"""BED files: what is read of a line, and which lines are refused."""

import pytest
from evo2_embed.genomes.regions import Region, read_regions
from evo2_embed.io.errors import InputError


def test_columns_four_and_six_are_name_and_strand(tmp_path):
    path = tmp_path / "r.bed"
    path.write_text("# note\ntrack name=x\nc\t1\t5\nc\t0\t9\tgene\t0\t-\nd 2 3 .\n")
    assert read_regions(str(path)) == {
        "c": [Region(1, 5, None, None, 3), Region(0, 9, "gene", "-", 4)],
        "d": [Region(2, 3, None, None, 5)],
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
    ],
)
def test_other_lines_are_refused_with_their_number(tmp_path, line, message):
    path = tmp_path / "r.bed"
    path.write_text(f"c\t0\t1\n{line}\n")
    with pytest.raises(InputError, match=message):
        read_regions(str(path))
