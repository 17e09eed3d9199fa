"""The second phase: frozen layers learn on at a low rate, in the same fit and on the same rows."""

import keras
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils._param_validation import InvalidParameterError

from skimgcv import AugmentedKerasClassifier, ImageAugmenter, clear_compiled_models
from skimgcv.exceptions import SkimgcvWarning
from skimgcv.models import pretrained

N = 24
RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (N, 8, 8, 3)).astype(np.uint8)
y = np.arange(N) % 2
LAYERS = ("first", "norm", "second", "third", "head")

pytestmark = pytest.mark.usefixtures("own_random")


def build(meta, nested=True):
    """Three frozen layers with batch normalisation, in a model of their own or not; a head."""
    layers = keras.layers
    trunk = [
        layers.Rescaling(1 / 255),
        layers.Conv2D(3, 3, name="first"),
        layers.BatchNormalization(name="norm"),
        layers.Conv2D(4, 3, activation="relu", name="second"),
        layers.Conv2D(4, 3, name="third"),
    ]
    for layer in trunk:
        layer.trainable = False
    inputs = keras.Input(meta["image_shape_"])
    features = inputs
    if nested:
        inner = keras.Sequential([keras.Input(meta["image_shape_"]), *trunk], name="trunk")
        inner.trainable = False
        features = inner(features)
    else:
        for layer in trunk:
            features = layer(features)
    features = layers.GlobalAveragePooling2D()(features)
    return keras.Model(inputs, layers.Dense(2, activation="softmax", name="head")(features))


def est(model=build, **parameters):
    defaults = {
        "augmenter": ImageAugmenter(horizontal_flip=True),
        "epochs": 2,
        "fine_tune_epochs": 2,
        "fine_tune_learning_rate": 0.01,
        "batch_size": 8,
        "random_state": 0,
    }
    return AugmentedKerasClassifier(model, **defaults | parameters)


def layer_of(model, name):
    (layer,) = (
        la
        for outer in model.layers
        for la in [outer, *getattr(outer, "layers", [])]
        if la.name == name
    )
    return layer


class Before(keras.callbacks.Callback):
    """Keeps the weights that the model was built with."""

    weights = None

    def on_train_begin(self, logs=None):
        if self.weights is None:
            self.weights = {name: layer_of(self.model, name).get_weights() for name in LAYERS}


def changed(clf):
    """Which layers' weights differ from those that they were built with."""
    (before,) = clf.callbacks_
    return {
        name
        for name, weights in before.weights.items()
        for now in [layer_of(clf.model_, name).get_weights()]
        if any(not np.array_equal(a, b) for a, b in zip(weights, now, strict=True))
    }


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize(
    ("layers", "learning"),
    [
        ("all", {"first", "second", "third"}),
        (1, {"third"}),
        (3, {"second", "third"}),  # batch normalisation counts, and stays frozen
        (99, {"first", "second", "third"}),
        ("sec*", {"second"}),
        ("[ft]*ir*", {"first", "third"}),
        (lambda model: layer_of(model, "norm"), {"norm"}),
        (lambda model: [layer_of(model, "norm"), layer_of(model, "third")], {"norm", "third"}),
    ],
)
def test_the_chosen_layers_learn_and_no_others(layers, learning, nested):
    clf = est(callbacks=Before(), fine_tune_layers=layers, model__nested=nested)
    clf.set_params(epochs=1, fine_tune_epochs=1).fit(X, y)
    assert changed(clf) == {*learning, "head"}
    assert layer_of(clf.model_, "norm").trainable == ("norm" in learning)


def test_it_is_two_fits_of_keras_by_hand():
    """The same weights as training twice in a row, compiled anew in between."""
    clf = est(augmenter=None, shuffle=False).fit(X, y)
    built = est(augmenter=None, shuffle=False, epochs=1, fine_tune_epochs=0)
    model = built.set_params(optimizer__learning_rate=0.0).fit(X, y).model_
    images = X.astype("float32")
    loss = "sparse_categorical_crossentropy"
    model.compile("adam", loss)
    first = model.fit(images, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    layer_of(model, "trunk").trainable = True
    layer_of(model, "norm").trainable = False
    model.compile(keras.optimizers.Adam(0.01), loss)
    second = model.fit(images, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    # Two programs of the same sums: TensorFlow may order them otherwise.
    np.testing.assert_allclose(
        clf.history_["loss"], first.history["loss"] + second.history["loss"], rtol=1e-5
    )
    for a, b in zip(clf.model_.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_the_history_goes_on_and_tells_where_the_phase_began():
    clf = est(validation_split=0.25, metrics=["accuracy"]).fit(X, y)
    assert clf.fine_tune_start_ == 2
    assert {len(values) for values in clf.history_.values()} == {4}
    assert est(fine_tune_epochs=0).fit(X, y).fine_tune_start_ is None


def test_the_learning_rate_is_the_phase_s_own():
    rates = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            optimizer = self.model.optimizer
            rates.append((epoch, round(float(optimizer.learning_rate), 6), type(optimizer)))

    decay = keras.optimizers.schedules.ExponentialDecay(0.5, 1, 0.9)
    clf = est(optimizer=keras.optimizers.SGD(decay, momentum=0.9), callbacks=Watch())
    clf.set_params(fine_tune_learning_rate=1e-5).fit(X, y)
    assert [epoch for epoch, *_ in rates] == [0, 1, 2, 3]
    assert [rate for _, rate, _ in rates[2:]] == [1e-5, 1e-5]
    assert {kind for *_, kind in rates} == {keras.optimizers.SGD}
    assert clf.model_.optimizer.momentum == 0.9
    # A fresh optimizer: it counts the steps of its own phase.
    assert int(clf.model_.optimizer.iterations) == 2 * 3


def test_a_builder_that_compiles_keeps_its_loss_and_metrics():
    def compiled(meta):
        model = build(meta)
        loss = keras.losses.SparseCategoricalCrossentropy(name="own")
        model.compile(keras.optimizers.SGD(0.1, momentum=0.5), loss, metrics=["accuracy"])
        return model

    clf = est(compiled).fit(X, y)
    assert clf.model_.loss.name == "own"
    assert len(clf.history_["accuracy"]) == 4
    assert clf.model_.optimizer.momentum == 0.5
    assert float(clf.model_.optimizer.learning_rate) == pytest.approx(0.01)


def test_early_stopping_begins_anew_in_the_second_phase():
    stop = keras.callbacks.EarlyStopping(monitor="loss", patience=0, min_delta=99)
    clf = est(callbacks=stop, epochs=5, fine_tune_epochs=5).fit(X, y)
    # Two epochs each: the first cannot be worse than none.
    assert clf.fine_tune_start_ == 2
    assert len(clf.history_["loss"]) == 4


def test_files_of_callbacks_hold_both_phases(tmp_path):
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    est(callbacks=log).fit(X, y)
    lines = (tmp_path / "log.csv").read_text().split()
    assert [line.split(",")[0] for line in lines] == ["epoch", "0", "1", "2", "3"]


@pytest.mark.parametrize("scales", [True, False])
def test_a_loss_is_scaled_in_all_phases_or_in_none(scales):
    def in_halves(meta):
        kept = keras.config.dtype_policy()
        keras.config.set_dtype_policy("mixed_float16")
        try:
            model = build(meta)
        finally:
            keras.config.set_dtype_policy(kept)
        model.compile("sgd", "sparse_categorical_crossentropy", auto_scale_loss=scales)
        return model

    class Sees(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            seen.append(type(self.model.optimizer).__name__)

    ready = in_halves({"image_shape_": (8, 8, 3)})
    for model in (in_halves, ready):
        seen = []
        est(model, callbacks=Sees).fit(X, y)
        assert seen == ["LossScaleOptimizer" if scales else "SGD"] * 2


def test_a_schedule_of_epochs_alone_would_undo_the_second_rate():
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch: 1e-3 * 0.9**epoch)
    with pytest.warns(SkimgcvWarning, match="fine_tune_learning_rate has no effect"):
        est(callbacks=schedule).fit(X, y)
    est(callbacks=keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)).fit(X, y)
    est(callbacks=keras.callbacks.LearningRateScheduler(lambda epoch, lr=1: lr / 2)).fit(X, y)
    est(callbacks=schedule, fine_tune_epochs=0).fit(X, y)


def test_each_phase_is_traced_once_over_all_folds(traces):
    clear_compiled_models()
    cross_val_score(est(), X, y, cv=3)
    assert traces["train_step"] == 2
    # Only the model of the second phase predicts.
    assert traces["predict_step"] == 1


def test_an_epoch_s_transforms_do_not_depend_on_the_phase():
    whole = est(epochs=4, fine_tune_epochs=0).fit(X, y)
    parts = est(epochs=2, fine_tune_epochs=2).fit(X, y)
    np.testing.assert_array_equal(whole.sample_indices_, parts.sample_indices_)


def test_searches_and_clones(tmp_path):
    search = GridSearchCV(
        est(epochs=1),
        {"fine_tune_epochs": [0, 1], "fine_tune_layers": ["all", 1]},
        cv=2,
        error_score="raise",
    ).fit(X, y)
    best = search.best_estimator_
    again = clone(best).fit(X, y)
    np.testing.assert_array_equal(best.predict_proba(X), again.predict_proba(X))
    tuned = est().fit(X, y)
    tuned.save(tmp_path / "tuned")
    loaded = AugmentedKerasClassifier.load(tmp_path / "tuned", {"build": build})
    assert loaded.fine_tune_start_ == 2
    np.testing.assert_array_equal(loaded.predict_proba(X), tuned.predict_proba(X))
    for clf in (loaded, tuned):
        clf.partial_fit(X, y)
        assert len(clf.history_["loss"]) == 5
        assert clf.fine_tune_start_ == 2
    np.testing.assert_array_equal(loaded.predict_proba(X), tuned.predict_proba(X))


@pytest.mark.parametrize("interrupted", [1, 2, 3])
def test_an_interrupted_fit_resumes_in_either_phase(interrupted, tmp_path, pending):
    clf = est(callbacks=keras.callbacks.EarlyStopping("loss", patience=9))
    whole = clone(clf).fit(X, y)
    pending.append(interrupted)
    with pytest.raises(KeyboardInterrupt):
        clone(clf).fit(X, y, checkpoint_dir=tmp_path)
    pending.append(interrupted - 1)  # which is not run again
    resumed = clone(clf).fit(X, y, checkpoint_dir=tmp_path)
    assert pending.pop() == interrupted - 1
    assert resumed.history_ == whole.history_
    np.testing.assert_array_equal(resumed.predict_proba(X), whole.predict_proba(X))


# Keras leaves the file of an interrupted fit to Python, which closes it.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("interrupted", [1, 2, 3])
def test_a_resumed_fit_goes_on_in_the_file_of_a_csv_logger(interrupted, tmp_path, pending):
    file = tmp_path / "log.csv"
    clf = est(callbacks=keras.callbacks.CSVLogger(file))
    clf.fit(X, y)
    whole = file.read_text()
    pending.append(interrupted)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, y, checkpoint_dir=tmp_path)
    for _ in range(2):  # the second time, no epoch is left
        with file.open("a") as opened:
            opened.write("a row whose epoch did not end, or of another fit")
        clf.fit(X, y, checkpoint_dir=tmp_path)
        assert file.read_text() == whole
    clf.set_params(fine_tune_layers=1).fit(X, y, checkpoint_dir=tmp_path)
    rows = file.read_text().split()
    assert rows[:3] == whole.split()[:3]
    assert [row.split(",")[0] for row in rows] == ["epoch", "0", "1", "2", "3"]


def test_another_second_phase_goes_on_from_the_same_first_one(tmp_path, pending):
    whole = est().fit(X, y, checkpoint_dir=tmp_path)
    pending.append(0)
    other = est(fine_tune_epochs=1, fine_tune_layers=1).fit(X, y, checkpoint_dir=tmp_path)
    assert pending == [0]
    assert other.history_["loss"][:2] == whole.history_["loss"][:2]
    assert len(other.history_["loss"]) == 3


def test_the_bar_tells_the_phase(capsys):
    est(verbose=1).fit(X, y)
    first, second = capsys.readouterr().err.strip().splitlines()
    assert first.startswith("epoch 2/2")
    assert second.startswith("fine-tuning epoch 4/4")


def test_pretrained_networks_in_two_phases():
    backbone = keras.Sequential(
        [
            keras.layers.Input((8, 8, 3)),
            keras.layers.Conv2D(3, 3),
            keras.layers.BatchNormalization(),
            keras.layers.Conv2D(3, 3),
        ]
    )
    clf = est(pretrained(backbone), fine_tune_layers=1).fit(X, y)
    (trunk,) = (la for la in clf.model_.layers if isinstance(la, keras.Sequential))
    same = [
        np.array_equal(a, b)
        for a, b in zip(backbone.get_weights(), trunk.get_weights(), strict=True)
    ]
    assert same == [True] * 6 + [False] * 2


@pytest.mark.parametrize(
    ("parameters", "error", "words"),
    [
        ({"fine_tune_layers": "nothing*"}, ValueError, "unfreezes no weights"),
        ({"fine_tune_layers": "norm"}, ValueError, "unfreezes no weights"),
        ({"fine_tune_layers": lambda model: None}, TypeError, "must return layers"),
        ({"fine_tune_layers": lambda model: [3]}, TypeError, "must return layers"),
        ({"fine_tune_layers": 0}, InvalidParameterError, "fine_tune_layers"),
        ({"fine_tune_epochs": -1}, InvalidParameterError, "fine_tune_epochs"),
        ({"fine_tune_learning_rate": 0}, InvalidParameterError, "fine_tune_learning_rate"),
    ],
)
def test_refusals_come_before_training(parameters, error, words):
    class Never(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            raise AssertionError

    with pytest.raises(error, match=words):
        est(callbacks=Never(), **parameters).fit(X, y)


def test_a_model_without_frozen_layers_is_refused():
    def open_model(meta):
        return keras.Sequential(
            [
                keras.Input(meta["image_shape_"]),
                keras.layers.Flatten(),
                keras.layers.Dense(2, activation="softmax"),
            ]
        )

    with pytest.raises(ValueError, match="no layer of the model is frozen"):
        est(open_model).fit(X, y)


def test_without_a_second_phase_its_parameters_change_nothing():
    # So that a grid can have fine_tune_epochs of 0 and 5: neither an error nor a warning.
    given = {"fine_tune_layers": 1, "fine_tune_learning_rate": 0.5}
    plain, with_them = (est(fine_tune_epochs=0, **more).fit(X, y) for more in ({}, given))
    assert plain.fine_tune_start_ is with_them.fine_tune_start_ is None
    np.testing.assert_array_equal(plain.predict_proba(X), with_them.predict_proba(X))


def test_warm_start_is_refused():
    clf = est(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="warm_start"):
        clf.fit(X, y)
    assert len(clf.set_params(fine_tune_epochs=0).fit(X, y).history_["loss"]) == 2
