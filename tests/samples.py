"""Small data and recorders that several test files share."""

import cv2
import keras
import numpy as np

from skimgcv import AugmentedKerasClassifier

QUICK = {"batch_size": 2, "optimizer__learning_rate": 0.1}
"""One epoch of ``blobs`` is then enough to learn them, also for a single layer."""


OPENCV_5 = int(cv2.__version__.split(".")[0]) >= 5

# How much of a photograph must be within a grey level of Keras' transform, which is SciPy's:
# where OpenCV 4 rounds coordinates, up to an eighth is not, at steep edges.
WITHIN_A_LEVEL = 0.99 if OPENCV_5 else 0.85


def blobs(n=24, n_classes=3, shape=(4, 4, 1), seed=0):
    """Images whose class says which of their pixels are bright, in shuffled order."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % n_classes)
    bright = np.arange(np.prod(shape)).reshape(shape) % n_classes
    X = (bright == y.reshape(-1, *(1,) * len(shape))) + rng.normal(0, 0.05, (n, *shape))
    return X.astype(np.float32), y


def numbered(n, shape=(4, 4, 1)):
    """Images whose pixels are their row number."""
    return np.broadcast_to(np.arange(n, dtype=np.float32).reshape(-1, 1, 1, 1), (n, *shape)).copy()


def weights_of(estimator):
    return [w.copy() for w in estimator.model_.get_weights()]


def same_weights(a, b):
    """Whether two lists of weights are equal bit for bit."""
    return len(a) == len(b) and all(np.array_equal(v, w) for v, w in zip(a, b, strict=True))


def same_model(a, b):
    return same_weights(weights_of(a), weights_of(b))


def assert_warped_alike(result, expected, rounding, steepest=255):
    """Compare a warped photograph with SciPy's, where neighbours differ by ``steepest`` at most.

    OpenCV 4 rounds coordinates to 1/32 of a pixel, so that they are half of that off at most,
    sideways and up and down, and half of 1/1024 from the matrix. On the most detailed of these
    photographs that is a third of a grey level on average.
    """
    apart = np.abs(result - expected)
    if not OPENCV_5:
        assert apart.mean() < 0.25 + 0.4 * steepest / 255  # rounding to integers, and that
        rounding += 2 * steepest * (1 / 64 + 1 / 2048)
    assert apart.max() <= rounding


class Recorder(keras.callbacks.Callback):
    """Notes what Keras calls, in a log that the fits' copies share."""

    def __init__(self, log=None):
        super().__init__()
        self.log = Log() if log is None else log

    def on_train_begin(self, logs=None):
        self.log.append("train")

    def on_epoch_end(self, epoch, logs=None):
        self.log.append(("epoch", epoch, dict(logs)))

    def on_test_begin(self, logs=None):
        self.log.append("test")

    def on_predict_begin(self, logs=None):
        self.log.append("predict")


class Log(list):
    """A list that copies share, as they share a file."""

    def __deepcopy__(self, memo):
        return self


class FailAt(keras.callbacks.Callback):
    """Raises an error at the end of an epoch, counted over all of the model's epochs."""

    def __init__(self, epoch, error):
        super().__init__()
        self.epoch = epoch
        self.error = error

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            raise self.error


class RecordingAugmenter:
    """Speaks the augmenter's protocol; notes each image that it gets with a number drawn for it.

    Images must be ``numbered``: the first pixel says which row it is.
    """

    def __init__(self):
        self.seen = Log()

    def fit(self, images):
        return self

    def draw(self, rng, n, image_shape):
        table = np.empty(n, dtype=[("number", "f8")])
        table["number"] = rng.random(n)
        return table

    def apply(self, images, table):
        rows = images[:, 0, 0, 0].astype(int).tolist()
        self.seen += zip(rows, table["number"].tolist(), strict=True)
        return images

    def standardize(self, images):
        return images.astype(np.float32)

    def prepare(self, images, table=None):
        return self.standardize(images if table is None else self.apply(images, table))


def classifier(model, **parameters):
    return AugmentedKerasClassifier(model, **{"random_state": 0, **parameters})
