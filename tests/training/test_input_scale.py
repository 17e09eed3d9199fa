"""A warning before training where images are rescaled twice, or not at all."""

import warnings

import keras
import numpy as np
import pytest

from skimgcv import AugmentedKerasClassifier, ImageAugmenter
from skimgcv.exceptions import PixelScaleWarning
from skimgcv.models import pretrained

pytestmark = pytest.mark.usefixtures("own_random")
X = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3)).astype(np.uint8)
y = np.arange(12) % 2
layers, applications = keras.layers, keras.applications
RESCALED = ImageAugmenter(rescale=1 / 255)


def normalization():
    layer = layers.Normalization()
    layer.adapt(X)
    return layer


def model(*first, nested=False, last=()):
    def build(meta):
        inputs = keras.Input(meta["image_shape_"])
        values = inputs
        for layer in first:
            values = (layer() if isinstance(layer, type) else layer)(values)
        trunk = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3), *last])
        if nested:
            start = keras.Input((8, 8, 3))
            trunk = keras.Model(start, trunk(layers.Rescaling(1 / 255)(start)))
        features = layers.GlobalAveragePooling2D()(trunk(values))
        return keras.Model(inputs, layers.Dense(2, activation="softmax")(features))

    return build


def caught(build, augmenter=None, images=X):
    clf = AugmentedKerasClassifier(build, augmenter=augmenter, random_state=0)
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        clf.fit(images, y)
    return [str(w.message) for w in record if w.category is PixelScaleWarning]


@pytest.mark.parametrize(
    ("first", "options"),
    [
        ([layers.Rescaling(1 / 255)], {}),
        ([layers.Rescaling(1 / 127.5, -1)], {}),
        ([layers.RandomFlip(seed=0), layers.Rescaling(1 / 255)], {}),
        ([], {"nested": True}),
        ([applications.mobilenet_v2.preprocess_input], {}),
        ([applications.resnet50.preprocess_input], {}),
        ([applications.densenet.preprocess_input], {}),
        ([normalization()], {}),
    ],
)
def test_rescaled_twice_and_once(first, options):
    build = model(*first, **options)
    for augmenter, images in [(RESCALED, X), (None, X / np.float32(255))]:
        (message,) = caught(build, augmenter, images)
        assert "Images are rescaled twice" in message
        assert "Rescale once" in message
    assert not caught(build)


@pytest.mark.parametrize("augmenter", [None, ImageAugmenter(horizontal_flip=True)])
def test_rescaled_nowhere(augmenter):
    (message,) = caught(model(), augmenter)
    assert "Nothing rescales the images" in message
    assert "0 to 255" in message


@pytest.mark.parametrize(
    "augmenter",
    [
        RESCALED,
        ImageAugmenter(featurewise_center=True, featurewise_std_normalization=True),
        ImageAugmenter(preprocessing_function=lambda image: image / 127.5 - 1),
    ],
)
def test_rescaled_by_the_augmenter(augmenter):
    assert not caught(model(), augmenter)


@pytest.mark.parametrize(
    "build",
    [
        model(layers.BatchNormalization),
        model(last=[layers.BatchNormalization()]),
        model(last=[layers.ReLU(), layers.LayerNormalization()]),
    ],
)
def test_normalisation_near_the_input_takes_the_scale_away(build):
    assert not caught(build)


def test_pretrained_networks():
    build = pretrained("MobileNetV2", weights=None, trainable=True)
    images = np.repeat(np.repeat(X, 4, 1), 4, 2)
    assert not caught(build, images=images)
    (message,) = caught(build, RESCALED, images)
    assert "Images are rescaled twice" in message


def test_flat_values_are_not_taken_for_channels():
    build = lambda meta: keras.Sequential(  # noqa: E731
        [
            keras.Input(meta["image_shape_"]),
            layers.Flatten(),
            layers.Dense(2, activation="softmax"),
        ]
    )
    # Each image is one grey: a pixel's value varies little beside that of the next image.
    images = np.broadcast_to(np.float32(np.arange(12) % 2 / 4).reshape(12, 1, 1, 1), (12, 8, 8, 3))
    assert not caught(build, ImageAugmenter(featurewise_center=True), images)


def test_other_values_are_nobodys_business():
    assert not caught(model(), images=X // 16)
    assert not caught(model(), images=np.zeros_like(X))
    flat = AugmentedKerasClassifier(
        lambda meta: keras.Sequential(
            [keras.Input((192,)), layers.Dense(2, activation="softmax")]
        ),
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", PixelScaleWarning)
        flat.fit(X.reshape(12, -1), y)
