"""An image is known by its values, whatever array or file holds them."""

import os
import pickle

import h5py
import keras
import numpy as np
import pytest
from builders import linear
from PIL import Image

from skimgcv import AugmentedKerasClassifier, ImageArray, ImageAugmenter, ImageFiles
from skimgcv._data import rows as rows_module
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


def write_files(folder):
    paths = [folder / f"{i}.png" for i in range(len(IMAGES))]
    for path, image in zip(paths, IMAGES, strict=True):
        Image.fromarray(image).save(path)
    return paths


def test_rows_read_each_image_once(tmp_path):
    files = ImageFiles(write_files(tmp_path), (5, 4))
    for X in (IMAGES, ImageArray(IMAGES), files):
        rows = Rows.of(X, image_shape=None, name="Clf")
        np.testing.assert_array_equal(
            rows.digests(np.array([3, 1, 3])), digests(IMAGES)[[3, 1, 3]]
        )
        np.testing.assert_array_equal(rows.digests(np.arange(9)), digests(IMAGES))


@pytest.fixture
def digested(monkeypatch):
    """Count the images that digests are computed of."""
    counts = []
    monkeypatch.setattr(rows_module, "digests", lambda a: counts.append(len(a)) or digests(a))
    return counts


def rows_of(X):
    return Rows.of(X, image_shape=None, name="Clf")


def memory_map(folder, mode):
    np.save(folder / "images.npy", IMAGES)
    return np.load(folder / "images.npy", mmap_mode=mode)


def hdf5(folder, mode):
    with h5py.File(folder / "images.h5", "w") as file:
        file["images"] = IMAGES
    return h5py.File(folder / "images.h5", mode)["images"]


@pytest.mark.parametrize("kind", [memory_map, hdf5])
def test_digests_of_an_array_that_is_read_only_are_kept(kind, tmp_path, digested):
    X = ImageArray(kind(tmp_path, "r"))
    rows_of(X[3:]).digests(np.arange(4))
    again = pickle.loads(pickle.dumps(X))[::-1]
    np.testing.assert_array_equal(rows_of(again).digests(np.arange(9)), digests(IMAGES)[::-1])
    assert sum(digested) == 9


def test_digests_of_zarr_are_kept_where_it_is_read_only(tmp_path, digested):
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    zarr.save_array(str(tmp_path / "images.zarr"), IMAGES)
    for mode, n_found in (("r", 9), ("r+", 18)):
        X = ImageArray(zarr.open_array(str(tmp_path / "images.zarr"), mode=mode))
        del digested[:]
        for part in (X, X[::-1]):
            rows_of(part).digests(np.arange(9))
        assert sum(digested) == n_found
        found = rows_of(pickle.loads(pickle.dumps(X[3:]))).digests(np.arange(6))
        np.testing.assert_array_equal(found, digests(IMAGES[3:]))


@pytest.mark.parametrize("kind", [memory_map, hdf5])
def test_digests_of_an_array_that_can_be_written_are_not(kind, tmp_path):
    source = kind(tmp_path, "r+")
    rows_of(ImageArray(source)).digests(np.arange(9))
    source[2] = 7
    found = rows_of(ImageArray(source)).digests(np.arange(9))
    np.testing.assert_array_equal(found, digests(np.asarray(source[:])))
    assert (found[2] != digests(IMAGES)[2]).all()


def test_digests_of_another_file_of_the_name_are_its_own(tmp_path):
    rows_of(ImageArray(memory_map(tmp_path, "r"))).digests(np.arange(9))
    np.save(tmp_path / "other.npy", IMAGES[::-1])
    os.replace(tmp_path / "other.npy", tmp_path / "images.npy")
    found = rows_of(ImageArray(np.load(tmp_path / "images.npy", mmap_mode="r")))
    np.testing.assert_array_equal(found.digests(np.arange(9)), digests(IMAGES[::-1]))


def test_digests_of_files_are_kept_until_they_change(tmp_path, digested):
    paths = write_files(tmp_path)
    X = ImageFiles(paths, (5, 4), cache=None)
    rows_of(X[[1, 2]]).digests(np.arange(2))
    rows_of(ImageFiles(paths, (5, 4), cache=None)).digests(np.arange(9))
    assert sum(digested) == 9
    rows_of(ImageFiles(paths, (5, 4), color_mode="grayscale")).digests(np.arange(9))
    Image.fromarray(IMAGES[0]).save(paths[3])
    os.utime(paths[3], ns=(0, 12345))
    found = rows_of(X).digests(np.arange(9))
    assert sum(digested) == 19
    np.testing.assert_array_equal(found[3], digests(IMAGES)[0])


FIXED = keras.Sequential([keras.layers.Rescaling(1 / 255)])


@pytest.mark.parametrize(
    "augmenter",
    [
        None,
        ImageAugmenter(rescale=1 / 255),
        ImageAugmenter(rescale=1 / 255, rotation_range=20, p=0),
        FIXED,
        lambda image, rng: image / 255,
    ],
    ids=["none", "rescaling", "p=0", "Keras layers", "function"],
)
def test_no_image_is_read_for_digests_where_nothing_is_random(augmenter, digested):
    held_out = ImageAugmenter(rescale=1 / 255) if isinstance(augmenter, ImageAugmenter) else None
    clf = AugmentedKerasClassifier(linear, augmenter=augmenter, validation_augmenter=held_out)
    clf.set_params(validation_split=0.3, batch_size=4).fit(IMAGES, np.arange(9) % 2)
    assert digested == []


class Turning(ImageAugmenter):
    """Is random whatever its parameters are."""

    def prepare(self, images, table=None):
        return super().prepare(images if table is None else images[:, ::-1], table)


@pytest.mark.parametrize(
    "parameters",
    [
        {"augmenter": ImageAugmenter(horizontal_flip=True)},
        {"augmenter": Turning()},
        {"augmenter": ImageAugmenter(), "class_augmenters": {1: ImageAugmenter(zoom_range=0.1)}},
    ],
    ids=["flip", "subclass", "class"],
)
def test_each_image_is_digested_once_where_something_is(parameters, digested):
    clf = AugmentedKerasClassifier(linear, epochs=2, random_state=0, **parameters)
    clf.fit(IMAGES, np.arange(9) % 2)
    assert sum(digested) == 9
