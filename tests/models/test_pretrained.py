"""A pretrained network as its builder makes it: preprocessing inside, frozen, weights kept."""

import keras
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score

from skimgcv import AugmentedKerasClassifier, ImageAugmenter
from skimgcv.exceptions import UnusedWeightsWarning
from skimgcv.models import pretrained

N = 24
pytestmark = pytest.mark.usefixtures("own_random")  # layers that are made here draw seeds

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (N, 8, 8, 3)).astype(np.uint8)
y = np.arange(N) % 2


@pytest.fixture
def backbone():
    """Stands for a network that was trained on other images."""
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((8, 8, 3)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
        ]
    )
    model.set_weights([RNG.uniform(0.1, 1, w.shape) for w in model.get_weights()])
    return model


def est(model, **parameters):
    augmenter = ImageAugmenter(horizontal_flip=True)
    return AugmentedKerasClassifier(
        model, **{"augmenter": augmenter, "epochs": 2, "random_state": 0, **parameters}
    )


def trunk_of(clf, backbone):
    (trunk,) = (layer for layer in clf.model_.layers if isinstance(layer, type(backbone)))
    return trunk


def test_a_frozen_backbone_keeps_its_weights_and_only_the_head_learns(backbone):
    before = backbone.get_weights()
    clf = est(pretrained(backbone, dropout=0)).fit(X, y)
    for a, b in zip(before, trunk_of(clf, backbone).get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(clf.model_.trainable_variables) == 2
    assert not np.isclose(clf.model_.get_weights()[-2], 0).all()


def test_it_predicts_as_the_same_layers_by_hand(backbone):
    clf = est(pretrained(backbone, preprocess_input=keras.layers.Rescaling(1 / 127.5, -1)))
    clf.fit(X, y)
    features = backbone(X.astype("float32") / 127.5 - 1, training=False).numpy().mean((1, 2))
    kernel, bias = clf.model_.layers[-1].get_weights()
    scores = np.exp(features @ kernel + bias)
    np.testing.assert_allclose(
        clf.predict_proba(X), scores / scores.sum(1, keepdims=True), rtol=1e-4
    )


def test_a_trained_backbone_leaves_the_users_as_it_was(backbone):
    before = backbone.get_weights()
    clf = est(pretrained(backbone, trainable=True)).fit(X, y)
    after = trunk_of(clf, backbone).get_weights()
    changed = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    # Kernel and bias; batch normalisation keeps all of its own.
    assert changed == [True, True, False, False, False, False]
    for a, b in zip(before, backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("trainable", [False, True])
def test_a_backbone_runs_in_training_as_in_evaluation(backbone, trainable):
    """Keras' fit overrides ``training=False`` of the call within a functional model."""
    model = pretrained(backbone, trainable=trainable, dropout=0)(
        {"image_shape_": (8, 8, 3), "n_classes_": 2}
    )
    images = X.astype("float32")
    np.testing.assert_array_equal(model(images, training=True), model(images, training=False))


def test_its_parameters_can_be_searched(backbone):
    grid = {"model__dropout": [0, 0.9], "model__trainable": [False, True]}
    search = GridSearchCV(est(pretrained(backbone)), grid, cv=2).fit(X, y)
    assert len(search.cv_results_["params"]) == 4
    dropped = clone(est(pretrained(backbone), model__dropout=0.9)).fit(X, y)
    (layer,) = (x for x in dropped.model_.layers if isinstance(x, keras.layers.Dropout))
    assert layer.rate == 0.9


def test_folds_share_compiled_steps(backbone, traces):
    clf = est(pretrained(backbone))
    cross_val_score(clf, X, y, cv=3)
    assert traces["train_step"] == 1


def test_a_function_may_give_the_backbone():
    def make():
        return keras.Sequential([keras.layers.Input((8, 8, 3)), keras.layers.Conv2D(2, 3)])

    assert est(pretrained(make)).fit(X, y).predict_proba(X).shape == (N, 2)


def test_grey_images_become_three_channels(backbone):
    grey = X[..., :1]
    one, three = est(pretrained(backbone)), est(pretrained(backbone))
    np.testing.assert_array_equal(
        one.fit(grey, y).predict_proba(grey),
        three.fit(np.repeat(grey, 3, axis=3), y).predict_proba(np.repeat(grey, 3, axis=3)),
    )


@pytest.mark.parametrize(
    ("name", "module"),
    # Values of -1 to 1; and 0 to 255, by a name that the module itself lacks.
    [("MobileNet", "mobilenet"), ("MobileNetV3Small", "mobilenet_v3")],
)
def test_a_network_of_keras_is_had_by_its_name(name, module, tmp_path):
    images = RNG.integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
    meta = {"image_shape_": (32, 32, 3), "n_classes_": 3}
    with pytest.warns(UnusedWeightsWarning, match="random weights"):
        model = pretrained(name, weights=None)(meta)
    (trunk,) = (layer for layer in model.layers if isinstance(layer, keras.Model))
    path = tmp_path / "trunk.weights.h5"
    trunk.save_weights(path)
    again = pretrained(name, weights=path)(meta)
    (read,) = (layer for layer in again.layers if isinstance(layer, keras.Model))
    for a, b in zip(trunk.get_weights(), read.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    preprocess_input = getattr(keras.applications, module).preprocess_input
    prepared = preprocess_input(images.astype("float32"))
    features = keras.Model(model.inputs, model.layers[-3].output)([images.astype("float32")])
    by_hand = np.mean(trunk(prepared, training=False), axis=(1, 2))
    np.testing.assert_allclose(features, by_hand, rtol=1e-4, atol=1e-5)
    assert not trunk.trainable


META = {"image_shape_": (32, 32, 3), "n_classes_": 2}


@pytest.mark.parametrize(
    ("options", "meta", "error", "said"),
    [
        ({"backbone": "MobilNet"}, META, ValueError, r"not in keras.*; it has .*'MobileNet'"),
        ({"backbone": "preprocess_input"}, META, ValueError, r"not in keras\.applications"),
        ({"weights": "none.h5"}, META, OSError, "is no file; pass a path"),
        ({"pooling": "mean"}, META, ValueError, r"one of \['avg', 'max'\]"),
        ({}, {**META, "image_shape_": (64,)}, ValueError, "rows of 64 features"),
        ({}, {**META, "image_shape_": (32, 32, 4)}, ValueError, "3 channels, or of 1; X has 4"),
    ],
)
def test_what_cannot_be_built_is_refused(options, meta, error, said):
    with pytest.raises(error, match=said):
        pretrained(**options)(meta)


def test_without_a_network_the_error_says_how_to_go_on(monkeypatch):
    def unreachable(*_, **__):
        raise Exception("URL fetch failure on https://example.org: None")

    unreachable.__module__ = keras.applications.MobileNet.__module__
    monkeypatch.setattr(keras.applications, "MobileNet", unreachable)
    with pytest.raises(OSError, match=r"could not be downloaded.*pass its path as `weights`"):
        pretrained("MobileNet")(META)
