"""The section of the report on variants, and its lines in the summary."""

import numpy as np
import polars as pl
import pytest
from evo2_embed.report.effects import Effects, summary_lines
from evo2_embed.report.summary import Result
from evo2_embed.report.variants import variants

WILD = "<script>alert(1)</script>"
ROW = {
    "genome": "g",
    "variant": f"c:7:A:{'C' * 99}",
    "id": WILD,
    "strand": "+",
    "kind": "insertion",
}


def effects_of(joined=False, by="llr"):
    """Those of one insertion, which has no distance in the first layer."""
    values = {"llr": -2.5} if by == "llr" else {}
    rows = pl.DataFrame([{**ROW, **values, "euclidean_downstream": 12.25}])
    distances = {"blocks.2": np.array([0.0]), "norm": np.array([12.25])}
    llr = {"insertion": np.array([-2.5])} if by == "llr" else {}
    return Effects({"insertion": 1}, 1, joined, "norm", by, rows, llr, distances, 1)


@pytest.mark.parametrize("by", ["llr", "euclidean_downstream"])
@pytest.mark.parametrize("joined", [True, False])
def test_variants_are_shown_with_their_effects(tmp_path, joined, by):
    counts = {"chunks": 4, f"skipped: symbolic allele {WILD}": 3}
    manifest = {"genomes": [{"genome": "g", "counts": counts}]}
    result = Result("default", tmp_path, manifest, [])
    page = variants(result, effects_of(joined, by))
    assert WILD not in page
    assert "Left out: 3 x symbolic allele &lt;script&gt;" in page
    assert "<td>12.25</td>" in page
    assert '"x":["norm"]' in page  # no box for a layer without a distance
    assert ("<td>-2.5</td>" in page) == (by == "llr")
    assert (
        ("<th scope=col>strand</th>" in page)
        == ("means of both strands" not in page)
        == (not joined)
    )
    lines = "\n".join(summary_lines("default", effects_of(joined, by))).splitlines()
    assert lines[0] == "variants of default: 1 (1 insertion)"
    assert max(map(len, lines)) <= 100
    assert ("both" in lines[3]) == joined
    assert lines[3].split()[-1] == ("-2.5" if by == "llr" else "12.25")


def test_a_run_without_variants_has_no_section_on_them(tmp_path):
    assert variants(Result("default", tmp_path, {}, []), None) == ""
