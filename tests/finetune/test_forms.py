"""Rows of the training set, packed and padded, from a few segments."""

import numpy as np
import polars as pl
from evo2_embed.finetune.forms import packed_rows, padded_rows
from evo2_embed.finetune.segments import Segments


def test_packed_rows_hold_segments_that_do_not_predict_one_another():
    (table,) = packed_rows(three_segments(), [np.array([2, 0]), np.array([1])])
    assert table.to_pylist() == [
        {
            "input_ids": [65, 67, 71, 67, 71],
            "attention_mask": [1, 1, 1, 1, 1],
            "position_ids": [0, 1, 2, 0, 1],
            "cu_seqlens": [0, 3, 5],
            "labels": [-100, 67, 71, -100, 71],
            "genome": ["h", "g"],
            "contig": ["a", "a"],
            "start": [0, 0],
            "end": [3, 2],
            "strand": ["+", "-"],
        },
        {
            "input_ids": [84],
            "attention_mask": [1],
            "position_ids": [0],
            "cu_seqlens": [0, 1],
            "labels": [-100],
            "genome": ["g"],
            "contig": ["a"],
            "start": [1],
            "end": [2],
            "strand": ["+"],
        },
    ]


def test_padded_rows_are_of_one_width_and_pads_have_no_labels():
    (table,) = padded_rows(three_segments(), np.array([0, 2]), 4, 1)
    assert table.to_pylist() == [
        {
            "input_ids": [67, 71, 1, 1],
            "attention_mask": [1, 1, 0, 0],
            "position_ids": [0, 1, 2, 3],
            "labels": [-100, 71, -100, -100],
            "length": 2,
            **{"genome": "g", "contig": "a", "start": 0, "end": 2, "strand": "-"},
        },
        {
            "input_ids": [65, 67, 71, 1],
            "attention_mask": [1, 1, 1, 0],
            "position_ids": [0, 1, 2, 3],
            "labels": [-100, 67, 71, -100],
            "length": 3,
            **{"genome": "h", "contig": "a", "start": 0, "end": 3, "strand": "+"},
        },
    ]


def three_segments():
    keys = {
        "genome": ["g", "g", "h"],
        "contig": ["a", "a", "a"],
        "start": [0, 1, 0],
        "end": [2, 2, 3],
        "strand": ["-", "+", "+"],
    }
    tokens = np.frombuffer(b"CGTACG", np.uint8)
    return Segments(pl.DataFrame(keys), tokens, np.array([0, 2, 3, 6]))
