"""A model that Keras trained becomes a classifier that scikit-learn's tools take for fitted."""

import keras
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import ConfusionMatrixDisplay, RocCurveDisplay, get_scorer
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV

from skimgcv import AugmentedKerasClassifier, ImageAugmenter
from skimgcv.exceptions import UnusedWeightsWarning

SHAPE = (5, 4, 3)
X = np.random.default_rng(0).integers(0, 256, (24, *SHAPE)).astype(np.uint8)
y = np.array(["cat", "dog"])[np.arange(24) % 2]
from_keras = AugmentedKerasClassifier.from_keras


def model_of(units=2, activation="softmax", *, loss="sparse_categorical_crossentropy", norm=False):
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            *([layers.BatchNormalization()] if norm else []),
            layers.Flatten(),
            layers.Dense(units, activation=activation),
        ]
    )
    if loss:
        model.compile("sgd", loss)
    return model


@pytest.fixture(name="trained", scope="module")
def model():
    model = model_of(norm=True)
    model.fit(X / 255, (y == "dog").astype(int), epochs=2, verbose=0)
    return model


@pytest.fixture(name="clf")
def classifier(trained):
    return from_keras(trained, classes=["cat", "dog"], augmenter=ImageAugmenter(rescale=1 / 255))


def test_it_predicts_what_keras_does(clf, trained):
    expected = trained.predict(X.astype(np.float32) * np.float32(1 / 255), verbose=0)
    # Float32's seven digits, in another batch size.
    np.testing.assert_allclose(clf.predict_proba(X), expected, atol=1e-6)
    assert clf.predict(X).tolist() == clf.classes_[expected.argmax(1)].tolist()


@pytest.mark.parametrize(
    ("units", "activation", "loss", "to_second"),
    [
        (1, "sigmoid", "binary_crossentropy", lambda z: 1 / (1 + np.exp(-z))),
        (
            1,
            None,
            keras.losses.BinaryCrossentropy(from_logits=True),
            lambda z: 1 / (1 + np.exp(-z)),
        ),
        (2, None, keras.losses.CategoricalCrossentropy(from_logits=True), None),
        (2, "softmax", None, None),
        (2, "linear", None, None),
    ],
)
def test_outputs_of_any_kind_become_probabilities(units, activation, loss, to_second):
    model = model_of(units, activation, loss=loss)
    dense = model.layers[-1]
    z = (X / 255).reshape(24, -1) @ np.asarray(dense.kernel) + np.asarray(dense.bias)
    scores = z if units == 2 else np.hstack([np.zeros_like(z), z])
    second = np.exp(scores[:, 1]) / np.exp(scores).sum(1)
    clf = from_keras(model, classes=[0, 1], augmenter=ImageAugmenter(rescale=1 / 255))
    np.testing.assert_allclose(clf.predict_proba(X)[:, 1], second, atol=1e-5)


def test_scikit_learns_tools_take_it_for_fitted(clf):
    frozen = FrozenEstimator(clf)
    calibrated = CalibratedClassifierCV(frozen, cv=3).fit(X, y)
    assert calibrated.predict_proba(X).shape == (24, 2)
    cut = FixedThresholdClassifier(frozen, threshold=0.0, pos_label="dog").fit(X, y)
    assert set(cut.predict(X)) == {"dog"}
    tuned = TunedThresholdClassifierCV(frozen, cv="prefit", refit=False).fit(X, y)
    assert set(tuned.predict(X)) <= {"cat", "dog"}
    assert 0 <= get_scorer("roc_auc")(clf, X, y) <= 1
    assert clf.score(X, y) == np.mean(clf.predict(X) == y)


def test_it_is_displayed(clf):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    RocCurveDisplay.from_estimator(clf, X, y)
    ConfusionMatrixDisplay.from_estimator(clf, X, y)
    pyplot.close("all")


def test_it_is_saved_loaded_and_exported(clf, tmp_path):
    clf.save(tmp_path / "clf")
    loaded = AugmentedKerasClassifier.load(tmp_path / "clf")
    np.testing.assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))
    np.testing.assert_allclose(
        clf.to_keras().predict(X, verbose=0), clf.predict_proba(X), atol=1e-5
    )


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", None])
def test_it_trains_on_from_its_weights_and_leaves_the_model_as_it_was(loss):
    model = model_of(loss=loss)
    before = model.get_weights()
    clf = from_keras(model, classes=["cat", "dog"], random_state=0)
    clf.partial_fit(X, y)
    assert len(clf.history_["loss"]) == 1
    for was, now, trained in zip(
        before, model.get_weights(), clf.model_.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(was, now)
        assert not np.array_equal(was, trained)


def test_a_fit_of_its_clone_begins_anew_and_says_so(clf):
    with pytest.warns(UnusedWeightsWarning):
        clone(clf).fit(X, y)


def test_statistics_are_those_that_the_augmenter_has_learned(trained):
    augmenter = ImageAugmenter(featurewise_center=True)
    with pytest.raises(ValueError, match="call fit"):
        from_keras(trained, classes=["cat", "dog"], augmenter=augmenter)
    augmenter.fit(X[:7])
    clf = from_keras(trained, classes=["cat", "dog"], augmenter=augmenter)
    np.testing.assert_array_equal(clf.augmenter_.mean_, augmenter.mean_)
    assert clf.augmenter_ is not augmenter


def test_layers_and_functions_standardise(trained):
    expected = from_keras(
        trained, classes=[0, 1], augmenter=ImageAugmenter(rescale=1 / 255)
    ).predict_proba(X)
    for augmenter in (keras.layers.Rescaling(1 / 255), lambda image, rng: image / 255):
        clf = from_keras(trained, classes=[0, 1], augmenter=augmenter)
        np.testing.assert_allclose(clf.predict_proba(X), expected, atol=1e-6)


def test_test_time_rounds_transform(trained):
    flips = ImageAugmenter(rotation_range=90, rescale=1 / 255)
    clf = from_keras(trained, classes=[0, 1], augmenter=flips, tta_rounds=3, random_state=0)
    plain = clf.predict_proba(X)
    assert not np.allclose(plain, clf.set_params(tta_rounds=0).predict_proba(X))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"classes": ["dog", "cat"]}, "sorted"),
        ({"classes": ["dog", "dog"]}, "each once"),
        ({"classes": ["dog"]}, "two labels or more"),
        ({"classes": [0, 1, 2]}, "each output of the model, 2; it has 3"),
        ({"classes": [0, 1], "epochs": 0}, "epochs"),
        ({"classes": [0, 1], "model": lambda: None}, "keras.Model that was trained"),
        (
            {"classes": [0, 1], "model": keras.Sequential([keras.layers.Dense(2)])},
            "one input of a fixed shape",
        ),
    ],
)
def test_what_does_not_fit_is_told(trained, arguments, said):
    with pytest.raises((ValueError, TypeError), match=said):
        from_keras(**{"model": trained} | arguments)


def test_outputs_are_brought_into_the_order_that_the_error_says(trained):
    turned = keras.Model(
        trained.inputs, keras.ops.take(trained.outputs[0], np.argsort(["dog", "cat"]), axis=1)
    )
    turned.compile("sgd", "sparse_categorical_crossentropy")
    clf = from_keras(turned, classes=["cat", "dog"])
    expected = from_keras(trained, classes=["cat", "dog"]).predict_proba(X)[:, ::-1]
    np.testing.assert_array_equal(clf.predict_proba(X), expected)


def test_labels_of_which_a_row_has_several_are_in_any_order():
    model = model_of(2, "sigmoid", loss="binary_crossentropy")
    clf = from_keras(model, classes=["scar", "crack"], multilabel=True)
    np.testing.assert_allclose(
        clf.predict_proba(X), model.predict(X.astype("float32"), verbose=0), atol=1e-6
    )
    assert clf.classes_.tolist() == ["scar", "crack"]
    clf.partial_fit(X, np.eye(2, dtype=int)[np.arange(24) % 2])
    assert len(clf.history_["loss"]) == 1
