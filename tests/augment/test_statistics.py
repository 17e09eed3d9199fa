"""Statistics against NumPy, in one pass, and without loading what does not fit."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skimgcv._runtime import chunks
from skimgcv.augment import ImageAugmenter, _statistics


class Watched:
    """An array that only gives slices, and remembers how large they were."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.largest, self.read = 0, 0

    def __len__(self):
        return len(self.array)

    def __getitem__(self, key):
        assert isinstance(key, slice)
        part = self.array[key]
        self.largest, self.read = max(self.largest, part.nbytes), self.read + len(part)
        return part


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 20_000)


FEATUREWISE = {"featurewise_center": True, "featurewise_std_normalization": True}


@pytest.mark.usefixtures("small_chunks")
def test_reads_each_image_once_in_small_slices(small_photos):
    images = Watched(np.concatenate([small_photos] * 5))
    augmenter = ImageAugmenter(**FEATUREWISE).fit(images)
    assert images.read == len(images)
    assert images.largest <= 20_000 / 8
    # One pass in chunks gives what NumPy gives of all at once.
    assert_allclose(augmenter.mean_, images.array.mean(axis=(0, 1, 2)), rtol=1e-13)
    assert_allclose(augmenter.std_, images.array.std(axis=(0, 1, 2)), rtol=1e-13)


def test_reads_nothing_where_nothing_is_to_learn(small_photos):
    images = Watched(small_photos)
    augmenter = ImageAugmenter(rotation_range=5, samplewise_center=True).fit(images)
    assert images.read == 0
    assert augmenter.mean_ is None


@pytest.mark.parametrize(
    "before",
    [
        {},
        {"rescale": 1 / 255},
        {"preprocessing_function": lambda image: image**1.5, "rescale": 0.1},
        {"samplewise_std_normalization": True},
        {"preprocessing_function": np.sqrt, "samplewise_center": True, "rescale": 3},
    ],
    ids=["plain", "rescaled", "preprocessed", "samplewise", "all"],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_standardised_training_rows_have_mean_0_and_deviation_1(small_photos, before, dtype):
    images = small_photos.astype(dtype)
    result = ImageAugmenter(**FEATUREWISE, **before).fit(images).standardize(images)
    # Float32 sums of 3,456 values, and the 1e-6 that Keras adds to deviations.
    assert_allclose(result.mean(axis=(0, 1, 2), dtype=float), 0, atol=1e-5)
    assert_allclose(result.std(axis=(0, 1, 2), dtype=float), 1, atol=1e-4)


@pytest.mark.usefixtures("small_chunks")
def test_whitened_training_rows_are_uncorrelated():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(27, 27))
    images = (rng.normal(size=(500, 27)) @ mixing).reshape(500, 3, 3, 3)
    augmenter = ImageAugmenter(zca_whitening=True).fit(images)
    white = augmenter.standardize(images).reshape(500, 27).astype(float)
    # Float32 products, of numbers whose scales differ by a thousand.
    assert_allclose(white.T @ white / 500, np.eye(27), atol=5e-3)
    # By NumPy's singular values, as Keras works the matrix out.
    flat = (images - images.mean(axis=(0, 1, 2))).reshape(500, -1)
    u, s, _ = np.linalg.svd(flat.T, full_matrices=False)
    expected = (u * (np.sqrt(500) / (s + 1e-6))) @ u.T
    assert_allclose(augmenter.zca_whitening_matrix_, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("n", [1, 7, 47, 48, 49, 200])
@pytest.mark.parametrize("repeats", [1, 3])
def test_whitening_is_keras_formula_with_fewer_rows_than_values_too(n, repeats):
    rng = np.random.default_rng(n)
    mixing = rng.normal(size=(48, 48))
    images = (rng.normal(size=(n, 48)) @ mixing).reshape(n, 4, 4, 3).repeat(repeats, axis=0)
    augmenter = ImageAugmenter(zca_whitening=True, dtype="float64").fit(images)
    flat = (images - images.mean(axis=(0, 1, 2))).reshape(len(images), -1)
    u, s, _ = np.linalg.svd(flat.T, full_matrices=False)
    # Directions without any variance, which Keras multiplies by a million.
    u, s = u[:, s > 1e-6 * s[0]], s[s > 1e-6 * s[0]]
    expected = (u * (np.sqrt(len(images)) / (s + 1e-6))) @ u.T
    result = augmenter.zca_whitening_matrix_
    # Held in float32, which rounds to 6e-8 of a value.
    assert_allclose(result, expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())


def test_whitening_of_few_large_images_takes_the_memory_of_its_result(monkeypatch):
    # 4 GiB: of the 12,288 values of an image all products would take 4.5 GiB.
    monkeypatch.setattr(_statistics, "total_bytes", lambda: 4 * 2**30)
    _statistics.check_whitening_fits(30, (64, 64, 3))
    with pytest.raises(MemoryError, match=r"4\.5 GiB of memory"):
        _statistics.check_whitening_fits(20_000, (64, 64, 3))


def test_a_whitened_image_does_not_depend_on_its_companions(small_photos):
    augmenter = ImageAugmenter(zca_whitening=True).fit(small_photos)
    whole = augmenter.standardize(small_photos)
    for k in (0, 7, 23):
        assert_array_equal(augmenter.standardize(small_photos[k : k + 1])[0], whole[k])
        assert_array_equal(augmenter.standardize(small_photos[k]), whole[k])
    assert_array_equal(augmenter.standardize(small_photos[::-1])[::-1], whole)


def test_whitening_refuses_what_does_not_fit_the_memory(monkeypatch):
    monkeypatch.setattr(_statistics, "total_bytes", lambda: 64 * 2**30)
    images = Watched(np.broadcast_to(np.uint8(0), (10, 224, 224, 3)))
    with pytest.raises(MemoryError, match=r"150528 x 150528 values and 84\.\d GiB of memory"):
        ImageAugmenter(zca_whitening=True).fit(images)
    assert images.read == 0


def test_whitening_takes_the_place_of_deviations(small_photos):
    augmenter = ImageAugmenter(zca_whitening=True, **FEATUREWISE).fit(small_photos)
    assert augmenter.std_ is None
    assert augmenter.mean_ is not None


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"featurewise_center": True}, "mean_"),
        ({"featurewise_std_normalization": True}, "mean_"),
        ({"zca_whitening": True}, "mean_"),
    ],
)
def test_standardising_before_fit_says_so(small_photos, parameters, name):
    augmenter = ImageAugmenter(**parameters)
    with pytest.raises(NotFittedError, match=f"`{name}` of the training rows"):
        augmenter.standardize(small_photos)
    copy = clone(augmenter.fit(small_photos))
    with pytest.raises(NotFittedError):
        copy.standardize(small_photos)


@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (5, 4, 4), (3, 0, 4, 1)])
def test_fit_says_which_shape_it_needs(shape):
    with pytest.raises(ValueError, match=r"at least one image, as an array \(n, height"):
        ImageAugmenter().fit(np.zeros(shape))


def test_lists_of_images_are_images(small_photos):
    augmenter = ImageAugmenter(**FEATUREWISE)
    assert_array_equal(
        clone(augmenter).fit(list(small_photos)).mean_, augmenter.fit(small_photos).mean_
    )


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_prepared_images_have_the_dtype_asked_for(small_photos, dtype):
    augmenter = ImageAugmenter(dtype=dtype, samplewise_std_normalization=True, rotation_range=5)
    table = augmenter.draw(np.random.default_rng(0), 24, (12, 12, 3))
    result = augmenter.prepare(small_photos, table)
    assert result.dtype == dtype
    # Sums over an image of half precision would not be finite.
    assert_allclose(result.std(axis=(1, 2, 3), dtype=float), 1, atol=2e-3)


def test_statistics_of_half_precision_are_not_taken_in_it(small_photos):
    augmenter = ImageAugmenter(dtype="float16", rescale=300, **FEATUREWISE).fit(small_photos)
    assert_allclose(augmenter.mean_, 300 * small_photos.mean(axis=(0, 1, 2)), rtol=1e-6)
    result = augmenter.standardize(small_photos).astype(float)
    assert_allclose(result.std(axis=(0, 1, 2)), 1, atol=2e-3)


def test_preprocessing_gets_its_own_writable_float_image(small_photos):
    seen = []

    def preprocess(image):
        seen.append((image.shape, image.dtype))
        image[:] = 1
        return image

    augmenter = ImageAugmenter(preprocessing_function=preprocess)
    before = small_photos.copy()
    assert np.all(augmenter.standardize(small_photos) == 1)
    assert_array_equal(small_photos, before)
    floats = small_photos.astype(np.float32)
    augmenter.standardize(floats)
    assert_array_equal(floats, before)
    assert set(seen) == {((12, 12, 3), np.dtype(np.float32))}


def test_preprocessing_must_keep_the_shape(small_photos):
    augmenter = ImageAugmenter(preprocessing_function=lambda image: image[::2])
    with pytest.raises(ValueError, match=r"of the shape \(12, 12, 3\).*returned \(6, 12, 3\)"):
        augmenter.standardize(small_photos)
