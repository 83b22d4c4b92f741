"""Random lengths of sequences, for property tests."""

import numpy as np
from hypothesis import strategies as st


def random_lengths(most, count, least=0):
    """A strategy for arrays of `least` to `count` lengths of up to `most`.

    A list of integers would be slower to draw. A small maximum gives many equal lengths.
    """

    def lengths(number, longest, seed):
        return np.random.default_rng(seed).integers(1, longest + 1, number)

    seeds = st.integers(0, 2**32 - 1)
    return st.builds(lengths, st.integers(least, count), st.integers(1, most), seeds)
