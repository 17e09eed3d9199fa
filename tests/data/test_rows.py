"""Rows of images are read when asked for, in a plain dtype, and never copied whole."""

import tracemalloc

import numpy as np
import pytest

from skimgcv._data.rows import Rows, RowSubset


class Reads(np.ndarray):
    """An array that notes how many rows each read takes."""

    taken = ()

    def __array_finalize__(self, parent):
        self.taken = getattr(parent, "taken", ())

    def __getitem__(self, key):
        part = super().__getitem__(key)
        if isinstance(part, np.ndarray):
            self.taken.append(len(part))
        return part


def recording(array):
    view = array.view(Reads)
    view.taken = []
    return view


def test_a_row_is_given_its_channel_axis():
    X = np.arange(24.0).reshape(2, 3, 4)
    images = Rows(X, (3, 4, 1))
    assert images.shape == (2, 3, 4, 1)
    assert not images.is_table
    np.testing.assert_array_equal(images[np.array([1])][0, :, :, 0], X[1])


def test_flat_rows_are_read_row_by_row_as_numpy_reshapes_them():
    X = np.arange(48).reshape(2, 24)
    images = Rows(X, (2, 4, 3))
    assert images.is_table
    np.testing.assert_array_equal(images[np.array([0, 1])], X.reshape(2, 2, 4, 3))


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("bool", "uint8"),
        ("uint8", "uint8"),
        ("int16", "int16"),
        (">i2", "int16"),
        ("int64", "int64"),
        ("float16", "float32"),
        ("float32", "float32"),
        (">f4", "float32"),
        (">f8", "float64"),
        ("longdouble", "float64"),
    ],
)
def test_values_are_kept_in_a_native_dtype_that_image_libraries_know(given, read):
    X = np.array([[[[0]], [[1]]]], dtype=given)
    images = Rows(X, (2, 1, 1))
    assert images.dtype == images[np.array([0])].dtype == np.dtype(read)
    assert images.dtype.isnative
    np.testing.assert_array_equal(images[np.array([0])], X.astype(read))


@pytest.mark.parametrize("change", [np.asfortranarray, lambda a: a[:, ::-1], lambda a: a[::2]])
def test_any_memory_layout_reads_the_same_pixels(change):
    X = change(np.arange(6 * 4 * 5 * 3).reshape(6, 4, 5, 3))
    rows = np.array([2, 0])
    np.testing.assert_array_equal(Rows(X, X.shape[1:])[rows], X[rows])


def test_subset_counts_in_its_own_rows():
    images = Rows(np.arange(10.0).reshape(10, 1, 1, 1), (1, 1, 1))
    subset = RowSubset(images, np.array([7, 3, 5]))
    assert len(subset) == 3
    assert subset.shape == (3, 1, 1, 1)
    assert subset.dtype == images.dtype
    assert subset[np.array([0, 2])].ravel().tolist() == [7, 5]
    assert subset[1:].ravel().tolist() == [3, 5]


def test_chunks_cover_all_rows_in_order_a_few_megabytes_each():
    X = recording(np.arange(40 * 2**20 // 4, dtype=np.float32).reshape(40, 512, 512, 1))
    parts = [part[:, 0, 0, 0].copy() for part in Rows(X, (512, 512, 1)).chunks()]
    np.testing.assert_array_equal(np.concatenate(parts), np.asarray(X)[:, 0, 0, 0])
    assert max(map(len, parts)) == 8  # a row is a megabyte


def test_a_huge_image_is_a_chunk_of_its_own():
    X = np.zeros((2, 3000, 3001, 1), np.uint8)
    assert [len(part) for part in Rows(X, X.shape[1:]).chunks()] == [1, 1]


def test_reading_a_few_rows_of_a_memory_map_takes_the_memory_of_a_few_rows(tmp_path):
    path = tmp_path / "X.npy"
    stored = np.lib.format.open_memmap(path, "w+", np.uint8, (64, 128, 128, 4))
    stored[:] = 7
    images = Rows(np.load(path, mmap_mode="r"), (128, 128, 4))
    tracemalloc.start()
    try:
        read = images[np.array([60, 1])]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert read.sum() == 2 * 7 * 65536
    assert peak < 4 * 65536  # two rows, and NumPy's own odds and ends: X is 64
