"""An image is known by its values, whatever array or file holds them."""

import numpy as np
import pytest
from PIL import Image

from skimgcv import ImageArray, ImageFiles
from skimgcv._data.digests import digests
from skimgcv._data.rows import Rows

IMAGES = np.random.default_rng(0).integers(0, 256, (9, 5, 4, 3)).astype(np.uint8)


@pytest.mark.parametrize("dtype", ["uint16", ">i4", "int64", "float32", "float64", "longdouble"])
def test_equal_values_have_equal_digests(dtype):
    np.testing.assert_array_equal(digests(IMAGES), digests(IMAGES.astype(dtype)))
    np.testing.assert_array_equal(digests(IMAGES), digests(np.asfortranarray(IMAGES)))


@pytest.mark.parametrize("dtype", ["float32", "float64", "longdouble"])
def test_equal_fractions_have_equal_digests(dtype):
    fractions = IMAGES / np.float32(8)
    np.testing.assert_array_equal(digests(fractions), digests(fractions.astype(dtype)))


@pytest.mark.parametrize("value", [1, 300, -1, 0.5, 1e-300])
def test_one_value_makes_another_digest(value):
    images = IMAGES.astype(float)
    images[4, 2, 1, 0] = 0
    images[4, 2, 1, 0] += value
    plain = IMAGES.copy()
    plain[4, 2, 1, 0] = 0
    differs = (digests(images) != digests(plain)).all(axis=1)
    assert differs.tolist() == [row == 4 for row in range(9)]


def test_all_are_different():
    assert len(np.unique(digests(IMAGES), axis=0)) == len(IMAGES)


def test_rows_read_each_image_once(tmp_path):
    for i, image in enumerate(IMAGES):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    files = ImageFiles(sorted(tmp_path.iterdir()), (5, 4))
    for X in (IMAGES, ImageArray(IMAGES), files):
        rows = Rows.of(X, image_shape=None, name="Clf")
        np.testing.assert_array_equal(
            rows.digests(np.array([3, 1, 3])), digests(IMAGES)[[3, 1, 3]]
        )
        np.testing.assert_array_equal(rows.digests(np.arange(9)), digests(IMAGES))
