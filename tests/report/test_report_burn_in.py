"""The section of the report on burn-in."""

import pytest
from evo2_embed.report.burn_in import burn_in, recommendation


def measured(settled):
    edges = [0, 32, 64, 96]
    curve = {"cosine": [[0.1, 0.5, 0.9], [0.5, 0.9, 1], [0.96, 0.991, 1]], "apart": [-1, 0.0, 1]}
    layer = {"raw": curve, "centred": curve}
    place = {"genome": "g", "contig": "<b>", "start": 0, "end": 384, "strand": "+", "row": 32}
    return {
        "reason": None,
        "place": {**place, "starts": 3, "stretch": 96},
        "settled_at": [0.95, 0.99],
        "edges": edges,
        "layers": {name: {**layer, "settled": bases} for name, bases in settled.items()},
    }


@pytest.mark.parametrize(
    ("settled", "said"),
    [
        ({"norm": 64}, "Embeddings of norm are settled after 64 bases. Set windows.context"),
        ({"a": 32, "b": 64}, "leave the first bases of a sequence out: skip_first: 64."),
        ({"a": 32, "b": 64}, "of all layers are settled after 64 bases (b last)."),
        ({"a": None, "b": 64}, "Embeddings of a still change after 96 bases of context"),
        ({"a": None, "b": 64}, "Embeddings of the others are settled after 64 bases"),
        ({"a": None}, "measure further (burn_in.length)."),
        ({"a": 0}, "Embeddings of a are settled from the first base on."),
        (dict.fromkeys("abcde"), "Embeddings of a, b, c and 2 more still change"),
    ],
)
def test_the_report_recommends_what_was_measured(settled, said):
    record = measured(settled)
    assert said in recommendation(record)
    page = burn_in("default", record)
    assert 'id="how-much-context--default"' in page
    assert "<b>" not in page
    assert all(f"<td>{layer}</td>" in page for layer in settled)
    assert ("not within 96" in page) == (None in settled.values())


def test_many_layers_have_colours_by_depth():
    page = burn_in("many", measured({f"blocks.{number}": 64 for number in range(32)}))
    assert "Colours go from the first layer to the last" in page


def test_without_a_measurement_the_report_gives_the_reason_or_nothing():
    assert burn_in("default", None) == ""
    page = burn_in("default", {"reason": "the longest contig, 'c' of g, has 500 bases"})
    assert "Not measured: the longest contig, &#x27;c&#x27; of g, has 500 bases." in page
