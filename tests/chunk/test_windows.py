"""Windows over a contig."""

import numpy as np
import pytest
from evo2_embed.chunk.windows import plan_records, plan_windows, tile_windows
from evo2_embed.settings.windows import Windows
from hypothesis import given
from hypothesis import strategies as st

LENGTHS = st.integers(1, 1000)


@given(length=LENGTHS, size=st.integers(1, 200))
def test_windows_tile_a_contig_once_when_stride_is_size(length, size):
    starts, ends = tile_windows(length, size, size, "keep")
    covered = np.zeros(length, int)
    for start, end in zip(starts, ends, strict=True):
        covered[start:end] += 1
    assert (covered == 1).all()
    assert (ends - starts <= size).all()


@given(
    length=LENGTHS,
    size=st.integers(1, 200),
    data=st.data(),
    last=st.sampled_from(["keep", "shift"]),
)
def test_overlapping_windows_cover_all_and_none_lies_in_the_one_before(length, size, data, last):
    stride = data.draw(st.integers(1, size))
    starts, ends = tile_windows(length, size, stride, last)
    assert starts[0] == 0
    assert ends[-1] == length
    assert (np.diff(starts) > 0).all()
    assert (np.diff(ends) > 0).all()
    assert (starts[1:] <= ends[:-1]).all()


@given(length=LENGTHS, size=st.integers(1, 200), stride=st.integers(1, 400))
def test_shift_gives_full_windows_where_the_contig_has_room(length, size, stride):
    starts, ends = tile_windows(length, size, stride, "shift")
    assert (ends - starts == min(size, length)).all()
    assert (starts >= 0).all()
    assert (ends <= length).all()


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ((10, 4, 4, "keep"), [(0, 4), (4, 8), (8, 10)]),
        ((10, 4, 4, "shift"), [(0, 4), (4, 8), (6, 10)]),
        ((10, 4, 2, "keep"), [(0, 4), (2, 6), (4, 8), (6, 10)]),
        ((10, 4, 9, "keep"), [(0, 4), (9, 10)]),
        ((9, 4, 9, "keep"), [(0, 4)]),
        ((3, 4, 4, "shift"), [(0, 3)]),
        ((0, 4, 4, "keep"), []),
    ],
)
def test_small_cases(arguments, wanted):
    assert list(zip(*map(list, tile_windows(*arguments)), strict=True)) == wanted


@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=6),
    size=st.integers(1, 150),
    stride=st.integers(1, 200),
    last=st.sampled_from(["keep", "shift"]),
    strands=st.sampled_from(["both", "+", "-"]),
    min_length=st.integers(1, 150),
    span=st.sampled_from(["size", 300]),
)
def test_windows_of_many_records_are_those_of_one_after_the_other(
    lengths, size, stride, last, strands, min_length, span
):
    windows = Windows.from_dict(
        {
            "size": size,
            "stride": stride,
            "last": last,
            "strands": strands,
            "min_length": min_length,
            "context": {"span": span, "min": 0},
        }
    )
    plan, skipped = plan_records(np.array(lengths), windows)
    one_by_one = [plan_windows(length, windows, None) for length in lengths]
    assert skipped == sum(left_out for _, left_out in one_by_one)
    before = np.cumsum([0, *lengths])
    stretches = set()
    for record, (alone, _) in enumerate(one_by_one):
        mine = {key: values[plan["record"] == record] for key, values in plan.items()}
        for key in ("start", "end"):
            assert (mine[key] - before[record]).tolist() == alone[key].tolist()
        assert mine["strand"].tolist() == alone["strand"].tolist()
        assert mine["context"].tolist() == alone["context"].tolist()
        # The same windows share a stretch, and no stretch has windows of two records.
        pairs = set(zip(mine["stretch"].tolist(), alone["stretch"].tolist(), strict=True))
        assert len(pairs) == len(set(mine["stretch"])) == len(set(alone["stretch"]))
        assert not stretches & set(mine["stretch"].tolist())
        stretches |= set(mine["stretch"].tolist())
