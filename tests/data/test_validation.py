"""Which forms X and y may have, that nothing of them is changed, and what bad input is told."""

import tracemalloc
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
from builders import linear
from samples import blobs, classifier, same_model
from scipy import sparse
from sklearn.base import clone

from skimgcv import ImageAugmenter
from skimgcv._data.rows import Rows

FLOATS, Y = blobs()
X = (FLOATS.clip(0, 1) * 255).round()  # whole numbers, so that every dtype holds them


class OwnArray(np.ndarray):
    pass


def frozen(array):
    array = np.array(array)
    array.flags.writeable = False
    return array


@pytest.fixture(scope="module")
def reference():
    return classifier(linear).fit(X, Y)


# -- forms of X ------------------------------------------------------------------------

FORMS = {
    "float64": X.astype(np.float64),
    "float16": X.astype(np.float16),
    "uint8": X.astype(np.uint8),
    "int16, big-endian": X.astype(">i2"),
    "int64": X.astype(np.int64),
    "float32, big-endian": X.astype(">f4"),
    "(n, height, width)": X[..., 0],
    "read-only": frozen(X),
    "Fortran order": np.asfortranarray(X),
    "not contiguous": np.repeat(X, 2, axis=2)[:, :, ::2],
    "reversed strides": X[::-1].copy()[::-1],
    "list of images": list(X),
    "tuple of images without channels": tuple(X[..., 0]),
    "nested lists": X.tolist(),
    "array of arrays": np.array([*X, None], dtype=object)[:-1],
    "subclass": X.view(OwnArray),
}


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_of_the_same_images_train_and_predict_the_same(form, reference):
    clf = classifier(linear).fit(FORMS[form], Y)
    assert same_model(clf, reference)
    np.testing.assert_array_equal(clf.predict_proba(FORMS[form]), reference.predict_proba(X))
    assert clf.image_shape_ == (4, 4, 1)
    assert clf.n_features_in_ == 16
    assert not hasattr(clf, "feature_names_in_")


@pytest.mark.parametrize("image_shape", [(4, 4), (4, 4, 1), [4, 4]])
@pytest.mark.parametrize("convert", [np.asarray, pd.DataFrame])
def test_flat_rows_are_the_images_that_image_shape_says(image_shape, convert, reference):
    flat = convert(X.reshape(24, 16))
    clf = classifier(linear, image_shape=image_shape).fit(flat, Y)
    assert same_model(clf, reference)
    np.testing.assert_array_equal(clf.predict_proba(flat), reference.predict_proba(X))
    assert clf.n_features_in_ == 16


@pytest.mark.parametrize("name", ["batch_size", "fit__batch_size", "predict__batch_size"])
def test_a_batch_size_of_none_is_32(name):
    X, Y = blobs(n=40)
    plain = {"batch_size": 5} if name != "batch_size" else {}
    none = classifier(linear, **{**plain, name: None}).fit(X, Y)
    expected = classifier(linear, **{**plain, name: 32}).fit(X, Y)
    assert same_model(none, expected)
    np.testing.assert_array_equal(none.predict_proba(X), expected.predict_proba(X))


@pytest.mark.parametrize("image_shape", [None, (4, 4), (4, 4, 1)])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_flat_rows_pass_for_the_images_of_the_fit(image_shape, method, reference):
    flat = X.reshape(24, 16)
    clf = classifier(linear, image_shape=image_shape, warm_start=True).fit(X, Y)
    np.testing.assert_array_equal(clf.predict_proba(flat), reference.predict_proba(X))
    np.testing.assert_array_equal(clf.predict_proba(flat.tolist()), reference.predict_proba(X))
    # A client that probes an estimator knows no more of X than its width.
    assert clf.predict(np.zeros((1, clf.n_features_in_))).shape == (1,)
    on_images = clone(clf).fit(X, Y)
    assert same_model(getattr(clf, method)(flat, Y), getattr(on_images, method)(X, Y))
    assert clf.image_shape_ == (4, 4, 1)
    validated = classifier(linear).fit(X, Y, validation_data=(flat, Y))
    assert validated.history_ == classifier(linear).fit(X, Y, validation_data=(X, Y)).history_


@pytest.mark.parametrize("rows", [X.reshape(24, 16)[:, :5], X[0, :, :, 0]])
def test_rows_of_another_width_than_the_images_are_refused(rows):
    clf = classifier(linear).fit(X, Y)
    words = (
        rf"has {rows.shape[1]} columns.*fitted on images of shape \(4, 4, 1\).*rows of 16 values"
    )
    with pytest.raises(ValueError, match=words):
        clf.predict(rows)


def test_images_at_a_classifier_of_rows_are_refused():
    clf = classifier(linear).fit(X.reshape(24, 16), Y)
    with pytest.raises(ValueError, match=r"fitted on rows of 16 features. Pass X.reshape"):
        clf.predict(X)
    clf.set_params(image_shape=(4, 4)).predict(X.reshape(24, 16))  # what it was fitted on


def test_columns_of_a_data_frame_have_names_that_prediction_checks():
    frame = pd.DataFrame(X.reshape(24, 16)).add_prefix("pixel")
    clf = classifier(linear, image_shape=(4, 4)).fit(frame, Y)
    assert clf.feature_names_in_.tolist() == frame.columns.tolist()
    with pytest.raises(ValueError, match="feature names should match"):
        clf.predict(frame.rename(columns={"pixel3": "other"}))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        clf.predict(frame.to_numpy())


def test_bool_images_are_zeros_and_ones():
    dark = X < 128
    clf = classifier(linear).fit(dark, Y)
    assert same_model(clf, classifier(linear).fit(dark.astype(np.float32), Y))


def test_rows_of_features_need_no_images():
    clf = classifier(linear).fit(X.reshape(24, 16), Y)
    assert clf.image_shape_ == (16,)
    assert clf.predict_proba(X.reshape(24, 16)).shape == (24, 3)


def test_a_memory_map_stays_one(tmp_path):
    path = tmp_path / "X.npy"
    stored = np.lib.format.open_memmap(path, "w+", np.float32, (256, 128, 256, 1))
    stored[:] = np.random.default_rng(0).random((256, 1, 1, 1), dtype=np.float32)
    stored.flush()
    mapped = np.load(path, mmap_mode="r")  # 32 MB
    y = np.arange(256) % 2
    clf = classifier(linear, batch_size=8).fit(mapped[:8], y[:8])  # compiled beforehand
    tracemalloc.start()
    try:
        clf.fit(mapped, y)
        clf.predict(mapped)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # What is read at once is 8 MB to look for NaN, and some batches of 1 MB.
    assert peak < mapped.nbytes * 0.6


def test_nothing_that_is_passed_in_is_changed():
    augmenter = ImageAugmenter(rotation_range=20, featurewise_center=True, rescale=1 / 255)
    parameters = {
        "augmenter": augmenter,
        "sampling_strategy": MappingProxyType({0: 12}),
        "class_weight": MappingProxyType({0: 2.0}),
        "class_augmenters": MappingProxyType({1: ImageAugmenter(horizontal_flip=True)}),
        "tta_rounds": 1,
    }
    images, labels = frozen(X.astype(np.uint8)), frozen(Y)
    clf = classifier(linear, **parameters, validation_split=0.25)
    groups, weights = frozen(np.arange(24) // 2), frozen(np.ones(24, int) * 2)
    clf.fit(images, labels, sample_weight=weights, groups=groups)
    clf.set_params(validation_split=0.0)
    clf.fit(images, labels, weights, validation_data=(images, labels, weights))
    clf.partial_fit(images, labels, sample_weight=weights)
    clf.predict(images)
    clf.score(images, labels, sample_weight=weights)
    assert all(clf.get_params(deep=False)[k] is v for k, v in parameters.items())
    assert not hasattr(augmenter, "mean_")


# -- what X may not be -----------------------------------------------------------------


def with_one(value, row):
    changed = X.copy()
    changed[row, 1, 2, 0] = value
    return changed


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_row_with_a_value_that_is_not_finite_is_named(value, reference):
    bad = with_one(value, row=17)
    with pytest.raises(ValueError, match=r"NaN or infinity, in row 17\b"):
        classifier(linear).fit(bad, Y)
    with pytest.raises(ValueError, match=r"NaN or infinity, in row 17\b"):
        reference.predict(bad)


def test_a_row_in_a_later_piece_is_named_by_its_own_number():
    large = np.zeros((5, 1024, 2048, 1), np.float32)  # a row is 8 MB, and so a piece
    large[3, 7, 7, 0] = np.nan
    with pytest.raises(ValueError, match="in row 3"):
        Rows.of(large, image_shape=None, name="Clf")


def test_a_sum_that_overflows_is_no_infinity():
    with pytest.raises(ValueError, match="too large for float32, 1e"):
        Rows.of(np.full((3, 2, 2, 1), 1e308), image_shape=None, name="Clf")


BAD_X = {
    "no rows": (X[:0], ValueError, r"0 sample\(s\) \(shape=\(0, 4, 4, 1\)\)"),
    "no columns": (X[:, :, :0], ValueError, r"0 feature\(s\) \(shape=\(24, 4, 0, 1\)\)"),
    "no channels": (X[..., :0], ValueError, r"0 feature\(s\)"),
    "1-D": (X[:, 0, 0, 0], ValueError, "Expected 2D array, got 1D array"),
    "5-D": (X[None], ValueError, r"\(n, height, width, channels\).*\(1, 24, 4, 4, 1\)"),
    "a number": (3, ValueError, "Expected 2D array, got scalar"),
    "nothing": (None, ValueError, "Expected 2D array"),
    "objects": (X.astype(object), ValueError, "integers or floats; X has dtype object"),
    "array of unequal images": (
        np.array([X[0], X[1, 1:], None], dtype=object)[:2],
        ValueError,
        r"images of one shape; X has \(4, 4, 1\) and \(3, 4, 1\). Resize",
    ),
    "ragged list": ([X[0], X[1, 1:]], ValueError, r"\(4, 4, 1\) and \(3, 4, 1\). Resize"),
    "complex": (X.astype(complex), ValueError, "integers or floats; X has dtype complex128"),
    "strings": (X.astype(str), ValueError, "integers or floats; X has dtype <U"),
    "dates": (X.astype("M8[s]"), ValueError, "X has dtype datetime64"),
    "masked": (np.ma.masked_equal(X, 0), TypeError, r"masked pixels.*X.filled\(value\)"),
    "masked images": ([np.ma.masked_equal(x, 0) for x in X], TypeError, "masked pixels"),
    "sparse": (sparse.csr_array(X.reshape(24, 16)), TypeError, "dense data is required"),
    "other length": (X[:-1], ValueError, "inconsistent numbers of samples: X has 23, y has 24"),
}


@pytest.mark.parametrize("case", BAD_X)
def test_bad_images_are_refused_in_fit(case):
    bad, error, message = BAD_X[case]
    with pytest.raises(error, match=message):
        classifier(linear).fit(bad, Y)


@pytest.mark.parametrize("case", sorted(set(BAD_X) - {"other length"}))
def test_bad_images_are_refused_in_prediction(case, reference):
    bad, error, message = BAD_X[case]
    with pytest.raises(error, match=message):
        reference.predict(bad)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (X[:, :3], r"shape \(3, 4, 1\), but .* was fitted on \(4, 4, 1\). Resize"),
        (np.repeat(X, 3, axis=3), r"shape \(4, 4, 3\), but"),
        (X[0], r"shape \(4, 1, 1\), but .* a single one is passed as X\[None\]"),
        (X.reshape(24, 16)[:, :9], r"9 columns, but .* rows of 16 values"),
    ],
)
def test_images_unlike_those_of_fit_are_refused(images, message, reference):
    with pytest.raises(ValueError, match=message):
        reference.predict(images)


@pytest.mark.parametrize(
    ("image_shape", "images", "message"),
    [
        ((28, 28, 1), X.reshape(24, 16), r"\(28, 28, 1\) needs 784 columns, X has 16"),
        ((8, 2, 1), X, r"\(8, 2, 1\), but X holds images of shape \(4, 4, 1\)"),
        ((16,), X.reshape(24, 16), r"\(height, width, channels\).*it is \(16,\)"),
        ((4, -4), X.reshape(24, 16), r"positive integers; it is \(4, -4\)"),
        ((4.0, 4), X.reshape(24, 16), "positive integers; it is"),
        (16, X.reshape(24, 16), "it is 16"),
        ("44", X.reshape(24, 16), "it is '44'"),
    ],
)
def test_an_image_shape_that_does_not_fit(image_shape, images, message):
    with pytest.raises(ValueError, match=message):
        classifier(linear, image_shape=image_shape).fit(images, Y)


@pytest.mark.parametrize("name", ["augmenter", "validation_augmenter", "tta_augmenter"])
def test_an_augmenter_needs_images(name):
    flat = X.reshape(24, 16)
    clf = classifier(linear, **{name: ImageAugmenter()}, validation_split=0.25, tta_rounds=1)
    with pytest.raises(ValueError, match=r"needs images, but X has rows of 16 features; pass im"):
        clf.fit(flat, Y).predict(flat)


# -- what y may not be -----------------------------------------------------------------

BAD_Y = {
    "none": (None, ValueError, "requires y to be passed"),
    "one class": (np.zeros(24), ValueError, "at least 2 classes; y has 1 class: .*0"),
    "too few": (Y[:-1], ValueError, "X has 24, y has 23"),
    "numbers": (Y + 0.5, ValueError, "Unknown label type: continuous"),
    "NaN": (np.where(Y == 0, np.nan, Y), ValueError, "y contains NaN"),
    "missing": (np.array([None, "a"] * 12, object), ValueError, "label type"),
    "several labels": (np.c_[Y > 0, Y < 2], ValueError, r"one-hot.*\(24, 2\).*multilabel=True"),
    "shares": (np.full((24, 3), 1 / 3), ValueError, "none or several classes"),
    "3-D": (Y.reshape(24, 1, 1), ValueError, "dim"),
    "bytes": (
        np.array([b"a", b"b"] * 12),
        TypeError,
        r"bytes; .*astype\(str\)",
    ),
    "masked": (np.ma.masked_equal(Y, 0), TypeError, "y must have a value for each row"),
    "complex": (Y.astype(complex), ValueError, "Complex data not supported"),
}


@pytest.mark.parametrize("case", BAD_Y)
def test_bad_labels_are_refused(case):
    bad, error, message = BAD_Y[case]
    with pytest.raises(error, match=message):
        classifier(linear).fit(X, bad)


# -- weights, groups, validation_data --------------------------------------------------

BAD_ARGUMENTS = {
    "negative weight": ({"sample_weight": -np.ones(24)}, ValueError, "not be negative"),
    "NaN weight": ({"sample_weight": np.full(24, np.nan)}, ValueError, "contains NaN"),
    "too few weights": ({"sample_weight": np.ones(23)}, ValueError, r"\(23,\).*\(24,\)"),
    "2-D weights": ({"sample_weight": np.ones((24, 1))}, ValueError, "1D array of length 24"),
    "masked weights": ({"sample_weight": np.ma.ones(24)}, TypeError, "sample_weight must have a"),
    "masked groups": ({"groups": np.ma.ones(24)}, TypeError, "groups must have a value"),
    "no weight": ({"sample_weight": np.zeros(24)}, ValueError, "at least one non-zero"),
    "words": ({"sample_weight": ["heavy"] * 24}, ValueError, "heavy"),
    "negative class": ({"class_weight": {0: -1}}, ValueError, "0 has -1"),
    "class word": ({"class_weight": "balance"}, ValueError, "'balance'"),
    "class list": ({"class_weight": [1, 2, 3]}, TypeError, "dict .*got list"),
    "few groups": ({"groups": [1, 2]}, ValueError, r"groups must have shape \(24,\).*\(2,\)"),
    "X alone": ({"validation_data": (X,)}, ValueError, r"\(X, y\) or \(X, y, sample_weight\)"),
    "an array": ({"validation_data": X}, ValueError, "it is a ndarray of length 24"),
    "a number": ({"validation_data": 0.2}, ValueError, "it is 0.2"),
    "four": ({"validation_data": (X, Y, Y, Y)}, ValueError, "it is a tuple of length 4"),
    "other shape": ({"validation_data": (X[:, 1:], Y)}, ValueError, r"\(3, 4, 1\), X of \(4, 4"),
    "other length": ({"validation_data": (X[1:], Y)}, ValueError, "X has 23, y has 24"),
    "other label": ({"validation_data": (X, Y + 1)}, ValueError, r"\[3\].*classes \[0, 1, 2\]"),
    "held-out NaN": ({"validation_data": (with_one(np.nan, 5), Y)}, ValueError, "in row 5"),
    "held-out weight": ({"validation_data": (X, Y, -Y)}, ValueError, "not be negative"),
}


@pytest.mark.parametrize("case", BAD_ARGUMENTS)
def test_bad_arguments_of_fit_are_refused(case):
    arguments, error, message = BAD_ARGUMENTS[case]
    with pytest.raises(error, match=message):
        classifier(linear).fit(X, Y, **arguments)


# -- numbers among the parameters ------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("batch_size", 0, ValueError),
        ("batch_size", 1.5, TypeError),
        ("epochs", 0, ValueError),
        ("epochs", 1.5, TypeError),
        ("fit__epochs", 0, ValueError),
        ("fit__batch_size", -1, ValueError),
        ("fit__initial_epoch", -1, ValueError),
        ("fit__validation_freq", 0, ValueError),
        ("predict__batch_size", "32", TypeError),
        ("tta_rounds", -1, ValueError),
        ("validation_split", 1.0, ValueError),
        ("validation_split", -0.1, ValueError),
        ("validation_split", "a third", TypeError),
        ("random_state", "seed", ValueError),
    ],
)
def test_numbers_out_of_range_are_refused_in_fit(name, value, error):
    clf = classifier(linear, **{name: value})
    with pytest.raises(error, match=f"{name}|{value}"):
        clf.fit(X, Y)


# -- the range of values ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "dtype", "scale"),
    [
        ([0, 0.5], float, "0..1"),
        ([0, 1], float, "0..1"),
        ([0, 200], float, "0..255"),
        ([0, 200], np.uint8, "0..255"),
        ([0, 1], np.uint8, None),  # a mask, or a dark image
        ([0, 0], float, None),
        ([-1, 1], float, "-1..1"),
        ([-0.5, 1], float, None),
        ([-1, 1.5], float, None),
        ([-1, 1], np.int16, None),
        ([-1, 200], np.int16, None),
        ([0, 256], np.int16, "0..65535"),
        ([0, 65535], np.uint16, "0..65535"),
        ([0, 65536], np.int32, None),
        ([200, -1], np.int16, None),
        ([0, 1], bool, None),
    ],
)
def test_the_ranges_that_people_mix_up_are_told_apart(values, dtype, scale):
    images = np.array(values, dtype).reshape(2, 1, 1, 1)
    assert Rows.of(images, image_shape=None, name="Clf").scale == scale
