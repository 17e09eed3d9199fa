"""Small fits of a user's own code, which tests of checkpoints edit in one place."""

import keras
import numpy as np
from keras import layers, ops
from samples import classifier

from skimgcv import ImageAugmenter

RNG = np.random.default_rng(0)
SHAPE = (4, 4, 1)
X = RNG.integers(0, 256, (16, *SHAPE)).astype(np.float32)
Y = np.tile([0, 1], 8)
GROUPS = np.repeat(np.arange(8), 2)


def build(meta, head=None, inner=0):
    """Build with the random numbers that the estimator seeds; ``head`` makes more layers."""
    middle = []
    for _ in range(inner):
        middle = [keras.Sequential([layers.Input((16,)), *middle, layers.Dense(16)])]
    more = [] if head is None else head()
    return keras.Sequential(
        [layers.Input(meta["image_shape_"]), layers.Flatten(), *middle, *more, layers.Dense(2)]
    )


def model(**parameters):
    """Return a quick classifier; a parameter that is ``...`` is left out."""
    # Run eagerly, so that nothing is compiled.
    defaults = {
        "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "compile__run_eagerly": True,
        "batch_size": 8,
    }
    given = {"model": build, **defaults, **parameters}
    return classifier(**{name: value for name, value in given.items() if value is not ...})


def written(text, **names):
    """Run a user's text, and return what it calls ``it``: as if typed anew each time."""
    space = {"__name__": "typed", "keras": keras, "layers": layers, "ops": ops, "np": np, **names}
    exec(compile(text, "<typed>", "exec"), space)
    return space["it"]


LAYER = """
class it(layers.Layer):
    factor = 2.0
    def __init__(self, hidden=1.0, **kwargs):
        super().__init__(**kwargs)
        self.hidden = hidden
    def scaled(self, x):
        return x * self.hidden * self.factor
    def call(self, x):
        return self.scaled(x) + 1.0
"""
LOSS = """
SCALE = 1.0
TABLE = np.arange(3.0)
def _helper(y, p):
    return ops.mean(ops.square(y - p)) * SCALE * TABLE[1]
def it(y, p, factor=3.0):
    return _helper(ops.cast(y, p.dtype), p[:, :1]) * factor
"""
CALLBACK = """
class it(keras.callbacks.Callback):
    def __init__(self, rate=0.5):
        super().__init__()
        self.rate = rate
    def on_epoch_begin(self, epoch, logs=None):
        self.model.optimizer.learning_rate = self.rate / (epoch + 1.0)
"""
AUGMENTER = """
STEPS = {"brighter": 2.0, "darker": 0.5}
def _noise(image, rng, by=1.0):
    return image + rng.normal(0, by, image.shape)
def it(image, rng):
    for name, factor in STEPS.items():
        image = image * factor if rng.random() < 0.5 else image
    return _noise(image, rng)
"""
SCHEDULE = """
def it(epoch, rate):
    return rate * 0.5
"""
SAMPLING = """
def it(y):
    return {0: 6, 1: 6}
"""
BUILDER = """
UNITS = 1
def _head(units):
    return [layers.Dense(units)]
def it(meta, activation="relu"):
    return keras.Sequential([layers.Input(meta["image_shape_"]), layers.Flatten(), *_head(UNITS),
        layers.Activation(activation), layers.Dense(2)])
"""


METRIC = """
class it(keras.metrics.Metric):
    def __init__(self, name=None, **kwargs):
        super().__init__(name=name, **kwargs)
        self.total = self.add_weight(initializer="zeros")
    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign_add(ops.sum(y_pred))
    def result(self):
        return self.total
"""


def custom(typed=written):
    """Give parameters that are as much the user's own as can be."""
    return {
        "model": typed(BUILDER),
        "loss": typed(LOSS),
        "metrics": [typed(METRIC)()],
        "callbacks": [typed(CALLBACK)(), keras.callbacks.EarlyStopping("loss", patience=9)],
        "augmenter": typed(AUGMENTER),
        "class_augmenters": {0: ImageAugmenter(rotation_range=9), 1: ImageAugmenter()},
        "class_weight": {0: 2.0, 1: 3.0},
        "sampling_strategy": {0: 6, 1: 7},
        "validation_split": 0.25,
    }


def changed(array, place, value):
    array = array.copy()
    array[place] = value
    return array


def run(goes_on, folder, given, **options):
    given = dict(given)
    arguments = given.pop("fit", {})
    return goes_on(folder, model(**given), **arguments, **options)
