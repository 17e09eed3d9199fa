"""Memory maps are read without filling memory, and without losing a change."""

import sys

import numpy as np
import psutil
import pytest
from builders import linear

from skimgcv import AugmentedKerasClassifier, ImageAugmenter
from skimgcv._data.rows import Rows

SHAPE = (2000, 64, 64, 3)


@pytest.fixture
def path(tmp_path):
    images = np.memmap(tmp_path / "images", np.uint8, "w+", shape=SHAPE)
    images[:] = np.arange(SHAPE[0], dtype=np.uint16)[:, None, None, None] % 251
    images.flush()
    return tmp_path / "images"


def mapped():
    return psutil.Process().memory_info().shared


def read_all(images):
    rows = Rows(images, images.shape[1:])
    for start in range(0, len(rows), 50):
        rows[np.arange(start, min(start + 50, len(rows)))]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts shared pages apart")
@pytest.mark.parametrize("view", [lambda m: m, lambda m: m[10:], np.asarray])
def test_pages_that_were_read_are_given_back(path, view):
    images = view(np.memmap(path, np.uint8, "r", shape=SHAPE))
    before = mapped()
    read_all(images)
    # 25 MB were read; 8 MB may be held, and the pages that the system reads around them.
    assert mapped() - before < 17e6


@pytest.mark.parametrize("mode", ["c", "r+"])
def test_a_map_that_was_written_to_keeps_what_was_written(path, mode):
    images = np.memmap(path, np.uint8, mode, shape=SHAPE)
    images[7] = 255
    read_all(images)
    assert (images[7] == 255).all()
    assert (images[8] == 8).all()


def test_a_fit_on_a_map_equals_one_on_an_array(path):
    images = np.memmap(path, np.uint8, "r", shape=SHAPE)[:300]
    est = AugmentedKerasClassifier(
        linear,
        augmenter=ImageAugmenter(featurewise_center=True, horizontal_flip=True),
        random_state=0,
    )
    y = np.arange(300) % 2
    weights = [est.fit(X, y).model_.get_weights() for X in (images, np.array(images))]
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)
