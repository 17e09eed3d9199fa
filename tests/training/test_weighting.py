"""Class weights and sample weights, as the model feels them."""

import keras
import numpy as np
import pytest
from builders import cnn, linear
from samples import blobs, classifier, same_model
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold, cross_validate
from sklearn.utils.class_weight import compute_class_weight

from skimgcv import AugmentedKerasClassifier, ImageAugmenter, ImageFiles
from skimgcv.exceptions import OneHotLabelsWarning, PixelScaleWarning, UnreadableImagesWarning

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


# -- rows of weight 0 are as if they were not in X -------------------------------------


X, Y = blobs(40)
# Of class 0 most rows have no weight, so that class 0 is the rarest of those that are left.
NO_WEIGHT = (np.arange(40) % 7 == 0) | ((Y == 0) & (np.arange(40) < 30))
W = np.where(NO_WEIGHT, 0, np.random.default_rng(0).uniform(0.5, 2, 40))
GROUPS = np.arange(40) // 3


def spoiled(rows):
    """X, with values in some rows that no fit on the others could know."""
    given = X.copy()
    given[rows] = 200
    return given


def assert_same_fit(fitted, alone, kept):
    """Compare a fit on all rows with one on those that were kept, bit for bit."""
    assert same_model(fitted, alone)
    assert fitted.history_ == alone.history_
    assert fitted.classes_.tolist() == alone.classes_.tolist()
    assert fitted.class_weight_ == alone.class_weight_
    for name in ("sample_indices_", "validation_indices_"):
        assert getattr(fitted, name).tolist() == kept[getattr(alone, name)].tolist()
    np.testing.assert_array_equal(fitted.predict_proba(X), alone.predict_proba(X))


def build_by_rows(meta):
    """Build a model that depends on how many rows there are."""
    model = linear(meta)
    return keras.Sequential([*model.layers, keras.layers.Rescaling(1 / meta["X_shape_"][0])])


SETTINGS = [
    {"class_weight": "balanced"},
    {"class_weight": {0: 3.0, 1: 0.5}},
    {"sampling_strategy": "auto"},
    {"sampling_strategy": lambda labels: {0: 2 * np.sum(labels == 0)}},
    {"validation_split": 0.25},
    {"validation_split": 0.25, "class_weight": "balanced"},
    {"augmenter": ImageAugmenter(rotation_range=20, featurewise_center=True)},
    {"augmenter": ImageAugmenter(zca_whitening=True)},
    {"class_augmenters": {0: ImageAugmenter(horizontal_flip=True)}},
    {"model": build_by_rows, "loss": "mse"},
    {"tta_rounds": 1, "augmenter": ImageAugmenter(rotation_range=20)},
]


@pytest.mark.parametrize(
    ("settings", "groups"), [(s, None) for s in SETTINGS] + [({"validation_split": 0.25}, GROUPS)]
)
def test_a_fit_is_that_on_the_rows_that_have_weight(settings, groups):
    kept = np.flatnonzero(W)
    clf = classifier(**{"model": linear, "epochs": 2, "metrics": ["accuracy"], **settings})
    own = None if groups is None else groups[kept]
    alone = clone(clf).fit(X[kept], Y[kept], sample_weight=W[kept], groups=own)
    fitted = clf.fit(spoiled(NO_WEIGHT), Y, sample_weight=W, groups=groups)
    assert_same_fit(fitted, alone, kept)


def test_balanced_weighs_by_the_rows_that_are_left():
    y = np.repeat([0, 1], 20)
    weight = np.repeat([1, 1, 0], [20, 5, 15])
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=y[:25])
    assert expected.tolist() == [0.625, 2.5]
    clf = classifier(linear, class_weight="balanced").fit(X, y, sample_weight=weight)
    assert list(clf.class_weight_.values()) == expected.tolist()


@pytest.mark.parametrize("by", ["sample_weight", "class_weight"])
def test_a_class_without_weight_is_no_class(by):
    kept = np.flatnonzero(Y != 2)
    weight = {2: 0, 0: 2.0}
    alone = classifier(linear, validation_split=0.2)
    fitted = clone(alone)
    if by == "class_weight":
        alone.fit(X[kept], Y[kept], class_weight=weight)
        fitted.fit(spoiled(Y == 2), Y, class_weight=weight)
    else:
        alone.fit(X[kept], Y[kept], sample_weight=np.ones(len(kept)))
        fitted.fit(spoiled(Y == 2), Y, sample_weight=(Y != 2))
    assert fitted.classes_.tolist() == [0, 1]
    assert_same_fit(fitted, alone, kept)


def test_a_class_that_is_named_stays_one_without_weight():
    clf = classifier(linear).partial_fit(X, Y, classes=[0, 1, 2], sample_weight=(Y != 2))
    assert clf.classes_.tolist() == [0, 1, 2]
    assert clf.partial_fit(X, Y, class_weight={2: 0}).classes_.tolist() == [0, 1, 2]
    with pytest.warns(OneHotLabelsWarning):
        one_hot = classifier(linear).fit(X, np.eye(3)[Y], sample_weight=(Y != 2))
    assert one_hot.classes_.tolist() == [0, 1, 2]


@pytest.mark.parametrize("arguments", [{"sample_weight": Y == 0}, {"class_weight": {1: 0, 2: 0}}])
def test_one_class_with_weight_is_none(arguments):
    with pytest.raises(ValueError, match=r"1 class in the rows that count \(weight above 0\): 0"):
        classifier(linear).fit(X, Y, **arguments)


def test_the_scale_of_values_is_that_of_the_rows_with_weight():
    given = spoiled(NO_WEIGHT).clip(0, 200)
    given[~NO_WEIGHT] = given[~NO_WEIGHT].clip(0, 1)
    clf = classifier(linear).fit(given, Y, sample_weight=W)
    clf.predict(X.clip(0, 1))  # which would warn after a fit on values up to 200
    with pytest.warns(PixelScaleWarning, match=r"fitted on values in 0\.\.1"):
        clf.predict(given)


def test_labels_and_weights_of_a_hold_out_that_is_given_count_where_they_have_weight():
    V, v = blobs(12, seed=1)
    kept = np.arange(12) % 3 > 0
    labels = np.where(kept, v, 99)  # no class of y, but of rows that are not there
    clf = classifier(linear, metrics=["accuracy"])
    alone = clone(clf).fit(X, Y, validation_data=(V[kept], v[kept], np.ones(kept.sum())))
    fitted = clf.fit(X, Y, validation_data=(V, labels, kept.astype(float)))
    assert fitted.history_ == alone.history_


def test_files_that_cannot_be_read_are_as_if_they_were_not_in_x(tmp_path):
    paths = []
    for row, image in enumerate((X * 100).clip(0, 255).astype(np.uint8)):
        paths.append(str(tmp_path / f"{row}.png"))
        keras.utils.save_img(paths[-1], image, scale=False)
    bad = np.flatnonzero((Y == 2) | (np.arange(40) % 5 == 0))
    for row in bad:
        (tmp_path / f"{row}.png").write_bytes(b"no image")
    kept = np.setdiff1d(np.arange(40), bad)
    files = ImageFiles(paths, (4, 4), color_mode="grayscale", on_error="skip")
    clf = classifier(linear, class_weight="balanced", validation_split=0.2)
    alone = clone(clf).fit(files[kept], Y[kept])
    with pytest.warns(UnreadableImagesWarning, match=f"{len(bad)} of 40"):
        fitted = clone(clf).fit(files, Y)
    assert fitted.classes_.tolist() == [0, 1]
    assert same_model(fitted, alone)
    assert fitted.validation_indices_.tolist() == kept[alone.validation_indices_].tolist()
    # Those without weight are not even looked at.
    quiet = clone(clf).fit(files, Y, sample_weight=np.isin(np.arange(40), kept))
    assert same_model(
        quiet, clone(clf).fit(files[kept], Y[kept], sample_weight=np.ones(len(kept)))
    )


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
