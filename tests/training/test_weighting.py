"""Class weights and sample weights, as the model feels them."""

import numpy as np
import pytest
import sklearn
from builders import cnn, linear
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.class_weight import compute_class_weight

from skimgcv import AugmentedKerasClassifier, ImageAugmenter

WEIGHTS = {"a": 5.0, "b": 0.5}


@pytest.fixture
def data(digits):
    X, y = digits
    keep = np.isin(y, [0, 1, 2]).nonzero()[0]
    return X[keep], np.array(["a", "b", "c"])[y[keep]]


def estimator(**parameters):
    augmenter = ImageAugmenter(rotation_range=20, rescale=1 / 255)
    return AugmentedKerasClassifier(
        cnn, augmenter=augmenter, epochs=2, random_state=0, **parameters
    )


def assert_same_weights(a, b):
    # The same products, rounded to float32 in another order.
    for x, y in zip(a.model_.get_weights(), b.model_.get_weights(), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)


def test_a_class_weight_is_the_sample_weight_of_its_rows(data):
    X, y = data
    per_row = np.array([WEIGHTS.get(label, 1.0) for label in y])
    by_class = estimator(class_weight=WEIGHTS).fit(X, y)
    assert_same_weights(by_class, estimator().fit(X, y, sample_weight=per_row))
    assert_same_weights(by_class, estimator().fit(X, y, class_weight=WEIGHTS))
    assert by_class.class_weight_ == {"a": 5.0, "b": 0.5, "c": 1.0}
    unweighted = estimator().fit(X, y)
    assert not np.allclose(unweighted.model_.get_weights()[0], by_class.model_.get_weights()[0])


def test_both_multiply(data):
    X, y = data
    per_row = np.random.default_rng(0).uniform(0.5, 2, len(y))
    product = per_row * np.array([WEIGHTS.get(label, 1.0) for label in y])
    both = estimator(class_weight=WEIGHTS).fit(X, y, sample_weight=per_row)
    assert_same_weights(both, estimator().fit(X, y, sample_weight=product))


def test_a_fit_argument_beats_the_constructors(data):
    X, y = data
    est = estimator(class_weight={"a": 100.0}).fit(X, y, class_weight=WEIGHTS)
    assert est.class_weight_ == {"a": 5.0, "b": 0.5, "c": 1.0}


def test_balanced_is_computed_from_the_folds_own_rows(data):
    X, y = data
    rare = np.r_[np.flatnonzero(y != "c"), np.flatnonzero(y == "c")[:9]]
    X, y = X[rare], y[rare]
    folds = StratifiedKFold(4)
    est = estimator(class_weight="balanced")
    fitted = cross_validate(est, X, y, cv=folds, return_estimator=True)["estimator"]
    for one, (train, _) in zip(fitted, folds.split(X, y), strict=True):
        expected = compute_class_weight("balanced", classes=one.classes_, y=y[train])
        np.testing.assert_allclose(list(one.class_weight_.values()), expected)


def test_weights_stay_with_their_images():
    # Only the marked rows count, and they alone say what class 1 looks like.
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 100)
    X = rng.uniform(0, 1, (200, 4, 4, 1)).astype(np.float32)
    marked = rng.random(200) < 0.2
    X[marked & (y == 0), 0, 0] = -3
    X[marked & (y == 1), 0, 0] = 3
    X[~marked & (y == 0), 0, 0] = 3
    X[~marked & (y == 1), 0, 0] = -3
    est = AugmentedKerasClassifier(
        linear, epochs=40, random_state=0, optimizer__learning_rate=0.05
    )
    est.fit(X, y, sample_weight=np.where(marked, 1.0, 1e-3))
    assert est.score(X[marked], y[marked]) == 1
    assert est.score(X[~marked], y[~marked]) == 0


def test_rows_of_weight_zero_are_left_out(data):
    X, y = data
    rng = np.random.default_rng(0)
    kept = rng.random(len(y)) < 0.7
    spoiled = X.copy()
    spoiled[~kept] = 255
    est = estimator().set_params(augmenter__featurewise_center=True)
    with_zeros = est.fit(spoiled, y, sample_weight=kept.astype(float))
    assert set(with_zeros.sample_indices_) == set(np.flatnonzero(kept))
    np.testing.assert_allclose(
        with_zeros.augmenter_.mean_.ravel(), X[kept].mean() / 255, rtol=1e-5
    )


@pytest.mark.parametrize("routing", [False, True])
def test_class_weight_as_a_fit_param(data, routing):
    X, y = data
    with sklearn.config_context(enable_metadata_routing=routing):
        est = estimator()
        if routing:
            est.set_fit_request(class_weight=True)
        fitted = cross_validate(
            est, X, y, cv=3, params={"class_weight": WEIGHTS}, return_estimator=True
        )["estimator"]
    assert all(e.class_weight_ == {"a": 5.0, "b": 0.5, "c": 1.0} for e in fitted)


def test_class_weight_through_a_pipeline(data):
    X, y = data
    pipeline = make_pipeline(FunctionTransformer(), estimator())
    step = "augmentedkerasclassifier"
    pipeline.fit(X, y, **{f"{step}__class_weight": WEIGHTS})
    assert pipeline[-1].class_weight_["a"] == 5.0
    scores = cross_val_score(pipeline, X, y, cv=2, params={f"{step}__class_weight": WEIGHTS})
    assert scores.shape == (2,)


def test_nothing_passed_in_is_changed(data):
    X, y = data
    weight, per_row = dict(WEIGHTS), np.full(len(y), 2)
    before = X.copy(), y.copy()
    X.setflags(write=False)
    est = estimator()
    augmenter = clone(est.augmenter)
    est.fit(X, y, sample_weight=per_row, class_weight=weight)
    assert weight == WEIGHTS
    np.testing.assert_array_equal(per_row, np.full(len(y), 2))
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(y, before[1])
    assert est.augmenter.get_params() == augmenter.get_params()
    assert not hasattr(est.augmenter, "mean_")
