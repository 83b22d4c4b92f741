"""Heat map and tree of genomes."""

import json
import re

import numpy as np
import pytest
from evo2_embed.report import similarity

RNG = np.random.default_rng(1)


def drawn(page):
    """Tree and heat map of a page."""
    tree, heatmap = json.loads(re.search('json">(.*?)</script>', page)[1])["data"]
    return tree, heatmap


def test_genomes_of_a_group_are_neighbours_and_branches_meet_their_rows():
    groups = np.arange(12) % 3
    vectors = 50 + RNG.normal(size=(3, 20))[groups] * 5 + RNG.normal(size=(12, 20))
    names = [f"{'abc'[group]}{number}" for number, group in enumerate(groups)]
    page = similarity.figure(names, vectors)
    tree, heatmap = drawn(page)
    order = [row[0].split(",")[0] for row in heatmap["text"]]
    assert sorted(order) == sorted(names)
    assert len(
        re.findall("a+b+c+|a+c+b+|b+a+c+|b+c+a+|c+a+b+|c+b+a+", "".join(n[0] for n in order))
    )
    z = np.array(heatmap["z"])
    centred = vectors - vectors.mean(axis=0)
    one, two = (centred[names.index(order[place])] for place in (0, 1))
    cosine = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
    assert z[0, 1] == pytest.approx(cosine, abs=1e-3)
    assert np.array_equal(z, z.T)
    # Each leaf of the tree is at the height of its row.
    ends = {y for x, y in zip(tree["x"], tree["y"], strict=True) if x == 0}
    assert ends == set(range(12))


def test_genomes_without_a_direction_are_left_out():
    vectors = np.stack([np.ones(4), np.ones(4), np.ones(4)])
    assert "fewer than three genomes" in similarity.figure(list("abc"), vectors)
    page = similarity.figure(list("abcd"), np.array([[3.0, 0], [0, 3], [-3, -3], [0, 0]]))
    assert "1 genome(s) whose vector is the mean of all are left out" in page
    assert len(drawn(page)[1]["z"]) == 3


def test_names_are_escaped_and_left_out_where_they_do_not_fit():
    vectors = RNG.normal(size=(70, 5))
    page = similarity.figure(["<b>"] * 70, vectors)
    assert drawn(page)[1]["text"] is None
    assert "&lt;b&gt;" in str(drawn(similarity.figure(["<b>"] * 5, vectors[:5])))
