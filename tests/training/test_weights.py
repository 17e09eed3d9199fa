"""Class weights and sample weights, against scikit-learn's own arithmetic."""

import collections
import types

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

from skimgcv._training.weights import class_weights, combine_weights, rows_that_count

ANIMALS = np.array(["cat", "dog", "owl"])


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_balanced_is_scikit_learns(n_classes):
    rng = np.random.default_rng(n_classes)
    y = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, 50)])
    expected = compute_class_weight("balanced", classes=np.arange(n_classes), y=y)
    np.testing.assert_array_equal(
        class_weights("balanced", np.arange(n_classes) * 10, y), expected
    )


def test_balanced_leaves_an_absent_class_out_of_the_average():
    y = np.array([0, 0, 0, 2])
    expected = compute_class_weight("balanced", classes=np.array([0, 2]), y=y)
    np.testing.assert_array_equal(class_weights("balanced", ANIMALS, y)[[0, 2]], expected)
    assert class_weights("balanced", ANIMALS, y)[1] == 1


def test_a_dict_is_scikit_learns_where_scikit_learn_takes_it():
    y = np.array([0, 0, 1, 2, 2, 2])
    weights = {"cat": 1.5, "dog": 0.0, "owl": 4}
    np.testing.assert_array_equal(
        class_weights(weights, ANIMALS, y),
        compute_class_weight(weights, classes=ANIMALS, y=ANIMALS[y]),
    )


def test_none_and_an_empty_dict_weigh_one():
    y = np.array([0, 1, 2])
    np.testing.assert_array_equal(class_weights(None, ANIMALS, y), np.ones(3))
    np.testing.assert_array_equal(class_weights({}, ANIMALS, y), np.ones(3))


def test_labels_missing_in_the_dict_weigh_one():
    y = np.array([0, 1, 2])
    np.testing.assert_array_equal(class_weights({"dog": 5.0}, ANIMALS, y), [1, 5, 1])


def test_labels_that_this_fold_lacks_are_ignored():
    y = np.array([0, 0, 1])
    given = {"cat": 2.0, "owl": 9.0, "yak": 7.0}
    np.testing.assert_array_equal(class_weights(given, ANIMALS, y), [2, 1, 1])


@pytest.mark.parametrize(
    ("classes", "given"),
    [
        (np.array([1, 2, 3]), {1: 5.0}),
        (np.array([1, 2, 3]), {np.int64(1): 5.0}),
        (np.array([1, 2, 3]), {np.uint8(1): np.float32(5.0)}),
        (np.array([1, 2, 3]), {1.0: 5}),
        (np.array([-3, -1, 0]), {-3: 5.0}),
        (np.array(["a", "b", "c"]), {"a": 5.0}),
        (np.array(["a", "b", "c"]), {np.str_("a"): 5.0}),
        (np.array(["a", "b", "c"], dtype=object), {np.str_("a"): 5.0}),
        (np.array(["1", "2", "3"]), {"1": 5.0}),
        (np.array([0.5, 1.5, 2.5]), {0.5: 5.0}),
        (np.array([False, True]), {False: 5.0}),
        (np.array([False, True]), {np.False_: 5.0}),
        # As in any Python dict, False and 0 are one key.
        (np.array([False, True]), {0: 5.0}),
        (np.array([0, 1]), {False: 5.0}),
    ],
)
def test_labels_compare_as_in_python(classes, given):
    y = np.arange(len(classes))
    expected = np.ones(len(classes))
    expected[0] = 5.0
    np.testing.assert_array_equal(class_weights(given, classes, y), expected)


def test_a_string_is_not_the_number_it_spells():
    # scikit-learn reads "1" as 1.
    weights = class_weights({"1": 5.0}, np.array([1, 2]), np.array([0, 1]))
    np.testing.assert_array_equal(weights, [1, 1])


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf, -np.inf, "3", None, 1j])
@pytest.mark.parametrize("label", ["cat", "yak"])
def test_a_weight_is_a_finite_number_of_at_least_zero(weight, label):
    # Also for a label that this fold lacks, so that every fold says the same.
    with pytest.raises(ValueError, match=f"finite number of at least 0.*'{label}'"):
        class_weights({"dog": 1.0, label: weight}, ANIMALS, np.array([0, 1, 2]))


def test_zero_is_allowed_unless_it_is_all_there_is():
    labels = ANIMALS[[0, 0, 1]]
    assert rows_that_count(None, {"cat": 0}, labels).tolist() == [2]
    with pytest.raises(ValueError, match=r"at least one class of y above 0.*'cat', 'dog'"):
        rows_that_count(None, {"cat": 0, "dog": 0, "owl": 3}, labels)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ("Balanced", ValueError),
        ("auto", ValueError),
        ([1, 2, 3], TypeError),
        (np.array(["balanced", "balanced"]), TypeError),
        (2.0, TypeError),
    ],
)
def test_another_type_is_told_the_three_forms(given, error):
    with pytest.raises(error, match='None, "balanced" or a dict'):
        class_weights(given, ANIMALS, np.array([0, 1, 2]))


def test_any_mapping_will_do_and_none_is_changed():
    y = np.array([0, 1, 2])
    counting = collections.defaultdict(lambda: 100.0, cat=2.0)
    np.testing.assert_array_equal(class_weights(counting, ANIMALS, y), [2, 1, 1])
    assert dict(counting) == {"cat": 2.0}
    read_only = types.MappingProxyType({"owl": 3.0})
    np.testing.assert_array_equal(class_weights(read_only, ANIMALS, y), [1, 1, 3])


def test_nothing_weighted_is_none():
    assert combine_weights(None, np.ones(3), np.array([0, 1, 2])) is None


def test_the_product_is_scikit_learns_class_weight_times_the_sample_weight():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 40)
    sample_weight = rng.uniform(0, 2, 40)
    by_class = {0: 0.25, 1: 1.0, 2: 8.0}
    combined = combine_weights(sample_weight, class_weights(by_class, np.arange(3), y), y)
    expected = compute_sample_weight(by_class, y) * sample_weight
    assert combined.dtype == np.float32
    np.testing.assert_array_equal(combined, expected.astype(np.float32))


def test_weights_are_not_normalised():
    y = np.array([0, 1])
    np.testing.assert_array_equal(combine_weights([2, 2], np.ones(2), y), [2, 2])
    np.testing.assert_array_equal(combine_weights(None, np.array([3.0, 3.0]), y), [3, 3])


@pytest.mark.parametrize(
    "given",
    [
        np.array([1, 2, 0]),
        np.array([1.0, 2.0, 0.0], dtype=np.float32),
        [1, 2, 0],
        (1.0, 2.0, 0.0),
        pd.Series([1, 2, 0], index=[7, 8, 9]),
        np.array([9, 1, 9, 2, 9, 0])[1::2],
    ],
)
def test_the_callers_weights_stay_as_they_were(given):
    before = np.array(given, copy=True)
    combined = combine_weights(given, np.ones(2), np.array([0, 1, 0]))
    combined += 1
    np.testing.assert_array_equal(np.asarray(given), before)


def test_read_only_weights_are_read():
    given = np.array([1.0, 2.0])
    given.flags.writeable = False
    np.testing.assert_array_equal(
        combine_weights(given, np.array([1.0, 3.0]), np.array([0, 1])), [1, 6]
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1.0, 2.0], r"sample_weight.shape == \(2,\), expected \(3,\)!"),
        (np.ones((3, 1)), "1D array of length 3, got a 2D array"),
        (np.ones((3, 3, 3)), "1D array of length 3, got a 3D array"),
        (2.0, "1D array of length 3, got a 0D array"),
        ([], r"sample_weight.shape == \(0,\), expected \(3,\)!"),
        ([1.0, np.nan, 1.0], "Input sample_weight contains NaN"),
        ([1.0, np.inf, 1.0], "Input sample_weight contains infinity"),
        ([1.0, 2.0, -0.5], r"sample_weight must not be negative: its minimum is -0.5, in row 2"),
        ([0.0, 0.0, 0.0], "at least one non-zero"),
        (["a", "b", "c"], "could not convert string to float"),
        ([1e30, 1e39, 1.0], "weights must fit float32"),
    ],
)
def test_bad_sample_weights_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        combine_weights(given, np.ones(2), np.array([0, 1, 0]))


def test_no_rows_have_no_weight_above_zero():
    with pytest.raises(ValueError, match="at least one non-zero"):
        combine_weights([], np.ones(2), np.array([], dtype=int))


def test_weights_that_cancel_each_other_out_are_refused():
    with pytest.raises(ValueError, match="at least one non-zero"):
        combine_weights([1.0, 0.0], np.array([0.0, 1.0]), np.array([0, 1]))
