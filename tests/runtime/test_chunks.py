"""Rows are cut as scikit-learn cuts them, in pieces that fit into a few megabytes."""

import pytest
from sklearn.utils import gen_batches

from skimgcv._runtime.chunks import CHUNK_BYTES, chunks, slices


@pytest.mark.parametrize(("n", "step"), [(1, 3), (6, 3), (7, 3), (7, 9)])
def test_slices_are_those_of_scikit_learn(n, step):
    assert list(slices(n, step)) == list(gen_batches(n, step))


def test_nothing_has_no_slice():
    assert list(slices(0, 3)) == list(chunks(0, 5)) == []  # gen_batches refuses it


@pytest.mark.parametrize("row_bytes", [0, 1, 1000, CHUNK_BYTES // 2, CHUNK_BYTES * 3])
def test_a_chunk_takes_a_few_megabytes_or_is_a_row(row_bytes):
    cut = list(chunks(20_000, row_bytes))
    assert [row for rows in cut for row in range(rows.start, rows.stop)] == list(range(20_000))
    rows = cut[0].stop
    assert rows == 1 or rows * row_bytes <= CHUNK_BYTES
    assert rows == 20_000 or (rows + 1) * row_bytes > CHUNK_BYTES
