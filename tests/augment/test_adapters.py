"""Everything that can augment, through the one protocol, against the original."""

import pickle
import random

import albumentations
import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from samples import WITHIN_A_LEVEL
from tensorflow.keras.preprocessing.image import ImageDataGenerator

from skimgcv._runtime.random_streams import stream
from skimgcv.augment import Augmenter, ImageAugmenter, as_augmenter
from skimgcv.augment._keras import GeneratorAugmenter, LayerAugmenter

pytestmark = pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")


class Tinting(ImageDataGenerator):
    """Somebody's own generator: its transform is more than its parameters."""

    def get_random_transform(self, img_shape, seed=None):
        parameters = super().get_random_transform(img_shape, seed)
        return parameters | {"tint": np.random.uniform(0.5, 1) * random.uniform(0.9, 1)}  # noqa: NPY002

    def apply_transform(self, x, transform_parameters):
        return super().apply_transform(x, transform_parameters) * transform_parameters["tint"]


def dim_and_flip(image, rng):
    image[...] = image * rng.uniform(0.3, 1)
    return image[:, ::-1] if rng.random() < 0.5 else image


def layers():
    return [
        keras.layers.RandomRotation(0.1, seed=1),
        keras.layers.RandomFlip(),
        keras.layers.RandomBrightness(0.3),
    ]


AUGMENTERS = {
    "None": lambda: None,
    "ImageAugmenter": lambda: ImageAugmenter(rotation_range=40, noise_std=0.1, rescale=1 / 255),
    "ImageDataGenerator": lambda: ImageDataGenerator(
        rotation_range=40, brightness_range=(0.5, 1), samplewise_center=True
    ),
    "subclass": lambda: Tinting(horizontal_flip=True, zoom_range=0.3, rescale=1 / 255),
    "layer": lambda: keras.layers.RandomTranslation(0.3, 0.3),
    "Sequential": lambda: keras.Sequential([*layers(), keras.layers.Rescaling(1 / 255)]),
    "Pipeline": lambda: keras.layers.Pipeline(layers()),
    "Albumentations": lambda: albumentations.Compose(
        [
            albumentations.HorizontalFlip(p=0.5),
            albumentations.VerticalFlip(p=0.5),
            albumentations.RandomBrightnessContrast(p=0.9),
            albumentations.Normalize(),
        ]
    ),
    "one Albumentations transform": lambda: albumentations.GaussNoise(p=1),
    "callable": lambda: dim_and_flip,
}


@pytest.fixture(params=AUGMENTERS)
def named(request):
    """A name of the table above, and a new object of it."""
    state = random.getstate()
    yield request.param, AUGMENTERS[request.param]()
    random.setstate(state)  # Keras' layers draw seeds when they are made.


@pytest.fixture
def original(named):
    return named[1]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_common_contract(named, small_photos, dtype):
    name, original = named
    state = random.getstate()
    augmenter = as_augmenter(original)
    assert isinstance(augmenter, Augmenter)
    assert augmenter is not original
    images = small_photos.astype(dtype)
    images.flags.writeable = False
    augmenter.fit(images)
    table = augmenter.draw(stream(0, "augment", 0), 24, images.shape[1:])
    assert len(table) == 24
    prepared = augmenter.prepare(images, table)
    applied = augmenter.apply(images, table)

    assert prepared.dtype == np.float32
    assert (applied.shape, applied.dtype) == (images.shape, images.dtype)
    if name != "None":
        assert not np.array_equal(applied, images)
        # Not one transform for all.
        changes = np.abs(applied.astype(float) - images).mean(axis=(1, 2, 3))
        assert len(np.unique(changes.round(3))) > 6
    assert_array_equal(prepared, augmenter.standardize(applied))
    # Evaluation: the deterministic half alone.
    assert_array_equal(augmenter.prepare(images), augmenter.standardize(images))

    again = augmenter.draw(stream(0, "augment", 0), 24, images.shape[1:])
    assert_array_equal(augmenter.prepare(images, again), prepared)
    parts = [augmenter.prepare(images[k : k + 7], table[k : k + 7]) for k in range(0, 24, 7)]
    assert_array_equal(np.concatenate(parts), prepared)

    copied = pickle.loads(pickle.dumps(augmenter))
    assert_array_equal(copied.prepare(images, table), prepared)
    another = as_augmenter(original).fit(images)
    assert_array_equal(another.prepare(images, table), prepared)
    assert random.getstate() == state


def test_a_generator_of_keras_runs_on_our_engine(photos):
    original = ImageDataGenerator(
        rotation_range=30, zoom_range=[0.7, 1.2], horizontal_flip=True, fill_mode="reflect"
    )
    augmenter = as_augmenter(original)
    assert type(augmenter) is ImageAugmenter
    assert (augmenter.zoom_range, augmenter.fill_mode) == ([0.7, 1.2], "reflect")
    for seed in range(5):
        parameters = augmenter.get_random_transform(photos[0].shape, seed=seed)
        expected = original.apply_transform(photos[0].astype(np.float32), parameters)
        result = augmenter.apply_transform(photos[0], parameters)
        assert np.mean(np.abs(result - expected) <= 1) >= WITHIN_A_LEVEL


def test_every_parameter_of_a_generator_is_read():
    parameters = {
        "featurewise_center": True,
        "samplewise_center": True,
        "featurewise_std_normalization": True,
        "samplewise_std_normalization": True,
        "zca_whitening": False,
        "zca_epsilon": 1e-3,
        "rotation_range": 1,
        "width_shift_range": 0.2,
        "height_shift_range": [3, 4],
        "brightness_range": (0.1, 0.2),
        "shear_range": 5,
        "zoom_range": [0.6, 0.7],
        "channel_shift_range": 8,
        "fill_mode": "wrap",
        "cval": 9,
        "horizontal_flip": True,
        "vertical_flip": True,
        "rescale": 10,
        "preprocessing_function": np.abs,
        "data_format": "channels_first",
        "validation_split": 0.11,
        "interpolation_order": 2,
        "dtype": "float64",
    }
    read = as_augmenter(ImageDataGenerator(**parameters)).get_params()
    assert {name: read[name] for name in parameters} == parameters


def test_a_subclass_is_called_as_its_own_flow_calls_it(small_photos, global_numbers):
    original = Tinting(rotation_range=20, featurewise_center=True, rescale=1 / 255)
    augmenter = as_augmenter(original).fit(small_photos)
    assert type(augmenter) is GeneratorAugmenter
    assert original.mean is None  # never fitted itself
    with global_numbers(0):
        original.fit(small_photos)
    expected = [original.standardize(image.astype(np.float32)) for image in small_photos]
    assert_array_equal(augmenter.standardize(small_photos), expected)
    table = augmenter.draw(stream(0, "augment", 0), 24, (12, 12, 3))
    applied = augmenter.apply(small_photos.astype(np.float32), table)
    # The tint that only the subclass knows of.
    assert applied.mean() < 0.9 * small_photos.mean()


@pytest.mark.parametrize("wrap", [keras.Sequential, keras.layers.Pipeline])
def test_layers_do_what_they_do_alone(small_photos, wrap):
    state = random.getstate()
    steps = [keras.layers.RandomRotation(0.1, seed=1), keras.layers.RandomBrightness(0.3, seed=2)]
    original = wrap([*steps, keras.layers.Rescaling(1 / 255)])
    random.setstate(state)
    augmenter = as_augmenter(original)
    table = augmenter.draw(stream(0, "augment", 0), 24, (12, 12, 3))
    images = small_photos.astype(np.float32)  # uint8 is rounded before the second half
    result = augmenter.prepare(images, table)
    for k in (0, 5, 23):
        # The layers themselves, called on one image after their seeds are set.
        seeds = np.random.SeedSequence(int(table["seed"][k])).generate_state(4) >> 1
        for step, seed in zip(steps, seeds.reshape(2, 2), strict=True):
            step.generator.state.assign(seed)
        expected = original(images[k : k + 1], training=True)
        # TensorFlow may fuse what it compiles.
        assert_allclose(result[k], np.array(expected)[0], atol=1e-5)
    assert_allclose(augmenter.standardize(small_photos), small_photos / np.float32(255), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_layer_for_values_up_to_1_refuses_others(small_photos, dtype):
    layer = keras.layers.RandomBrightness(0.2, value_range=(0, 1), seed=0)
    augmenter = as_augmenter(keras.Sequential([keras.layers.RandomFlip(seed=0), layer]))
    images = small_photos.astype(dtype)
    table = augmenter.draw(stream(0, "augment", 0), len(images), images.shape[1:])
    with pytest.raises(ValueError, match=r"needs to keep the range .* value_range"):
        augmenter.apply(images, table)
    small = images / np.float32(255)
    assert augmenter.apply(small, table).max() <= 1


def test_layers_in_their_own_order():
    """Rescaling before a random layer is no reason to scale twice."""
    original = keras.Sequential([keras.layers.Rescaling(1 / 255), keras.layers.RandomFlip(seed=0)])
    images = np.random.default_rng(0).integers(0, 256, (6, 5, 5, 3), dtype=np.uint8)
    augmenter = as_augmenter(original)
    table = augmenter.draw(stream(0, "augment", 0), 6, (5, 5, 3))
    assert_allclose(
        np.sort(augmenter.prepare(images, table).ravel()), np.sort(images.ravel()) / 255
    )
    assert augmenter.apply(images, table).max() > 1


def test_the_users_layer_stays_as_it_is(small_photos):
    original = keras.layers.RandomRotation(0.1, seed=3)
    before = original.generator.state.numpy()
    augmenter = as_augmenter(original)
    assert type(augmenter) is LayerAugmenter
    augmenter.prepare(small_photos, augmenter.draw(stream(0, "a"), 24, (12, 12, 3)))
    assert_array_equal(original.generator.state.numpy(), before)


def test_adapted_layers_keep_what_they_learned(small_photos):
    original = keras.layers.Normalization()
    original.adapt(small_photos.astype(np.float32))
    # Float32, in another order of operations.
    assert_allclose(
        as_augmenter(keras.Sequential([original])).standardize(small_photos),
        np.array(original(small_photos.astype(np.float32))),
        atol=1e-5,
    )


def test_layers_that_mix_labels_are_refused():
    with pytest.raises(ValueError, match=r"keras\.layers\.MixUp mixes the labels.*mixup_alpha"):
        as_augmenter(keras.layers.Pipeline([keras.layers.MixUp(0.2, seed=0)]))


def test_albumentations_is_what_it_is_alone(small_photos):
    transform = AUGMENTERS["Albumentations"]()
    augmenter = as_augmenter(transform)
    table = augmenter.draw(stream(0, "augment", 0), 24, (12, 12, 3))
    result = augmenter.prepare(small_photos, table)
    for image, seed, ours in zip(small_photos, table["seed"].tolist(), result, strict=True):
        transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
        assert_array_equal(transform(image=image)["image"], ours)
    # At prediction only what is always the same.
    plain = albumentations.Normalize()
    expected = [plain(image=image)["image"] for image in small_photos]
    assert_array_equal(augmenter.standardize(small_photos), expected)


def test_steps_of_albumentations_are_independent(small_photos):
    flips = albumentations.Compose(
        [albumentations.HorizontalFlip(p=0.5), albumentations.VerticalFlip(p=0.5)]
    )
    augmenter = as_augmenter(flips)
    image = small_photos[0]
    table = augmenter.draw(stream(0, "augment", 0), 200, image.shape)
    results = augmenter.apply(np.stack([image] * 200), table)
    kinds = [image, image[::-1], image[:, ::-1], image[::-1, ::-1]]
    counts = [sum(np.array_equal(result, kind) for result in results) for kind in kinds]
    assert sum(counts) == 200
    assert min(counts) > 30  # 50 each, with a deviation of 6


def test_a_one_of_is_drawn_as_a_whole(small_photos):
    chosen = as_augmenter(
        albumentations.OneOf([albumentations.Normalize(), albumentations.ToFloat()], p=1)
    )
    # Nothing of it is always the same, so prediction could not normalise.
    with pytest.raises(ValueError, match="OneOf is random, and turns uint8 images into float32"):
        chosen.fit(small_photos)
    flips = [albumentations.HorizontalFlip(), albumentations.VerticalFlip()]
    one = as_augmenter(albumentations.OneOf(flips, p=1))
    assert_array_equal(one.standardize(small_photos), small_photos.astype(np.float32))


def test_a_callable_gets_a_copy_and_a_generator_of_its_own(small_photos):
    augmenter = as_augmenter(dim_and_flip)
    before = small_photos.copy()
    table = augmenter.draw(stream(0, "augment", 0), 24, (12, 12, 3))
    result = augmenter.apply(small_photos, table)
    assert_array_equal(small_photos, before)
    for k, seed in enumerate(table["seed"]):
        rng = np.random.Generator(np.random.SFC64(int(seed)))
        assert_array_equal(result[k], dim_and_flip(before[k].copy(), rng))


def test_a_callable_must_return_an_image_of_the_same_shape(small_photos):
    augmenter = as_augmenter(lambda image, rng: image[1:])
    with pytest.raises(ValueError, match=r"shape that it gets, \(12, 12, 3\).*\(11, 12, 3\)"):
        augmenter.apply(small_photos, augmenter.draw(stream(0, "a"), 24, (12, 12, 3)))


def test_a_callable_must_keep_the_range(small_photos):
    augmenter = as_augmenter(lambda image, rng: image / 255 * rng.uniform(0.5, 1))
    with pytest.raises(ValueError, match=r"returned floats within \[0, 1\]"):
        augmenter.apply(small_photos, augmenter.draw(stream(0, "a"), 24, (12, 12, 3)))


def test_what_a_callable_raises_surfaces_as_itself(small_photos):
    def fail(image, rng):
        raise KeyError("mine")

    augmenter = as_augmenter(fail)
    with pytest.raises(KeyError, match="mine"):
        augmenter.apply(small_photos, augmenter.draw(stream(0, "a"), 24, (12, 12, 3)))


@pytest.mark.parametrize(
    ("thing", "named"),
    [
        (3, "an object of type int"),
        ("RandAugment", "an object of type str"),
        (ImageAugmenter, "the class ImageAugmenter"),
        (keras.layers.RandomFlip, "the class RandomFlip"),
    ],
)
def test_other_things_are_an_error_that_names_the_five(thing, named):
    with pytest.raises(TypeError) as caught:
        as_augmenter(thing)
    message = str(caught.value)
    for kind in (
        "an ImageAugmenter",
        "a Keras ImageDataGenerator",
        "a Keras image layer",
        "an Albumentations transform",
        "a callable f(image, rng)",
    ):
        assert kind in message
    assert message.endswith(named)


def test_an_object_of_the_protocol_is_copied(small_photos):
    class Negative:
        def fit(self, images):
            self.fitted = True
            return self

        def draw(self, rng, n, image_shape):
            return np.zeros(n)

        def apply(self, images, table):
            return 255 - images

        def standardize(self, images):
            return images.astype(np.float32)

        def prepare(self, images, table=None):
            return self.standardize(images if table is None else self.apply(images, table))

    mine = Negative()
    augmenter = as_augmenter(mine).fit(small_photos)
    assert not hasattr(mine, "fitted")
    assert_array_equal(augmenter.prepare(small_photos, np.zeros(24)), 255.0 - small_photos)
