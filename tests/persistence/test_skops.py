"""skops loads what it dumped, with the types that we list as the only ones of ours to trust."""

import importlib

import keras
import numpy as np
import pytest
from builders import linear

from skimgcv import (
    SKOPS_TYPES,
    AugmentedKerasClassifier,
    AugmentedKerasRegressor,
    ImageAugmenter,
)

sio = pytest.importorskip("skops.io", reason="skops is not installed")

X = np.random.default_rng(0).integers(0, 256, (12, 4, 4, 3)).astype(np.uint8)
y = np.arange(12) % 2


def half(image, rng):
    return image // 2


def numbers(meta):
    return keras.Sequential(
        [keras.Input(meta["image_shape_"]), keras.layers.Flatten(), keras.layers.Dense(1)]
    )


def labels(meta):
    return keras.Sequential(
        [
            keras.Input(meta["image_shape_"]),
            keras.layers.Flatten(),
            keras.layers.Dense(2, activation="sigmoid"),
        ]
    )


FITTED = {
    "plain": lambda: AugmentedKerasClassifier(linear, class_weight="balanced").fit(X, y),
    "image augmenter": lambda: AugmentedKerasClassifier(
        linear, augmenter=ImageAugmenter(rotation_range=9), optimizer=keras.optimizers.SGD()
    ).fit(X, y),
    "function": lambda: AugmentedKerasClassifier(linear, augmenter=half).fit(X, y),
    "several labels": lambda: AugmentedKerasClassifier(labels, multilabel=True).fit(
        X, np.eye(2, dtype=int)[y]
    ),
    "numbers": lambda: AugmentedKerasRegressor(numbers).fit(X, y.astype(float)),
}


@pytest.mark.parametrize("kind", FITTED)
def test_what_skops_dumps_is_loaded_by_the_list(kind):
    estimator = FITTED[kind]()
    data = sio.dumps(estimator)
    unlisted = set(sio.get_untrusted_types(data=data)).difference(SKOPS_TYPES)
    assert not [name for name in unlisted if name.startswith("skimgcv.")]
    loaded = sio.loads(data, trusted=[*SKOPS_TYPES, *unlisted])
    np.testing.assert_array_equal(loaded.predict(X), estimator.predict(X))


def test_all_that_is_listed_is_there():
    for name in SKOPS_TYPES:
        module, _, kind = name.rpartition(".")
        assert isinstance(getattr(importlib.import_module(module), kind), type)
