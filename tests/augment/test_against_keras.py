"""ImageAugmenter against Keras' ImageDataGenerator, and where that one is wrong."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from samples import WITHIN_A_LEVEL
from tensorflow.keras.preprocessing.image import ImageDataGenerator

from skimgcv._runtime.random_streams import stream
from skimgcv.augment import ImageAugmenter

# SciPy announces that Keras calls it by a name which will go.
pytestmark = pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")

ALONE = {
    "rotation_range": {"theta": 33.0},
    "width_shift_range": {"tx": 12.4},
    "height_shift_range": {"ty": -20.7},
    "shear_range": {"shear": 14.0},
    "zoom_range": {"zx": 0.8, "zy": 1.3},
    "channel_shift_range": {"channel_shift_intensity": -31.6},
    "brightness_range": {"brightness": 1.37},
    "horizontal_flip": {"flip_horizontal": True},
    "vertical_flip": {"flip_vertical": True},
}


def of_keras(image, parameters, fill_mode):
    generator = ImageDataGenerator(fill_mode=fill_mode)
    return generator.apply_transform(image.astype(np.float32), parameters)


def share_within_a_level(image, parameters, fill_mode, expected):
    result = ImageAugmenter(fill_mode=fill_mode).apply_transform(image, parameters)
    return np.mean(np.abs(result - expected) <= 1)


@pytest.mark.parametrize("fill_mode", ["nearest", "reflect"])
@pytest.mark.parametrize("name", ALONE)
def test_each_parameter_alone(photos, name, fill_mode):
    for image in photos[:2]:
        expected = of_keras(image, ALONE[name], fill_mode)
        assert share_within_a_level(image, ALONE[name], fill_mode, expected) >= WITHIN_A_LEVEL


def combinations(photos):
    augmenter = ImageAugmenter(
        rotation_range=60,
        width_shift_range=0.3,
        height_shift_range=0.3,
        shear_range=20,
        zoom_range=0.4,
        channel_shift_range=60.0,
        brightness_range=(0.4, 1.6),
        horizontal_flip=True,
        vertical_flip=True,
    )
    for seed in range(200):
        parameters = augmenter.get_random_transform((64, 64, 3), seed=seed)
        yield photos[seed % 4, :64, :64], parameters, ["nearest", "reflect"][seed // 4 % 2]


def test_200_random_combinations(photos):
    for image, parameters, fill_mode in combinations(photos):
        parameters["brightness"] = None
        expected = of_keras(image, parameters, fill_mode)
        assert share_within_a_level(image, parameters, fill_mode, expected) >= WITHIN_A_LEVEL, (
            parameters
        )


def test_200_random_combinations_with_brightness(photos):
    """Times the factor: Keras cuts values off to whole levels, before and after it."""
    for image, parameters, fill_mode in combinations(photos):
        moved = of_keras(image, {**parameters, "brightness": None}, fill_mode)
        expected = np.rint(np.clip(moved * parameters["brightness"], 0, 255))
        assert share_within_a_level(image, parameters, fill_mode, expected) >= WITHIN_A_LEVEL, (
            parameters
        )


def test_random_transform_is_draw_and_apply(photos):
    augmenter = ImageAugmenter(rotation_range=30, horizontal_flip=True)
    parameters = augmenter.get_random_transform(photos[0].shape, seed=4)
    assert list(parameters) == [
        "theta",
        "tx",
        "ty",
        "shear",
        "zx",
        "zy",
        "flip_horizontal",
        "flip_vertical",
        "channel_shift_intensity",
        "brightness",
    ]
    assert parameters["brightness"] is None
    assert_array_equal(
        augmenter.random_transform(photos[0], seed=4),
        augmenter.apply_transform(photos[0], parameters),
    )
    assert parameters != augmenter.get_random_transform(photos[0].shape)


@pytest.mark.parametrize(
    ("shape", "hint"), [((8, 8), r"\[\.\.\., None\]"), ((2, 8, 8, 3), "by flow")]
)
def test_what_is_not_one_image_is_refused_in_words(shape, hint):
    augmenter = ImageAugmenter(rotation_range=9)
    image = np.zeros(shape, np.uint8)
    for call in (
        lambda: augmenter.random_transform(image),
        lambda: augmenter.apply_transform(image, {"theta": 3}),
        lambda: augmenter.get_random_transform(shape),
    ):
        with pytest.raises(ValueError, match=f"an image needs the shape .*{hint}"):
            call()


def test_unknown_transform_parameters_are_named(photos):
    with pytest.raises(ValueError, match=r"no meaning for \['angle'\]; it needs some of"):
        ImageAugmenter().apply_transform(photos[0], {"angle": 3})


STANDARDISING = [
    {"rescale": 1 / 255},
    {"samplewise_center": True},
    {"samplewise_center": True, "samplewise_std_normalization": True},
    {"featurewise_center": True},
    {"featurewise_center": True, "featurewise_std_normalization": True, "rescale": 1 / 127},
    {"rescale": 1 / 255, "samplewise_center": True, "featurewise_center": True},
]


@pytest.mark.parametrize("parameters", STANDARDISING, ids=lambda p: "+".join(p))
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_standardises_as_keras_does(photos, parameters, data_format):
    images = photos if data_format == "channels_last" else np.moveaxis(photos, 3, 1)
    original = ImageDataGenerator(**parameters, data_format=data_format)
    # What is centred twice has another mean: Keras takes it before the first time.
    known = images - images.mean(axis=(1, 2, 3), keepdims=True)
    original.fit(known if parameters.get("samplewise_center") else images)
    augmenter = ImageAugmenter(**parameters, data_format=data_format).fit(images)
    expected = [original.standardize(image.astype(np.float32)) for image in images]
    result = augmenter.standardize(images)
    # Keras sums 36,864 values of up to 255 in float32, which is good to 1e-5 of them.
    atol = 1e-4 if "std" in "".join(parameters) else 5e-3
    assert_allclose(result, expected, rtol=1e-4, atol=atol)
    assert result.dtype == np.float32


def test_statistics_have_the_names_and_shapes_of_keras(photos):
    parameters = {"featurewise_std_normalization": True, "featurewise_center": True}
    original = ImageDataGenerator(**parameters)
    original.fit(photos)
    augmenter = ImageAugmenter(**parameters)
    assert augmenter.mean is None
    augmenter.fit(photos)
    # Keras sums 36,864 values in float32; we in float64.
    assert_allclose(augmenter.mean, original.mean, rtol=1e-4)
    assert_allclose(augmenter.std, original.std, rtol=1e-4)
    assert_allclose(augmenter.mean_, photos.mean(axis=(0, 1, 2)), rtol=1e-12)
    assert_allclose(augmenter.std_, photos.std(axis=(0, 1, 2)), rtol=1e-12)
    assert augmenter.mean.shape == original.mean.shape == (1, 1, 3)


def test_known_statistics_can_be_set_as_in_keras(photos):
    augmenter = ImageAugmenter(featurewise_center=True)
    augmenter.mean = np.array([123.68, 116.779, 103.939])
    expected = photos - np.array([123.68, 116.779, 103.939])
    assert_allclose(augmenter.standardize(photos), expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore:This ImageDataGenerator specifies:UserWarning")
def test_whitens_as_keras_does():
    # More rows than values: then Keras blows nothing up.
    images = np.random.default_rng(0).integers(0, 256, (400, 4, 4, 3), dtype=np.uint8)
    original = ImageDataGenerator(zca_whitening=True, zca_epsilon=1e-3)
    original.fit(images)
    augmenter = ImageAugmenter(zca_whitening=True, zca_epsilon=1e-3).fit(images)
    # Float32 singular values in Keras.
    assert_allclose(
        augmenter.zca_whitening_matrix, original.zca_whitening_matrix, rtol=1e-3, atol=1e-6
    )
    expected = [original.standardize(image.astype(np.float32)) for image in images[:20]]
    white = augmenter.standardize(images[:20])
    assert_allclose(white, np.reshape(expected, white.shape), atol=1e-3)


def test_fit_on_augmented_images(photos):
    augmenter = ImageAugmenter(
        brightness_range=(0.5, 0.5), featurewise_center=True, vertical_flip=True
    )
    once = augmenter.fit(photos, augment=True, rounds=2, seed=1).mean_
    # Halves are rounded to even: by nothing on the average.
    assert_allclose(once, photos.mean(axis=(0, 1, 2)) / 2, atol=0.3)
    assert_array_equal(augmenter.fit(photos, augment=True, rounds=2, seed=1).mean_, once)


class TestBugsOfKerasAreNotRepeated:
    """Each shows first that Keras does it, so that a mended Keras is noticed here."""

    def test_brightness_of_unit_floats(self, photos):
        image = photos[0].astype(np.float32) / 255
        dark = {"brightness": 0.5}
        assert not ImageDataGenerator().apply_transform(image, dark).any()
        assert_allclose(ImageAugmenter().apply_transform(image, dark), image / 2, rtol=1e-6)

    def test_brightness_cuts_nothing_off(self, photos):
        image = photos[0].astype(np.float32) / 1.7
        identity = {"brightness": 1.0}
        changed = ImageDataGenerator().apply_transform(image, identity)
        assert np.abs(changed - image).max() > 0.4
        assert_array_equal(ImageAugmenter().apply_transform(image, identity), image)

    def test_brightness_stretches_nothing(self, photos):
        image = photos[0].astype(np.float32) - 99.5
        half = {"brightness": 0.5}
        changed = ImageDataGenerator().apply_transform(image, half)
        assert np.abs(changed - image / 2).min() > 40
        assert_array_equal(ImageAugmenter().apply_transform(image, half), image / 2)

    def test_brightness_of_five_channels(self, photos):
        image = np.concatenate([photos[0], photos[1, :, :, :2]], axis=2)
        with pytest.raises(ValueError, match="channel"):
            ImageDataGenerator().apply_transform(image, {"brightness": 0.5})
        result = ImageAugmenter().apply_transform(image, {"brightness": 0.5})
        assert_array_equal(result, np.rint(image / 2))

    def test_shift_ranges_move_along_their_own_axis(self, photos, global_numbers):
        with global_numbers(0):
            original = ImageDataGenerator(width_shift_range=0.3).get_random_transform((64, 64, 3))
        assert original["tx"] == 0  # the name of the sideways move
        ours = ImageAugmenter(width_shift_range=0.3).get_random_transform((64, 64, 3), seed=0)
        assert ours["tx"] != 0
        assert ours["ty"] == 0

    def test_wide_images_turn_about_their_centre(self):
        image = np.zeros((11, 21, 1), np.uint8)
        image[5, 10] = 255  # the middle
        turn = {"theta": 90}
        assert ImageDataGenerator().apply_transform(image, turn)[5, 10] != 255
        assert ImageAugmenter().apply_transform(image, turn)[5, 10] == 255

    def test_preprocessing_counts_in_the_statistics(self, photos):
        parameters = {"featurewise_center": True, "preprocessing_function": lambda x: x / 255 + 9}
        original = ImageDataGenerator(**parameters)
        original.fit(photos)
        assert original.mean.mean() > 20
        augmenter = ImageAugmenter(**parameters).fit(photos)
        assert_allclose(augmenter.mean_, (photos / 255 + 9).mean(axis=(0, 1, 2)), rtol=1e-6)

    def test_standardize_leaves_its_input_alone(self, photos):
        image = photos[0].astype(np.float32)
        before = image.copy()
        ImageAugmenter(rescale=1 / 255).standardize(image)
        assert_array_equal(image, before)
        ImageDataGenerator(rescale=1 / 255).standardize(image)
        assert not np.array_equal(image, before)

    def test_uint8_is_not_copied_to_float(self, photos, global_numbers):
        with global_numbers(0):
            original = ImageDataGenerator().flow(photos)
        assert original.x.nbytes == 4 * photos.nbytes
        flow = ImageAugmenter().flow(photos)
        assert np.shares_memory(flow._images, photos)

    def test_whitening_repeated_rows_blows_nothing_up(self):
        rng = np.random.default_rng(0)
        images, new = rng.normal(size=(2, 10, 6, 6, 1)).astype(np.float32)
        repeated = np.concatenate([images, images])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            original = ImageDataGenerator(zca_whitening=True)
        original.fit(repeated)
        assert np.abs(original.standardize(new.copy())).max() > 1000
        augmenter = ImageAugmenter(zca_whitening=True).fit(repeated)
        assert np.abs(augmenter.standardize(new)).max() < 10

    def test_the_validation_subset_is_plain_and_last(self, photos, global_numbers):
        parameters = {"brightness_range": (0.5, 0.5), "validation_split": 0.25}
        options = {"subset": "validation", "shuffle": False}
        with global_numbers(0):
            original = next(ImageDataGenerator(**parameters).flow(photos, **options))
        assert np.abs(original - photos[:1] / 2).max() < 2
        batch = next(ImageAugmenter(**parameters).flow(photos, **options))
        assert_array_equal(batch, photos[3:])

    def test_a_seed_is_nobody_elses_business(self, photos, global_numbers):
        with global_numbers(0):
            before = np.random.get_state()[1].copy()  # noqa: NPY002
            next(ImageDataGenerator().flow(photos, seed=1))
            assert not np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002
        # Ours: the fixture around every test fails it if a global number was drawn.
        next(ImageAugmenter(rotation_range=9).flow(photos, seed=1))
        next(ImageAugmenter(rotation_range=9).flow(photos))
        ImageAugmenter(rotation_range=9).get_random_transform((8, 8, 3), seed=3)


def test_a_known_difference_constant_fill_blends(photos):
    """SciPy's plain "constant" leaves the outermost half pixel without blending."""
    shifted = ImageAugmenter(fill_mode="constant", cval=0).apply_transform(
        np.full((4, 4, 1), 100, np.uint8), {"tx": 0.5}
    )
    assert shifted[0, :, 0].tolist() == [100, 100, 100, 50]


def test_draws_need_no_image_of_the_epoch_before():
    augmenter = ImageAugmenter(rotation_range=5)
    first = augmenter.draw(stream(0, "augment", 7), 5, (8, 8, 1))
    augmenter.draw(stream(0, "augment", 8), 5, (8, 8, 1))
    assert_array_equal(first, augmenter.draw(stream(0, "augment", 7), 5, (8, 8, 1)))
