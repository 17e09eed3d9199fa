"""What holds for every image and every parameter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

from skimgcv._runtime import threads
from skimgcv._runtime.random_streams import stream
from skimgcv.augment import ImageAugmenter, _blocks

DTYPES = ["u1", "i1", "i2", "u2", "i4", "i8", "f2", "f4", "f8"]

# Derandomised: the same examples each time, so that a failure is there tomorrow as well.
examples = settings(max_examples=60, deadline=None, derandomize=True)


@st.composite
def batches(draw, dtypes=DTYPES, channels=(1, 2, 3, 4, 5, 13)):
    """Up to 7 images, also ones of a single pixel, read-only or every second row of others."""
    n, height, width = (draw(st.integers(1, most)) for most in (7, 17, 17))
    shape = (2 * n, height, width, draw(st.sampled_from(channels)))
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    images = (rng.random(shape) * (1 if dtype.kind == "f" and n % 2 else 120)).astype(dtype)
    images = images[::2] if draw(st.booleans()) else images[:n]
    images.flags.writeable = False
    return images


@st.composite
def augmenters(draw, color_images=False):
    def maybe(strategy):
        return st.one_of(st.none(), strategy)

    factors = maybe(st.sampled_from([(0.5, 1.5), (0.0, 0.8), (1.0, 3.0)]))
    parameters = {
        "rotation_range": draw(st.sampled_from([0, 20, 180])),
        "width_shift_range": draw(st.sampled_from([0.0, 0.3, 2, [-1, 4], 5.5])),
        "height_shift_range": draw(st.sampled_from([0.0, 0.9, 3])),
        "shear_range": draw(st.sampled_from([0.0, 30.0])),
        "zoom_range": draw(st.sampled_from([0.0, 0.4, (0.2, 6.0)])),
        "fill_mode": draw(st.sampled_from(["nearest", "reflect", "wrap", "constant"])),
        "interpolation_order": draw(st.sampled_from([0, 1, 1, 1, 3])),
        "horizontal_flip": draw(st.booleans()),
        "vertical_flip": draw(st.booleans()),
        "channel_shift_range": draw(st.sampled_from([0.0, 40.0])),
        "brightness_range": draw(factors),
        "contrast_range": draw(factors),
        "blur_sigma": draw(st.sampled_from([0.0, 1.5])),
        "noise_std": draw(st.sampled_from([0.0, 0.2])),
        "erasing_p": draw(st.sampled_from([0.0, 0.5])),
        "policy": draw(maybe(st.sampled_from(["RandAugment", "TrivialAugment"]))),
        "rescale": draw(maybe(st.just(1 / 255))),
        "samplewise_center": draw(st.booleans()),
        "p": draw(st.sampled_from([1.0, 0.5])),
    }
    if color_images:
        parameters |= {
            "saturation_range": draw(factors),
            "hue_range": draw(st.sampled_from([0.0, 0.3])),
            "jpeg_quality_range": draw(maybe(st.just((20, 90)))),
        }
    return ImageAugmenter(**parameters)


def check_everything(images, augmenter):
    before = images.copy()
    table = augmenter.draw(stream(1, "augment", 2), len(images), images.shape[1:])
    result = augmenter.apply(images, table)
    prepared = augmenter.prepare(images, table)

    assert_array_equal(images, before)
    assert not np.shares_memory(result, images)
    assert (result.shape, result.dtype) == (images.shape, images.dtype)
    assert (prepared.shape, prepared.dtype) == (images.shape, np.float32)
    assert np.isfinite(prepared).all()
    assert_array_equal(prepared, augmenter.standardize(result))

    one_by_one = [
        augmenter.prepare(images[k : k + 1], table[k : k + 1])[0] for k in range(len(images))
    ]
    assert_array_equal(prepared, one_by_one)
    again = augmenter.draw(stream(1, "augment", 2), len(images), images.shape[1:])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "thread_count", lambda: 3)
        patch.setattr(_blocks, "SMALLEST_SHARE_BYTES", 1)
        patch.setattr(_blocks, "BLOCK_BYTES", 1)
        assert_array_equal(augmenter.prepare(images, again), prepared)


@examples
@given(batches(), augmenters())
def test_any_images_and_parameters(images, augmenter):
    check_everything(images, augmenter)


@examples
@given(batches(dtypes=["u1", "f4"], channels=(3,)), augmenters(color_images=True))
def test_any_colour_images_and_parameters(images, augmenter):
    check_everything(images, augmenter)


@examples
@given(batches(), st.sampled_from([0, 1, 4]), st.booleans())
def test_parameters_that_are_off_give_the_identical_image(images, order, explicitly):
    parameters = {"zoom_range": (1, 1), "brightness_range": (1, 1)} if explicitly else {}
    augmenter = ImageAugmenter(interpolation_order=order, **parameters)
    table = augmenter.draw(np.random.default_rng(0), len(images), images.shape[1:])
    assert_array_equal(augmenter.apply(images, table), images)
    assert_array_equal(augmenter.prepare(images, table), images.astype(np.float32))


@examples
@given(batches(), st.sampled_from([0, 1, 4]))
def test_flips_are_exact(images, order):
    augmenter = ImageAugmenter(horizontal_flip=True, vertical_flip=True, interpolation_order=order)
    table = augmenter.draw(np.random.default_rng(0), len(images), images.shape[1:])
    for image, row, result in zip(images, table, augmenter.apply(images, table), strict=True):
        expected = image[:, ::-1] if row["flip_horizontal"] else image
        assert_array_equal(result, expected[::-1] if row["flip_vertical"] else expected)


@examples
@given(batches(), augmenters(), st.sampled_from(["nearest", "reflect", "wrap"]))
def test_geometry_invents_no_values(images, augmenter, fill_mode):
    kept = ("rotation_range", "width_shift_range", "height_shift_range", "zoom_range")
    geometry = {name: getattr(augmenter, name) for name in kept}
    order = min(augmenter.interpolation_order, 1)
    plain = ImageAugmenter(**geometry, fill_mode=fill_mode, interpolation_order=order)
    table = plain.draw(np.random.default_rng(0), len(images), images.shape[1:])
    result = plain.apply(images, table)
    for image, moved in zip(images, result, strict=True):
        slack = 1e-6 * float(np.abs(image).max()) if image.dtype.kind == "f" else 0
        assert moved.min() >= image.min() - slack  # float32 holds seven digits
        assert moved.max() <= image.max() + slack


@examples
@given(
    hnp.arrays(np.uint8, (2, 5, 5, 3)),
    st.floats(0, 4, allow_nan=False),
    st.floats(-300, 300, allow_nan=False),
)
def test_bright_and_shifted_values_never_wrap_around(images, factor, intensity):
    result = ImageAugmenter().apply_transform(
        images[0], {"brightness": factor, "channel_shift_intensity": intensity}
    )
    exact = np.clip(images[0] + intensity, images[0].min(), images[0].max()) * factor
    # Where the shift is clipped, the extreme is met to half a level, times the factor.
    bound = 0.5 + 0.5 * factor + 1e-3
    assert np.abs(result - np.clip(exact, 0, 255)).max() <= bound


@pytest.mark.parametrize("dtype", [bool, complex, "U3", object])
def test_other_types_are_refused(dtype):
    images = np.zeros((1, 3, 3, 1), dtype)
    augmenter = ImageAugmenter(rotation_range=5)
    table = augmenter.draw(np.random.default_rng(0), 1, (3, 3, 1))
    with pytest.raises(TypeError, match="images need an integer or floating dtype"):
        augmenter.apply(images, table)


def test_a_table_of_other_images_is_refused():
    augmenter = ImageAugmenter()
    table = augmenter.draw(np.random.default_rng(0), 3, (4, 4, 1))
    with pytest.raises(ValueError, match="got 2 images and 3 rows"):
        augmenter.apply(np.zeros((2, 4, 4, 1)), table)


def test_one_image_is_no_batch():
    with pytest.raises(ValueError, match=r"need the shape \(n, height, width, channels\)"):
        ImageAugmenter().prepare(np.zeros((4, 4)))


@pytest.mark.parametrize(
    "call",
    [
        lambda augmenter, image: augmenter.random_transform(image, seed=0),
        lambda augmenter, image: augmenter.apply_transform(image, {"theta": 9}),
        lambda augmenter, image: augmenter.get_random_transform(image.shape, seed=0),
        lambda augmenter, image: augmenter.draw(np.random.default_rng(0), 2, image.shape),
        lambda augmenter, image: augmenter.standardize(image),
        lambda augmenter, image: augmenter.prepare(image),
        lambda augmenter, image: augmenter.fit(image[None]),
        lambda augmenter, image: augmenter.flow(image[None]),
        lambda augmenter, image: augmenter.apply(image[None], np.zeros(1)),
        lambda augmenter, image: augmenter.mix(image[None], image[None], np.zeros(1)),
    ],
)
def test_grey_images_without_channels_are_told_how_to_get_them(call):
    with pytest.raises(ValueError, match=r"\[\.\.\., None\]"):
        call(ImageAugmenter(rotation_range=20), np.zeros((8, 6)))


def test_channels_first_gets_its_own_words():
    first = ImageAugmenter(rotation_range=20, data_format="channels_first")
    with pytest.raises(ValueError, match=r"\(channels, height, width\), got .*image\[None\]"):
        first.random_transform(np.zeros((8, 6)))
    with pytest.raises(ValueError, match=r"images\[:, None\]"):
        first.apply(np.zeros((2, 8, 6)), np.zeros(2))


def test_no_images_are_a_batch():
    augmenter = ImageAugmenter(rotation_range=5)
    nothing = np.empty((0, 4, 4, 3), np.uint8)
    table = augmenter.draw(np.random.default_rng(0), 0, (4, 4, 3))
    assert augmenter.prepare(nothing, table).shape == nothing.shape


def test_the_epoch_decides_and_not_the_order_of_calls(small_photos):
    augmenter = ImageAugmenter(rotation_range=40, brightness_range=(0.5, 1.5))
    table = augmenter.draw(stream(0, "augment", 0), 24, (12, 12, 3))
    whole = augmenter.prepare(small_photos, table)
    for size in (1, 5, 7, 24):
        starts = list(range(0, 24, size))[::-1]
        parts = {
            s: augmenter.prepare(small_photos[s : s + size], table[s : s + size]) for s in starts
        }
        assert_array_equal(np.concatenate([parts[s] for s in sorted(parts)]), whole)


def test_channels_first_is_the_same_image(small_photos):
    parameters = {
        "rotation_range": 30,
        "width_shift_range": 0.2,
        "rescale": 1 / 255,
        "featurewise_center": True,
        "preprocessing_function": lambda image: image - image.mean(axis=(0, 1), keepdims=True),
    }
    last = ImageAugmenter(**parameters).fit(small_photos)
    # Keras gives the function images in their own order of axes.
    parameters["preprocessing_function"] = lambda image: (
        image - image.mean(axis=(1, 2), keepdims=True)
    )
    first_photos = np.ascontiguousarray(np.moveaxis(small_photos, 3, 1))
    first = ImageAugmenter(**parameters, data_format="channels_first").fit(first_photos)
    table = last.draw(stream(0, "augment", 0), 24, (12, 12, 3))
    assert_array_equal(table, first.draw(stream(0, "augment", 0), 24, (3, 12, 12)))
    result = first.prepare(first_photos, table)
    # The function's means add up in another order.
    np.testing.assert_allclose(
        np.moveaxis(result, 1, 3), last.prepare(small_photos, table), atol=1e-6
    )
