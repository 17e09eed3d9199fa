"""What a fit allocated is given back when it ends, and when it fails."""

import gc
import weakref

import numpy as np
import psutil
import pytest
from builders import cnn, linear

from skimgcv import AugmentedKerasClassifier, ImageAugmenter


class Images(np.ndarray):
    """An array that can be referred to weakly, as a plain one cannot."""


def images(n=64, side=8):
    X = np.random.default_rng(0).integers(0, 256, (n, side, side, 1)).astype(np.uint8)
    return X.view(Images), np.arange(n) % 2


def fail(image, rng):
    raise RuntimeError("no such image")


@pytest.mark.parametrize("how", ["fit", "predict", "failed fit", "validation"])
def test_data_is_released(how):
    X, y = images()
    est = AugmentedKerasClassifier(
        linear, augmenter=fail if how == "failed fit" else ImageAugmenter(horizontal_flip=True)
    )
    if how == "failed fit":
        with pytest.raises(RuntimeError, match="no such image"):
            est.fit(X, y)
    elif how == "validation":
        est.fit(X.copy(), y, validation_data=(X, y))
    else:
        est.fit(X, y)
    if how == "predict":
        est.predict(X)
    # The estimator itself stays alive: it must not hold the data.
    dead = weakref.ref(X)
    del X
    gc.collect()
    assert dead() is None


@pytest.mark.slow
def test_many_fits_take_the_memory_of_the_first():
    X, y = images(512, 32)
    process = psutil.Process()
    est = AugmentedKerasClassifier(
        cnn, augmenter=ImageAugmenter(rotation_range=20), validation_split=0.25, random_state=0
    )
    sizes = []
    for _ in range(30):
        est.fit(X, y).predict(X[:32])
        gc.collect()
        sizes.append(process.memory_info().rss)
    # X is 0.5 MB and its batches 2 MB as float32: one held a fit would add 15 to 60 MB.
    assert sizes[-1] - sizes[9] < 10e6
