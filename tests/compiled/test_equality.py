"""Which models may share a compiled step: equal ones, and no others."""

import functools
import types
from os import getenv
from time import perf_counter

import keras
import numpy as np
import pytest
from keras import layers, ops
from numpy import random as numbers_of_numpy

from skimgcv._compiled.code import reads
from skimgcv._compiled.equality import fingerprint
from skimgcv._compiled.run import make_variables
from skimgcv._compiled.values import UnprovableError
from skimgcv._runtime.seeding import seeded

SHAPE = (4, 4, 1)


# Two images with labels, to build a model by.
BATCH = np.zeros((2, *SHAPE), "float32"), np.zeros(2, "int64")


@pytest.fixture(autouse=True)
def _seeds_of_layers():
    # Keras draws each layer's seed from Python's own numbers: different ones for each layer here.
    with seeded(0):
        yield


def key_of(model):
    make_variables(model, BATCH)
    return fingerprint(model).key


def build(*extra, compiled=None, **dense):
    model = keras.Sequential(
        [layers.Input(SHAPE), *extra, layers.Flatten(), layers.Dense(2, **dense)]
    )
    model.compile(
        **{"optimizer": "adam", "loss": "sparse_categorical_crossentropy"} | (compiled or {})
    )
    return model


def scaled_loss(scale):
    def loss(y, p):
        return ops.mean(ops.square(y - p[:, 0])) * scale

    return loss


def one_minus(y, p):
    return 1 - p[:, 0]


FACTOR = 2.0
SETTINGS = types.SimpleNamespace(factor=2.0)
TABLE = np.arange(3.0)


def loss_of_a_global(y, p):
    return ops.mean(p[:, 0] - y) * FACTOR


def loss_of_an_object(y, p):
    return ops.mean(p[:, 0] - y) * SETTINGS.factor


def loss_of_an_array(y, p):
    return ops.mean(p[:, 0] - y) * TABLE[1]


def loss_through_another(y, p):
    return loss_of_a_global(y, p) + 1


def loss_with_a_default(y, p, factor=3.0):
    return ops.mean(p[:, 0] - y) * factor


class Scale(layers.Layer):
    """A layer with what get_config does not tell."""

    factor = 2.0

    def __init__(self, hidden=1.0, **kwargs):
        super().__init__(**kwargs)
        self._hidden = hidden
        self.start = keras.initializers.RandomNormal()

    def build(self, shape):
        self.gain = self.add_weight(shape=shape[-1:], initializer=self.start)

    def call(self, x):
        return x * self.gain * self._hidden * self.factor


class Attentive(layers.Layer):
    """A layer with an attribute that begins as those do that TensorFlow adds."""

    def __init__(self, gain):
        super().__init__()
        self._self_attention_gain = gain

    def call(self, x):
        return x * self._self_attention_gain


class OwnLoss(keras.losses.Loss):
    """A loss that Keras names, with a number that it counts up."""

    def call(self, y, p):
        return ops.mean(ops.square(ops.cast(y, p.dtype) - p[:, 0]))


class Noisy(layers.Layer):
    def call(self, x):
        return x + np.random.normal()  # noqa: NPY002


class UsesInitializer(Scale):
    def call(self, x):
        return x * self.start((1,))


class Model(keras.Model):
    """Subclassed, without a config, built by its first batch."""

    def __init__(self, units=3):
        super().__init__()
        self.first, self.last = layers.Dense(units), layers.Dense(2)

    def call(self, x):
        return self.last(self.first(ops.reshape(x, (-1, 16))))


def subclassed(units=3):
    model = Model(units)
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def branches():
    image = layers.Input(SHAPE)
    left = layers.Conv2D(2, 3)(image)
    right = layers.Conv2D(2, 3, activation="relu")(image)
    both = layers.Flatten()(layers.Concatenate()([left, right]) * 2)
    model = keras.Model(image, layers.Dense(2)(both))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def optimizer(**options):
    return build(compiled={"optimizer": keras.optimizers.Adam(**options)})


def decay(rate):
    return keras.optimizers.schedules.ExponentialDecay(0.1, 10, rate)


ALIKE = {
    "sequential": build,
    "functional with branches and an operator": branches,
    "subclassed": subclassed,
    "nested": lambda: build(keras.Sequential([layers.Input(SHAPE), layers.Conv2D(2, 2)])),
    "noise, dropout and batch norm": lambda: build(
        layers.GaussianNoise(0.1), layers.Dropout(0.5), layers.BatchNormalization()
    ),
    "custom layer": lambda: build(Scale()),
    "lambda": lambda: build(layers.Lambda(lambda x: x * 2)),
    "closure": lambda: build(compiled={"loss": scaled_loss(2.0)}),
    "partial": lambda: build(compiled={"loss": functools.partial(loss_with_a_default, factor=1)}),
    "global": lambda: build(compiled={"loss": loss_of_a_global}),
    "own loss": lambda: build(compiled={"loss": OwnLoss()}),
    "schedule": lambda: optimizer(learning_rate=decay(0.9)),
    "metrics without names": lambda: build(
        compiled={"metrics": [keras.metrics.MeanMetricWrapper(one_minus)]}
    ),
    "regularized": lambda: build(kernel_regularizer=keras.regularizers.L1L2(0.1, 0.2)),
    "mixed precision": lambda: build(layers.Dense(2, dtype="mixed_float16")),
    "frozen": lambda: build(layers.Dense(3, trainable=False)),
}


@pytest.mark.parametrize("make", ALIKE.values(), ids=ALIKE)
def test_models_built_alike_are_equal(make):
    assert key_of(make()) == key_of(make())


def test_the_learning_rate_is_state_and_not_compared():
    assert key_of(optimizer(learning_rate=0.1)) == key_of(optimizer(learning_rate=0.2))


def by_hand(change):
    model = build(layers.Dense(3, name="mine"))
    change(model.get_layer("mine"))
    return model


DIFFERENT = {
    "activation": (lambda: build(activation="relu"), lambda: build(activation="tanh")),
    "lambda": (
        lambda: build(layers.Lambda(lambda x: x * 2)),
        lambda: build(layers.Lambda(lambda x: x * 3)),
    ),
    "activation lambda": (
        lambda: build(activation=lambda x: x * 2),
        lambda: build(activation=lambda x: x * 3),
    ),
    "closure": (
        lambda: build(compiled={"loss": scaled_loss(2.0)}),
        lambda: build(compiled={"loss": scaled_loss(3.0)}),
    ),
    "closure of another type": (
        lambda: build(compiled={"loss": scaled_loss(1)}),
        lambda: build(compiled={"loss": scaled_loss(True)}),
    ),
    "sign of zero": (
        lambda: build(compiled={"loss": scaled_loss(0.0)}),
        lambda: build(compiled={"loss": scaled_loss(-0.0)}),
    ),
    "partial": (
        lambda: build(compiled={"loss": functools.partial(loss_with_a_default, factor=1)}),
        lambda: build(compiled={"loss": functools.partial(loss_with_a_default, factor=2)}),
    ),
    "regularizer": (
        lambda: build(kernel_regularizer=keras.regularizers.L2(0.1)),
        lambda: build(kernel_regularizer=keras.regularizers.L2(0.2)),
    ),
    "constraint": (build, lambda: build(kernel_constraint="non_neg")),
    "clipnorm": (lambda: optimizer(clipnorm=1.0), lambda: optimizer(clipnorm=2.0)),
    "epsilon": (lambda: optimizer(epsilon=1e-7), lambda: optimizer(epsilon=1e-3)),
    "weight decay": (lambda: optimizer(weight_decay=0.1), lambda: optimizer(weight_decay=0.2)),
    "moving average": (
        lambda: optimizer(use_ema=True, ema_momentum=0.9),
        lambda: optimizer(use_ema=True, ema_momentum=0.8),
    ),
    "schedule": (
        lambda: optimizer(learning_rate=decay(0.9)),
        lambda: optimizer(learning_rate=decay(0.8)),
    ),
    "schedule or constant": (optimizer, lambda: optimizer(learning_rate=decay(0.8))),
    "dtype policy": (
        lambda: build(layers.Dense(2)),
        lambda: build(layers.Dense(2, dtype="mixed_bfloat16")),
    ),
    "hidden attribute": (lambda: build(Scale(1.0)), lambda: build(Scale(2.0))),
    "attribute like TensorFlow's": (lambda: build(Attentive(1.0)), lambda: build(Attentive(2.0))),
    "metric's threshold": (
        lambda: build(compiled={"metrics": [keras.metrics.BinaryAccuracy(threshold=0.5)]}),
        lambda: build(compiled={"metrics": [keras.metrics.BinaryAccuracy(threshold=0.6)]}),
    ),
    "weighted metric": (
        lambda: build(compiled={"metrics": ["accuracy"]}),
        lambda: build(compiled={"weighted_metrics": ["accuracy"]}),
    ),
    "loss's option": (
        lambda: build(compiled={"loss": keras.losses.SparseCategoricalCrossentropy()}),
        lambda: build(
            compiled={"loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}
        ),
    ),
    "steps per execution": (build, lambda: build(compiled={"steps_per_execution": 2})),
    "trainable by hand": (
        lambda: by_hand(lambda layer: None),
        lambda: by_hand(lambda layer: setattr(layer, "trainable", False)),
    ),
    "activation by hand": (
        lambda: by_hand(lambda layer: None),
        lambda: by_hand(lambda layer: setattr(layer, "activation", ops.tanh)),
    ),
    "call by hand": (
        lambda: by_hand(lambda layer: None),
        lambda: by_hand(
            lambda layer: setattr(layer, "call", lambda x, training=None: ops.repeat(x, 3, -1))
        ),
    ),
    "size of a subclass": (subclassed, lambda: subclassed(4)),
    "order of layers": (
        lambda: build(layers.Dense(4, activation="relu"), layers.Dense(4)),
        lambda: build(layers.Dense(4), layers.Dense(4, activation="relu")),
    ),
    "one layer twice": (
        lambda: build(layers.Dense(1), layers.Dense(1)),
        lambda: (lambda layer: build(layer, layers.Flatten(), layers.Reshape(SHAPE), layer))(
            layers.Dense(1)
        ),
    ),
}


@pytest.mark.parametrize("pair", DIFFERENT.values(), ids=DIFFERENT)
def test_models_that_compute_something_else_differ(pair):
    first, second = pair
    assert key_of(first()) != key_of(second())


@pytest.mark.parametrize(
    ("loss", "target", "value"),
    [
        (loss_of_a_global, "FACTOR", 3.0),
        (loss_through_another, "FACTOR", 3.0),
        (loss_of_an_object, "SETTINGS.factor", 3.0),
        (loss_of_an_array, "TABLE", np.arange(4.0)),
    ],
)
def test_a_global_that_a_loss_reads_is_compared(monkeypatch, loss, target, value):
    before = key_of(build(compiled={"loss": loss}))
    monkeypatch.setattr(f"{__name__}.{target}", value)
    assert key_of(build(compiled={"loss": loss})) != before


def test_a_global_of_another_module_is_compared(monkeypatch):
    settings = types.ModuleType("settings_of_a_user")
    settings.FACTOR = 2.0
    monkeypatch.setitem(globals(), "settings", settings)
    monkeypatch.setitem(__import__("sys").modules, "settings_of_a_user", settings)

    def by_attribute(y, p):
        return ops.mean(p[:, 0] - y) * settings.FACTOR

    def by_import(y, p):
        from settings_of_a_user import FACTOR

        return ops.mean(p[:, 0] - y) * FACTOR

    def by_text(y, p):
        return ops.mean(p[:, 0] - y) * getattr(settings, "FACTOR")  # noqa: B009

    def by_dict(y, p):
        return ops.mean(p[:, 0] - y) * settings.__dict__["FACTOR"]

    for loss in (by_attribute, by_import, by_text, by_dict):
        settings.FACTOR = 2.0
        before = key_of(build(compiled={"loss": loss}))
        assert key_of(build(compiled={"loss": loss})) == before
        settings.FACTOR = 3.0
        assert key_of(build(compiled={"loss": loss})) != before


def test_a_users_file_that_is_called_as_one_of_pythons_is_the_users():
    def loss(factor):
        space = {"__name__": "statistics", "__file__": "/elsewhere/statistics.py", "ops": ops}
        exec(f"FACTOR = {factor}\ndef it(y, p):\n    return ops.mean(p[:, 0] - y) * FACTOR", space)
        return space["it"]

    assert key_of(build(compiled={"loss": loss(2)})) == key_of(build(compiled={"loss": loss(2)}))
    assert key_of(build(compiled={"loss": loss(2)})) != key_of(build(compiled={"loss": loss(3)}))


def test_numbers_that_are_drawn_from_what_is_passed_are_no_global_ones():
    def rolled(x, rng):
        return np.roll(x, int(rng.random() * 3))

    assert reads(rolled).unprovable is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("factor", 3.0), ("call", lambda self, x: x), ("another", lambda self: None)],
)
def test_what_a_custom_class_is_when_fitted_is_compared(monkeypatch, name, value):
    before = key_of(build(Scale()))
    monkeypatch.setattr(Scale, name, value, raising=False)
    assert key_of(build(Scale())) != before


def test_a_class_defined_again_in_the_same_words_is_equal():
    # So that a worker process, which gets it pickled by value with each task, profits as well.
    def make():
        class Local(layers.Layer):
            def call(self, x):
                return x * 2

        return build(Local())

    assert key_of(make()) == key_of(make())


@pytest.mark.parametrize(
    ("set_", "value"),
    [
        (keras.config.set_epsilon, 1e-3),
        (keras.config.set_image_data_format, "channels_first"),
        (keras.config.set_floatx, "float64"),
        (keras.config.set_dtype_policy, "mixed_bfloat16"),
    ],
)
def test_global_settings_are_compared(set_, value):
    model = build()
    before = key_of(model)
    get = getattr(keras.config, set_.__name__.removeprefix("set_"))
    kept = get()
    set_(value)
    try:
        assert key_of(model) != before
    finally:
        set_(kept)


def loss_of_the_clock(y, p):
    import time

    return ops.mean(p[:, 0] - y) * time.time()


def loss_of_the_clock_by_name(y, p):
    return ops.mean(p[:, 0] - y) * perf_counter()


def loss_of_numpys_numbers(y, p):
    return ops.mean(p[:, 0] - y) * numbers_of_numpy.normal()  # noqa: NPY002


def loss_of_the_environment(y, p):
    return ops.mean(p[:, 0] - y) * len(getenv("HOME", ""))


def loss_of_a_generator(y, p, rng=np.random.default_rng(0)):  # noqa: B008
    return ops.mean(p[:, 0] - y) * rng.random()


UNPROVABLE = {
    "the clock": lambda: build(compiled={"loss": loss_of_the_clock}),
    "the clock, by name": lambda: build(compiled={"loss": loss_of_the_clock_by_name}),
    "the environment, by name": lambda: build(compiled={"loss": loss_of_the_environment}),
    "NumPy's numbers, by name": lambda: build(compiled={"loss": loss_of_numpys_numbers}),
    "a generator": lambda: build(compiled={"loss": loss_of_a_generator}),
    "NumPy's random numbers": lambda: build(Noisy()),
    "eager": lambda: build(compiled={"run_eagerly": True}),
    "a variable of TensorFlow's": lambda: build(
        compiled={"loss": scaled_loss(__import__("tensorflow").Variable(2.0))}
    ),
    "variables picked by name": lambda: build(compiled={"optimizer": picky()}),
}


def picky():
    optimizer = keras.optimizers.AdamW()
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


@pytest.mark.parametrize("make", UNPROVABLE.values(), ids=UNPROVABLE)
def test_what_may_change_unseen_is_not_compared(make):
    with pytest.raises(UnprovableError):
        key_of(make())


def test_an_initializer_is_compared_only_where_a_step_may_call_it():
    assert key_of(build(Scale())) == key_of(build(Scale()))
    assert key_of(build(UsesInitializer())) != key_of(build(UsesInitializer()))


def test_variables_are_all_of_the_state_in_the_order_of_the_walk():
    first, second = (build(layers.Dropout(0.5), compiled={"metrics": ["accuracy"]}) for _ in "ab")
    for model in (first, second):
        make_variables(model, BATCH)
    walks = [fingerprint(m).variables for m in (first, second)]
    state = [m.variables + m.optimizer.variables + m.metrics_variables for m in (first, second)]
    assert {id(v) for v in walks[0]} == {id(v) for v in state[0]}
    place = {id(v): i for i, v in enumerate(walks[0])}
    order = [place[id(v)] for v in state[0]]
    assert [id(walks[1][i]) for i in order] == [id(v) for v in state[1]]
