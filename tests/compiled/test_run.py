"""Fitting on a borrowed compiled model gives what Keras gives, bit for bit, and traces nothing."""

import contextlib
import functools
import gc
import pickle
import re
import threading
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from skimgcv import clear_compiled_models
from skimgcv._compiled.run import fit_model, predict_model
from skimgcv._runtime.seeding import seeded
from skimgcv._runtime.step_internals import trace_for_any_rows

RNG = np.random.default_rng(0)
IMAGES = RNG.random((44, 8, 8, 1), dtype="float32")
LABELS = RNG.integers(0, 3, 44)
WEIGHTS = RNG.random(44, dtype="float32")


class Batches(keras.utils.PyDataset):
    """Arrays in their order, 16 rows a batch, the last one of fewer."""

    def __init__(self, *arrays):
        super().__init__()
        self.arrays = arrays

    def __len__(self):
        return -(-len(self.arrays[0]) // 16)

    def __getitem__(self, index):
        return tuple(a[16 * index : 16 * index + 16] for a in self.arrays)


class Scale(layers.Layer):
    def __init__(self, by, **kwargs):
        super().__init__(**kwargs)
        self.by = by

    def build(self, shape):
        self.gain = self.add_weight(shape=(shape[-1],), initializer="ones")

    def call(self, x):
        return x * self.gain * self.by


class Seen(keras.callbacks.Callback):
    """Keeps what a callback can see of the model while it is fitted."""

    def __init__(self):
        super().__init__()
        self.weights, self.rates = [], []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.model.get_weights())
        self.rates.append(float(self.model.optimizer.learning_rate))


def certainty(y, p):
    return ops.max(p, axis=-1)


def cnn(*more, optimizer="adam", metrics=("accuracy",), **compiled):
    model = keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.25),
            *more,
            layers.Flatten(),
            layers.Dense(3, activation="softmax", dtype="float32"),
        ]
    )
    loss = "sparse_categorical_crossentropy"
    model.compile(optimizer, loss, metrics=list(metrics), **compiled)
    return model


def tiny(units=4):
    model = keras.Sequential(
        [layers.Input((8, 8, 1)), layers.Flatten(), layers.Dense(units), layers.Dense(3)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    return model


def branches():
    image = layers.Input((8, 8, 1))
    left = layers.Conv2D(2, 3, strides=2)(image)
    right = layers.AveragePooling2D(2)(layers.Conv2D(2, 3, activation="relu")(image))
    both = layers.GaussianNoise(0.1)(layers.Concatenate()([left, right]))
    model = keras.Model(image, layers.Dense(3, activation="softmax")(layers.Flatten()(both)))
    schedule = keras.optimizers.schedules.CosineDecay(0.01, 20)
    model.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy")
    return model


def unbuilt():
    model = keras.Sequential([layers.Flatten(), layers.Dropout(0.5), layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True), loss)
    return model


def in_mixed_precision():
    policy = keras.dtype_policies.DTypePolicy("mixed_float16")
    kept = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return cnn()
    finally:
        keras.config.set_dtype_policy(kept)


class Subclassed(keras.Model):
    """With a training step of its own."""

    def __init__(self):
        super().__init__()
        self.flat, self.drop, self.out = layers.Flatten(), layers.Dropout(0.2), layers.Dense(3)

    def call(self, x, training=False):
        return ops.softmax(self.out(self.drop(self.flat(x), training=training)))

    def train_step(self, data):
        logs = super().train_step(data)
        return {**logs, "twice": 2 * logs["loss"]}


def subclassed():
    model = Subclassed()
    model.compile("rmsprop", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def stopping():
    return keras.callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=True)


def plateau():
    return keras.callbacks.ReduceLROnPlateau("loss", patience=0, min_delta=9, factor=0.5)


WAYS = {
    "adam": (cnn, None),
    "momentum and moving average": (
        lambda: cnn(optimizer=keras.optimizers.SGD(0.05, momentum=0.9, use_ema=True)),
        None,
    ),
    "accumulated gradients": (
        lambda: cnn(optimizer=keras.optimizers.AdamW(gradient_accumulation_steps=2)),
        None,
    ),
    "two branches, schedule": (branches, None),
    "built by its first batch": (unbuilt, None),
    "subclass with its own step": (subclassed, None),
    "custom layer, regularizer": (
        lambda: cnn(Scale(2.0), layers.Dense(4, kernel_regularizer="l2")),
        None,
    ),
    "metric without a name": (
        lambda: cnn(metrics=[keras.metrics.MeanMetricWrapper(certainty)]),
        None,
    ),
    "steps per execution": (lambda: cnn(steps_per_execution=2), None),
    "mixed precision": (in_mixed_precision, None),
    "early stopping": (cnn, stopping),
    "reduced rate": (cnn, plateau),
}


# The others are run where all tests are, with the newest versions.
QUICK_WAYS = {"adam", "subclass with its own step", "mixed precision", "early stopping"}


def build(make, seed):
    with seeded(seed):
        return make()


def fit(model, make, *, weights=True, epochs=3, callbacks=(), **options):
    data = Batches(IMAGES, LABELS, WEIGHTS) if weights else Batches(IMAGES, LABELS)
    return fit_model(
        model,
        lambda: build(make, 99),
        data,
        epochs=epochs,
        validation=Batches(IMAGES[:20], LABELS[:20]),
        callbacks=callbacks,
        **options,
    )


def keras_fit(model, *, epochs=3, callbacks=(), **options):
    trace_for_any_rows(model)  # Keras 3.16 would trace the first batch's rows apart, and round so
    history = model.fit(
        Batches(IMAGES, LABELS, WEIGHTS),
        validation_data=Batches(IMAGES[:20], LABELS[:20]),
        epochs=epochs,
        callbacks=list(callbacks),
        shuffle=False,
        verbose=0,
        **options,
    )
    return history.history


def state(model):
    variables = model.variables + model.optimizer.variables + model.metrics_variables
    return [np.asarray(v) for v in variables]


def assert_same_state(first, second):
    for a, b in zip(state(first), state(second), strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


def assert_same_weights(first, second):
    """Compare what Keras saves of a model: all but the state of its random numbers."""
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(first.optimizer.variables, second.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a, b)


def bare(history):
    """Metric names that Keras numbers through, without their numbers."""
    return {k.removesuffix("_1").rstrip("_0123456789"): v for k, v in history.items()}


@pytest.fixture(autouse=True, scope="module")
def _empty_store():
    clear_compiled_models()
    yield
    clear_compiled_models()


class Counting(Batches):
    def __init__(self, *arrays):
        super().__init__(*arrays)
        self.read = []

    def __getitem__(self, index):
        self.read.append(index)
        return super().__getitem__(index)


def test_each_batch_is_made_once_an_epoch():
    data, held = Counting(IMAGES, LABELS), Counting(IMAGES[:20], LABELS[:20])
    model = build(cnn, 0)
    fit_model(model, lambda: build(cnn, 1), data, epochs=3, validation=held)
    assert data.read == [0, 1, 2] * 3
    assert held.read == [0, 1] * 3
    data.read.clear()
    predict_model(model, data, batch_size=16)
    assert data.read == [0, 1, 2]


@pytest.mark.parametrize(
    ("make", "callback"),
    [
        pytest.param(*way, id=name, marks=() if name in QUICK_WAYS else pytest.mark.slow)
        for name, way in WAYS.items()
    ],
)
def test_a_borrowed_step_trains_as_the_models_own(make, callback, traces):
    callbacks = [] if callback is None else [callback()]
    expected = build(make, 1)
    history = keras_fit(expected, callbacks=callbacks)

    fit(build(make, 0), make)
    traced = dict(traces)
    model = build(make, 1)
    own = [callback()] if callback else []
    found = fit(model, make, callbacks=own)

    assert traces == traced
    assert bare(found) == bare(history)
    assert_same_state(model, expected)
    assert all(c.model is model for c in own)
    assert model.train_function is None


def test_predictions_are_kerass_and_trace_once(traces):
    for seed in range(3):
        model = build(cnn, seed)
        fit(model, cnn)
        # Two full batches: there is nothing to fill up.
        found = predict_model(model, Batches(IMAGES[:32]), batch_size=16)
        if seed == 0:
            traced = dict(traces)
    assert traces == traced
    np.testing.assert_array_equal(found, model.predict(IMAGES[:32], batch_size=16, verbose=0))


def test_a_last_batch_of_fewer_images_is_filled_up():
    model = build(cnn, 0)
    fit(model, cnn)
    full = predict_model(model, Batches(IMAGES[:32]), batch_size=16)
    part = predict_model(model, Batches(IMAGES[:21]), batch_size=16)
    np.testing.assert_array_equal(part, full[:21])
    one = predict_model(model, Batches(IMAGES[:1]), batch_size=16)
    np.testing.assert_array_equal(one, full[:1])


def test_the_learning_rate_is_put_in(traces):
    def make(rate):
        return cnn(optimizer=keras.optimizers.Adam(rate))

    models, rates = [], (0.1, 0.001)
    for rate in rates:
        model = build(functools.partial(make, rate), 0)
        fit(model, functools.partial(make, rate))
        models.append(model)
        if rate == rates[0]:
            traced = dict(traces)
    assert traces == traced
    expected = build(functools.partial(make, rates[1]), 0)
    keras_fit(expected)
    assert_same_state(models[1], expected)


def test_fitted_models_share_nothing():
    first, second = build(cnn, 0), build(cnn, 1)
    fit(first, cnn)
    kept = state(first)
    fit(second, cnn)
    for a, b in zip(state(first), kept, strict=True):
        np.testing.assert_array_equal(a, b)
    # It trains on by itself and is pickled, as any Keras model.
    with seeded(0):
        first.fit(IMAGES, LABELS, verbose=0)
        assert_same_weights(pickle.loads(pickle.dumps(second)), second)


def test_training_goes_on_from_the_models_own_state():
    expected, model = build(cnn, 3), build(cnn, 3)
    keras_fit(expected, epochs=2)
    fit(model, cnn, epochs=2)
    fit(build(cnn, 4), cnn)
    keras_fit(expected, initial_epoch=2, epochs=4)
    fit(model, cnn, initial_epoch=2, epochs=4)
    assert_same_state(model, expected)


def test_callbacks_see_the_model_as_it_trains(tmp_path):
    def callbacks(path):
        path.mkdir()
        return [
            Seen(),
            keras.callbacks.ModelCheckpoint(path / "{epoch}.keras"),
            keras.callbacks.BackupAndRestore(path / "backup"),
            keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2),
            keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None),
        ]

    expected, model = build(cnn, 5), build(cnn, 5)
    ordinary, own = callbacks(tmp_path / "ordinary"), callbacks(tmp_path / "own")
    keras_fit(expected, callbacks=ordinary)
    fit(model, cnn, callbacks=own)
    assert own[0].rates == ordinary[0].rates
    for a, b in zip(own[0].weights, ordinary[0].weights, strict=True):
        for one, other in zip(a, b, strict=True):
            np.testing.assert_array_equal(one, other)
    for epoch in (1, 2, 3):
        with seeded(0):
            assert_same_weights(
                keras.models.load_model(tmp_path / "own" / f"{epoch}.keras"),
                keras.models.load_model(tmp_path / "ordinary" / f"{epoch}.keras"),
            )


@pytest.mark.slow
def test_tensorboard_logs_what_it_logs_of_an_ordinary_fit(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    def logged(run):
        events = EventAccumulator(str(run), size_guidance={"tensors": 0}).Reload()
        return {
            # Names count models, and so does the configuration, tag "keras".
            re.sub(r"_\d+/", "/", tag): [
                (event.step, make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)
            ]
            for tag in events.Tags()["tensors"]
            if tag != "keras"
        }

    fit(build(cnn, 4), cnn)
    for path, train in (("ordinary", keras_fit), ("own", functools.partial(fit, make=cnn))):
        model = build(cnn, 5)
        board = keras.callbacks.TensorBoard(tmp_path / path, histogram_freq=1, update_freq=2)
        train(model, callbacks=[board])
    for part, among in (
        ("train", {"batch_loss", "epoch_loss", "kernel/histogram"}),
        ("validation", {"epoch_loss", "evaluation_loss_vs_iterations"}),
    ):
        ordinary, own = (logged(tmp_path / path / part) for path in ("ordinary", "own"))
        assert own.keys() == ordinary.keys()
        # Some versions of Keras put the model's name before the layer's, and others do not.
        assert all(any(tag.endswith(name) for tag in own) for name in among)
        for tag, values in ordinary.items():
            for (step, value), (own_step, own_value) in zip(values, own[tag], strict=True):
                assert own_step == step
                np.testing.assert_array_equal(own_value, value, err_msg=tag)


def test_a_callback_may_predict_and_evaluate_while_it_trains(traces):
    class Looks(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            batches = Batches(IMAGES[:32], LABELS[:32])
            self.found = (
                self.model.predict(batches, verbose=0),
                self.model.evaluate(batches, verbose=0),
            )

    own, ordinary = Looks(), Looks()
    fit(build(cnn, 6), cnn, callbacks=[own])
    keras_fit(build(cnn, 6), callbacks=[ordinary])
    np.testing.assert_array_equal(own.found[0], ordinary.found[0])
    assert own.found[1] == ordinary.found[1]


class Fails(Batches):
    """Fails in the second batch, once training has begun."""

    def __init__(self, *arrays):
        super().__init__(*arrays)
        self.begun = False

    def on_epoch_begin(self):
        self.begun = True

    def __getitem__(self, index):
        if self.begun and index == 1:
            raise LookupError("no such image")
        return super().__getitem__(index)


def test_an_error_in_the_data_surfaces_as_itself_and_spoils_nothing():
    with pytest.raises(LookupError, match="no such image"):
        fit_model(build(cnn, 0), lambda: build(cnn, 9), Fails(IMAGES, LABELS), epochs=2)
    expected, model = build(cnn, 7), build(cnn, 7)
    keras_fit(expected)
    fit(model, cnn)
    assert_same_state(model, expected)


def test_an_error_in_a_callback_surfaces_as_itself_and_leaves_the_weights_so_far():
    class Stops(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.weights = self.model.get_weights()
            raise KeyboardInterrupt

    stops, model = Stops(), build(cnn, 0)
    with pytest.raises(KeyboardInterrupt):
        fit(model, cnn, callbacks=[stops])
    fit(build(cnn, 1), cnn)
    for a, b in zip(model.get_weights(), stops.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_data_is_released_when_a_fit_ends_or_fails():
    for kind in (Batches, Fails):
        data = kind(IMAGES.copy(), LABELS)
        ref = weakref.ref(data)
        with contextlib.suppress(LookupError):
            fit_model(build(cnn, 0), lambda: build(cnn, 9), data, epochs=1)
        del data
        gc.collect()
        assert ref() is None


def test_what_cannot_be_shown_equal_is_fitted_the_ordinary_way(caplog):
    import time

    def now(y, p):
        return keras.losses.sparse_categorical_crossentropy(y, p) * (time.time() > 0)

    def make():
        model = cnn()
        model.compile("adam", now)
        return model

    expected, model = build(make, 0), build(make, 0)
    keras_fit(expected)
    with caplog.at_level("DEBUG", "skimgcv"):
        fit(model, make)
    assert_same_state(model, expected)
    assert "the module time" in caplog.text


def test_a_builder_that_gives_another_model_each_time_is_asked_once(caplog):
    built = []

    def make():
        built.append(None)
        return cnn(layers.Dense(len(built)))

    model = build(lambda: cnn(layers.Dense(50)), 0)
    with caplog.at_level("DEBUG", "skimgcv"):
        fit(model, make, epochs=1)
        fit(model, make, initial_epoch=1, epochs=2)
    assert len(built) == 1
    assert "it is another model" in caplog.text


def test_layers_shared_by_all_models_are_trained_in_place(caplog):
    with seeded(0):
        base = layers.Dense(4)

    def make():
        return cnn(base)

    model = build(make, 0)
    with caplog.at_level("DEBUG", "skimgcv"):
        fit(model, make, epochs=1)
    assert "shares variables" in caplog.text


def test_keras_global_seeds_are_drawn_as_ever():
    class Draws(layers.Layer):
        def call(self, x, training=False):
            return x + keras.random.normal((1,)) if training else x

    def make():
        return cnn(Draws())

    def run(fit):
        found = []
        with seeded(0):
            for seed in range(2):
                model = build(make, seed)
                fit(model)
                found.append(model)
        return found

    ours, ordinary = run(lambda model: fit(model, make)), run(keras_fit)
    for model, expected in zip(ours, ordinary, strict=True):
        assert_same_state(model, expected)


def test_threads_do_not_meet_in_one_model():
    expected = [build(tiny, seed) for seed in range(2)]
    for model in expected:
        trace_for_any_rows(model)
        model.fit(Batches(IMAGES, LABELS), shuffle=False, epochs=5, verbose=0)
    models = [build(tiny, seed) for seed in range(2)]
    both_have_begun = threading.Barrier(2)

    def run(model):
        wait = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: both_have_begun.wait())
        data = Batches(IMAGES, LABELS)
        fit_model(model, lambda: build(tiny, 99), data, epochs=5, callbacks=[wait])

    threads = [threading.Thread(target=run, args=(m,)) for m in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for a, b in zip(models, expected, strict=True):
        assert_same_state(a, b)


def test_the_store_keeps_a_few_and_can_be_emptied(traces):
    def traced(units):
        before = traces["train_step"]
        make = functools.partial(tiny, units)
        fit_model(build(make, 0), lambda: build(make, 9), Batches(IMAGES, LABELS), epochs=1)
        return traces["train_step"] > before

    clear_compiled_models()
    found = [traced(units) for units in (1, 2, 3, 4, 1, 5, 1, 2)]
    assert found == [True, True, True, True, False, True, False, True]
    clear_compiled_models()
    assert traced(1)


def test_no_graph_outlives_the_model_that_made_room():
    def graphs():
        gc.collect()
        return sum(isinstance(o, tf.Graph) for o in gc.get_objects())

    clear_compiled_models()
    counts = []
    for units in range(1, 7):
        make = functools.partial(tiny, units)
        fit_model(
            build(make, 0), lambda make=make: build(make, 9), Batches(IMAGES, LABELS), epochs=1
        )
        counts.append(graphs())
    # The store keeps four; Keras' own way would add a graph for each.
    assert counts[5] == counts[4] == counts[3]
