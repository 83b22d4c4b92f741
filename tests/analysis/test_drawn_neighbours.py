"""Nearest neighbours among the rows of a figure."""

import numpy as np
import pytest
from evo2_embed.analysis import neighbours

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("group", [2, 3, 128])
@pytest.mark.parametrize("block", [1, 5 * 4 * 60, 1 << 20])
def test_neighbours_are_those_of_all_cosines_of_centred_vectors(monkeypatch, block, group):
    monkeypatch.setattr(neighbours, "_BLOCK_BYTES", block)
    monkeypatch.setattr(neighbours, "_GROUP", group)
    vectors = RNG.normal(3, 1, (60, 16)).astype(np.float32)
    ids, cosines = neighbours.nearest(vectors, 10)
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    every = centred @ centred.T
    np.fill_diagonal(every, -2)
    wanted = np.argsort(-every, axis=1)[:, :10]
    assert np.array_equal(ids, wanted)
    np.testing.assert_allclose(cosines, np.take_along_axis(every, wanted, 1), atol=1e-5)


def test_equal_vectors_have_neighbours_in_their_order_and_few_rows_have_few():
    vectors = np.repeat(np.eye(2, dtype=np.float32), 3, axis=0)
    ids, cosines = neighbours.nearest(vectors, 2)
    assert ids.tolist() == [[1, 2], [0, 2], [0, 1], [4, 5], [3, 5], [3, 4]]
    assert np.allclose(cosines, 1)
    assert neighbours.nearest(vectors[:3], 10)[0].shape == (3, 2)
    assert neighbours.nearest(vectors[:3], 10)[1].tolist() == [[0, 0]] * 3
    assert neighbours.nearest(vectors[:1], 10)[0].shape == (1, 0)
