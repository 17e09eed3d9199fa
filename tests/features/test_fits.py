"""A frozen first part is run once, and nobody can tell from the results."""

import logging
import pickle

import keras
import numpy as np
import pytest
from builders import cnn, frozen
from samples import FailAt, same_model, same_weights, weights_of
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score

from skimgcv import (
    AugmentedKerasClassifier,
    ImageAugmenter,
    clear_compiled_models,
    clear_features,
)
from skimgcv._features import trunk as trunks

N, EPOCHS = 30, 2


@pytest.fixture
def data(digits):
    X, y = digits
    rows = np.flatnonzero(y < 3)[:N]
    return X[rows], y[rows]


@pytest.fixture
def n_run(monkeypatch):
    """Count images that go through a trunk, from when nothing is kept."""
    clear_features()
    counts = []
    run = trunks.Trunk.features
    monkeypatch.setattr(
        trunks.Trunk, "features", lambda self, x: counts.append(len(x)) or run(self, x)
    )
    return lambda: sum(counts)


def classifier(model=frozen, **parameters):
    augmenter = ImageAugmenter(rotation_range=20, horizontal_flip=True, rescale=1 / 255)
    settings = {"augmenter": augmenter, "epochs": EPOCHS, "batch_size": 8, "random_state": 0}
    return AugmentedKerasClassifier(model, **{**settings, **parameters})


def assert_alike(one, other, X):
    """The same to float32's precision: images run 24 at a time may be rounded otherwise than 8."""
    tolerance = {"rtol": 1e-4, "atol": 1e-6}
    for a, b in zip(weights_of(one), weights_of(other), strict=True):
        np.testing.assert_allclose(a, b, **tolerance)
    assert one.history_.keys() == other.history_.keys()
    for name, values in one.history_.items():
        np.testing.assert_allclose(values, other.history_[name], **tolerance)
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), **tolerance)


ALIKE = {
    "plain": {"augmenter": None},
    "validation": {"validation_split": 0.3, "metrics": ["accuracy"]},
    "validation, transformed": {
        "validation_split": 0.3,
        "validation_augmenter": ImageAugmenter(rotation_range=9),
    },
    "oversampling": {"sampling_strategy": {0: 20, 1: 10, 2: 10}},
    "weights": {"class_weight": {0: 5.0}, "weighted_metrics": None},
    "class augmenters": {"class_augmenters": {1: ImageAugmenter(vertical_flip=True)}},
    "test-time rounds": {"tta_rounds": 2},
    "statistics": {"augmenter": ImageAugmenter(featurewise_center=True, rotation_range=9)},
    "views": {"augmentation_views": 1, "epochs": 3},
    "mixing": {"augmenter": ImageAugmenter(mixup_alpha=0.5, rescale=1 / 255)},
}


@pytest.mark.parametrize("name", ALIKE)
def test_results_are_those_of_running_all_of_it(name, data):
    parameters = {k: v for k, v in ALIKE[name].items() if v is not None or k == "augmenter"}
    X, y = data
    weight = np.linspace(0.5, 2, len(y)) if name == "weights" else None
    whole = classifier(feature_cache=None, **parameters).fit(X, y, sample_weight=weight)
    once = classifier(**parameters).fit(X, y, sample_weight=weight)
    assert_alike(once, whole, X)


def test_a_grid_search_runs_each_version_of_an_image_once(data, n_run):
    X, y = data
    GridSearchCV(classifier(), {"model__dropout": [0.0, 0.5]}, cv=2).fit(X, y)
    assert n_run() == N * EPOCHS + N


def two_layers(meta):
    """Build a frozen network of which a second phase can thaw the last layer."""
    image = keras.Input(meta["image_shape_"])
    inner = keras.Sequential(
        [
            keras.layers.Input(meta["image_shape_"]),
            keras.layers.Conv2D(3, 3, activation="relu"),
            keras.layers.Conv2D(4, 3, activation="relu", name="last"),
        ]
    )
    inner.trainable = False
    features = keras.layers.GlobalAveragePooling2D()(inner(image))
    return keras.Model(image, keras.layers.Dense(meta["n_classes_"])(features))


def test_a_second_phase_is_cut_further_up(data, n_run):
    X, y = data
    parameters = {
        "epochs": 1,
        "fine_tune_epochs": 2,
        "fine_tune_layers": "last",
        "fine_tune_learning_rate": 0.01,
    }
    whole = classifier(two_layers, feature_cache=None, **parameters).fit(X, y)
    once = classifier(two_layers, **parameters).fit(X, y)
    assert n_run() == 3 * N
    assert_alike(once, whole, X)
    assert n_run() == 4 * N
    classifier(two_layers, **parameters).fit(X[::2], y[::2])
    assert n_run() == 4 * N


def test_views_are_run_once_and_shown_in_turn(data, n_run):
    X, y = data
    fitted = classifier(augmentation_views=2, epochs=5).fit(X, y)
    assert n_run() == 2 * N
    more = classifier(augmentation_views=2, epochs=6).fit(X, y)
    assert n_run() == 2 * N
    assert not same_model(fitted, more)


def test_what_is_kept_where_changes_no_bit(data, tmp_path, n_run):
    X, y = data
    each = (EPOCHS + 1) * N
    kept = 500 // 16  # of four numbers
    caches = {
        0: each,
        500: each,
        "memory": each - kept,
        10**6: 0,
        tmp_path: each,
        str(tmp_path): 0,
    }
    known = None
    for cache, expected in caches.items():
        before = n_run()
        fitted = classifier(feature_cache=cache).fit(X, y)
        found = [fitted.predict_proba(X), *weights_of(fitted)]
        known = known or found
        assert same_weights(found, known)
        assert n_run() - before == expected


@pytest.fixture
def reasons(caplog):
    """Say why all of a model was run on images."""
    caplog.set_level(logging.DEBUG, "skimgcv")
    return lambda: [m for r in caplog.records if "on images" in (m := r.getMessage())]


def test_a_model_with_nothing_frozen_is_not_spoken_of(data, n_run, reasons):
    classifier(cnn, epochs=1).fit(*data)
    assert n_run() == 0
    assert not reasons()


def test_mixed_images_go_through_all_of_the_model(data, n_run, reasons):
    mixing = classifier(augmenter=ImageAugmenter(cutmix_alpha=1.0, rescale=1 / 255))
    mixing.fit(*data)
    assert n_run() == 0
    assert ["MixUp and CutMix mix images" in r for r in reasons()] == [True]
    with pytest.raises(ValueError, match="augmentation_views=2"):
        mixing.set_params(augmentation_views=2).fit(*data)


class Writes(keras.callbacks.Callback):
    """Changes frozen weights between epochs, as Keras lets it."""

    def on_epoch_end(self, epoch, logs=None):
        kernel, bias = self.model.layers[0].get_weights()
        self.model.layers[0].set_weights([-kernel, bias + 0.1])


class Loads(keras.callbacks.Callback):
    """Gives frozen layers weights before the first step."""

    def on_train_begin(self, logs=None):
        layer = self.model.layers[0]
        layer.set_weights([w[::-1] + 0.1 for w in layer.get_weights()])


IMAGES = np.random.default_rng(0).random((12, 8, 8, 1), dtype="float32")
LABELS = np.arange(12) % 3


class Evaluates(keras.callbacks.Callback):
    """Evaluates the model on images of its own."""

    def on_epoch_end(self, epoch, logs=None):
        logs["own_loss"] = self.model.evaluate(IMAGES, LABELS, batch_size=5, verbose=0)
        logs["batch_loss"] = self.model.test_on_batch(IMAGES, LABELS)


class Trains(keras.callbacks.Callback):
    """Trains the model on images of its own."""

    def on_epoch_end(self, epoch, logs=None):
        logs["own_loss"] = self.model.train_on_batch(IMAGES, LABELS)


class Looks(keras.callbacks.Callback):
    """Looks at single batches."""

    def on_train_batch_end(self, batch, logs=None):
        self.model.optimizer.learning_rate = 0.01 * batch


def is_told_of_losses(epoch, logs):
    assert logs["loss"] > 0


CALLBACKS = {
    "steering": lambda path: [
        keras.callbacks.EarlyStopping("loss", patience=0, min_delta=9, restore_best_weights=True),
        keras.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=9),
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2),
        keras.callbacks.CSVLogger(path),
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.LambdaCallback(on_epoch_end=is_told_of_losses),
    ],
    "writing": lambda path: [Writes()],
    "loading": lambda path: [Loads()],
    "evaluating": lambda path: [Evaluates()],
    "training": lambda path: [Trains()],
    "looking": lambda path: [Looks()],
}


@pytest.mark.parametrize("name", CALLBACKS)
def test_callbacks_do_what_they_do_otherwise(name, data, tmp_path, n_run, reasons):
    X, y = data
    fitted = []
    for cache in (None, "memory"):
        path = tmp_path / f"{cache}.csv"
        callbacks = CALLBACKS[name](path)
        clf = classifier(epochs=3, feature_cache=cache, callbacks=callbacks, validation_split=0.2)
        fitted.append(clf.fit(X, y))
    assert (n_run() > 0) == (name != "looking")
    assert ["Looks looks at single batches" in r for r in reasons()] == [True] * (
        name == "looking"
    )
    assert_alike(*fitted, X)


class Sees(keras.callbacks.Callback):
    """Uses the model in training as a user may."""

    seen: list = []  # noqa: RUF012

    def on_epoch_end(self, epoch, logs=None):
        image = np.zeros((1, 8, 8, 1), "float32")
        self.seen.append(self.model.predict(image, verbose=0))
        self.seen.append(self.model(image).numpy())


def test_callbacks_see_the_whole_model(data, tmp_path, own_random):
    X, y = data
    path = tmp_path / "{epoch}.keras"
    saver = keras.callbacks.ModelCheckpoint(path)
    Sees.seen.clear()
    fitted = classifier(callbacks=[saver, Sees()], optimizer__learning_rate=0.1).fit(X, y)
    in_keras = [keras.models.load_model(tmp_path / f"{e}.keras") for e in (1, 2)]
    image = np.zeros((1, 8, 8, 1), "float32")
    for epoch, saved in enumerate(in_keras):
        for seen in Sees.seen[2 * epoch :][:2]:
            np.testing.assert_allclose(seen, saved.predict(image, verbose=0), rtol=1e-5)
    assert same_weights(in_keras[-1].get_weights(), fitted.model_.get_weights())
    assert not same_weights(in_keras[0].get_weights(), in_keras[1].get_weights())
    # What a callback compiled is not left behind: it would have others' weights.
    expected = fitted.model_(image).numpy()
    np.testing.assert_allclose(fitted.model_.predict(image, verbose=0), expected, rtol=1e-5)


def test_the_fitted_model_is_the_whole_one(data):
    X, y = data
    fitted = classifier(optimizer__learning_rate=0.1, metrics=["accuracy"]).fit(X, y)
    model = fitted.model_
    proba = fitted.predict_proba(X)
    np.testing.assert_allclose(model.predict(X / np.float32(255), verbose=0), proba, rtol=1e-5)
    assert model.compiled
    assert int(model.optimizer.iterations.numpy()) == EPOCHS * -(-N // 8)
    assert model.evaluate(X / np.float32(255), y, verbose=0)[1] == np.float32(fitted.score(X, y))
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.predict_proba(X), proba)
    fitted.partial_fit(X, y), copy.partial_fit(X, y)
    assert same_model(fitted, copy)


def test_a_model_that_is_trained_on_goes_on_as_otherwise(data):
    X, y = data
    both = [
        classifier(feature_cache=cache, warm_start=True, optimizer__learning_rate=0.01).fit(X, y)
        for cache in (None, "memory")
    ]
    for one in both:
        one.set_params(optimizer__learning_rate=0.1, augmentation_views=1).fit(X, y)
        one.partial_fit(X, y)
    assert_alike(*both, X)


def test_an_interrupted_fit_ends_with_the_same_bits(data, tmp_path):
    X, y = data
    stops = FailAt(1, KeyboardInterrupt())
    expected = classifier(epochs=3, callbacks=FailAt(9, None)).fit(X, y)
    clf = classifier(epochs=3, callbacks=stops)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, y, checkpoint_dir=tmp_path)
    stops.epoch = 9
    assert same_model(clf.fit(X, y, checkpoint_dir=tmp_path), expected)


def test_heads_and_trunks_are_compiled_once(data, traces, monkeypatch):
    clear_compiled_models()
    compiled = []
    compile_trunk = trunks._compiled
    monkeypatch.setattr(
        trunks, "_compiled", lambda *args: compiled.append(1) or compile_trunk(*args)
    )
    trunks.clear_trunks()
    cross_val_score(classifier(), *data, cv=3)
    assert traces["train_step"] == traces["predict_step"] == 1
    assert len(compiled) == 1


class Scaled(keras.layers.Layer):
    """A layer whose config lacks its factor, so that a copy of it is another layer."""

    def __init__(self, factor=1.0, **settings):
        super().__init__(**settings)
        self.factor = factor

    def get_config(self):
        return {"name": self.name}

    def call(self, x):
        return self.factor * x


def with_scaled_features(meta):
    image = keras.Input(meta["image_shape_"])
    frozen_layer = keras.layers.Conv2D(4, 3, activation="relu", trainable=False)
    features = keras.layers.GlobalAveragePooling2D()(frozen_layer(image))
    features = Scaled(0.5)(keras.layers.Dropout(0.2)(features))
    return keras.Model(image, keras.layers.Dense(meta["n_classes_"])(features))


@pytest.mark.parametrize("build", [frozen, with_scaled_features])
def test_what_cannot_be_copied_is_built_again(build, data, traces):
    clear_compiled_models()
    built = []
    X, y = data
    whole = classifier(build, feature_cache=None).fit(X, y)
    n_traced = traces["train_step"]

    def counted(meta):
        built.append(1)
        return build(meta)

    once = classifier(counted).fit(X, y)
    assert traces["train_step"] == n_traced + 1
    assert len(built) == (1 if build is frozen else 2)
    assert_alike(once, whole, X)


def test_an_image_is_the_same_in_any_order_and_company(data):
    X, y = data
    fitted = classifier().fit(X, y)
    expected = fitted.predict_proba(X)
    order = np.random.default_rng(0).permutation(N)
    np.testing.assert_array_equal(fitted.predict_proba(X[order]), expected[order])
    clear_features()
    np.testing.assert_array_equal(fitted.predict_proba(X[order[:3]]), expected[order[:3]])
    unshuffled = [classifier(shuffle=False).fit(X[o], y[o]) for o in (np.arange(N), order)]
    assert not same_model(*unshuffled)


def test_rows_of_other_types_do_not_share_features(data, n_run):
    X, y = data
    for same in (X, X.astype(np.float32)):
        classifier(epochs=1).fit(same, y)
    # A transform rounds whole numbers.
    assert n_run() == 2 * N


def test_folds_keep_to_their_own_statistics(data):
    X, y = data
    augmenter = ImageAugmenter(featurewise_center=True, featurewise_std_normalization=True)
    both = [
        cross_val_predict(
            classifier(augmenter=augmenter, feature_cache=cache),
            *(X, y),
            cv=3,
            method="predict_proba",
        )
        for cache in (None, "memory")
    ]
    np.testing.assert_allclose(*both, rtol=1e-4)


def test_clones_have_the_parameters():
    clf = clone(classifier(augmentation_views=3, feature_cache=None))
    assert (clf.augmentation_views, clf.feature_cache) == (3, None)
    for name, value in (("augmentation_views", 0), ("feature_cache", -1)):
        with pytest.raises(ValueError, match=name):
            classifier(**{name: value}).fit(np.zeros((4, 8, 8, 1)), [0, 1, 0, 1])
