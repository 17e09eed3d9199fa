"""Every way in which folds mislead is reported, and sound folds are not."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_sample_image
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
)

from skimgcv.model_selection import MultilabelStratifiedKFold, check_splits, duplicate_groups

Y = np.tile([0, 1], 20)


def images_with_copies():
    """Ten images of 64 pixels, then the same mirrored."""
    photo = load_sample_image("china.jpg")
    originals = [photo[200:264, left : left + 64] for left in range(0, 640, 64)]
    return np.array(originals + [image[:, ::-1] for image in originals])


def test_sound_folds_have_no_problems():
    report = check_splits(None, Y, 5, groups=np.arange(40))
    assert report.problems == ()
    assert repr(report) == "5 folds, no problem found"


def test_copies_across_folds_are_reported_with_their_rows():
    X, y = images_with_copies(), np.tile([0, 1], 10)
    report = check_splits(X, y, KFold(2))  # the first half are the originals
    assert [rows.tolist() for rows in report.duplicate_rows] == [[*range(10)], [*range(10, 20)]]
    assert "test images with a copy in training: 20, in 2 of 2 folds" in repr(report)
    kept_together = duplicate_groups(X)
    report = check_splits(X, y, StratifiedGroupKFold(2), groups=kept_together)
    assert sum(map(len, report.duplicate_rows)) == 0
    assert repr(check_splits(X.tolist(), y, KFold(2))) == repr(check_splits(X, y, KFold(2)))
    known = check_splits(None, y, KFold(2), duplicates=kept_together)
    assert [len(rows) for rows in known.duplicate_rows] == [10, 10]


def test_groups_on_both_sides_are_named():
    groups = np.repeat(list("abcd"), 10)
    report = check_splits(None, Y, KFold(2, shuffle=True, random_state=0), groups=groups)
    assert report.shared_groups[0].tolist() == list("abcd")
    assert "groups on both sides: 8, in 2 of 2 folds" in repr(report)
    assert not check_splits(None, Y, GroupKFold(2), groups=groups).problems


def test_folds_without_a_class_say_which():
    y = np.array(["common"] * 9 + ["rare"])
    report = check_splits(None, y, KFold(5, shuffle=True, random_state=0))
    without = [classes.tolist() for classes in report.untested_classes]
    assert without.count(["rare"]) == 4
    assert [classes.tolist() for classes in report.untrained_classes].count(["rare"]) == 1


@pytest.mark.parametrize(
    ("n_classes", "skewed"),
    [(2, [0, 1, 3, 4]), (3, [0, 1, 2, 3, 4]), (10, [0, 1, 2, 3, 4])],  # of two, one has both
)
def test_unshuffled_folds_over_sorted_labels_are_a_trap(n_classes, skewed):
    y = np.repeat(np.arange(n_classes), 30)
    assert check_splits(None, y, KFold(5)).skewed_folds.tolist() == skewed
    for sound in (KFold(5, shuffle=True, random_state=0), StratifiedKFold(5)):
        assert check_splits(None, y, sound).skewed_folds.tolist() == []
    shuffled = np.random.default_rng(0).permutation(y)
    assert check_splits(None, shuffled, KFold(5)).skewed_folds.tolist() == []


def test_rows_on_both_sides_are_not_called_copies():
    rows = np.arange(40)
    report = check_splits(None, Y, [(rows, rows[:10])], duplicates=rows)
    assert report.shared_rows[0].tolist() == [*range(10)]
    assert report.duplicate_rows[0].tolist() == []
    assert "test rows that are training rows too: 10" in repr(report)


def test_splits_may_be_random_or_masks():
    report = check_splits(None, Y, ShuffleSplit(3, random_state=0))
    assert report.n_folds == 3
    mask = np.arange(40) < 20
    assert not check_splits(None, Y, [(mask, ~mask)]).problems


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X": np.zeros((3, 64, 64)), "y": Y}, "X has 3 rows and y has 40"),
        ({"X": None, "y": Y, "groups": [1]}, "groups must be one label a row"),
        ({"X": None, "y": Y, "duplicates": [1]}, "duplicates must be one label a row"),
    ],
)
def test_what_does_not_match_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        check_splits(**arguments, cv=2)


def test_a_label_of_several_that_a_fold_lacks_is_found():
    y = np.zeros((20, 3), int)
    y[:, 0] = np.arange(20) % 2
    y[:3, 1] = 1  # all in the first fold; nothing has the third label, which is no fold's fault
    report = check_splits(None, y, cv=KFold(2))
    assert [missing.tolist() for missing in report.untrained_classes] == [[1], []]
    assert [missing.tolist() for missing in report.untested_classes] == [[], [1]]
    assert not len(report.skewed_folds)
    table = pd.DataFrame(y[:, :2], columns=["nodule", "mass"])
    assert check_splits(None, table, cv=2).untested_classes[1].tolist() == ["mass"]
    assert not check_splits(None, y, cv=MultilabelStratifiedKFold(2)).problems


def test_numbers_have_no_classes_but_may_be_sorted():
    y = np.random.default_rng(0).random(80)
    assert not check_splits(None, y, cv=4).problems
    report = check_splits(None, np.sort(y), cv=4)
    assert report.skewed_folds.tolist() == [0, 1, 2, 3]
    assert not check_splits(None, np.sort(y), cv=KFold(4, shuffle=True, random_state=0)).problems


def test_whole_numbers_are_numbers_where_that_is_said():
    ages = np.arange(80) // 2
    assert len(check_splits(None, ages, cv=KFold(4)).untested_classes[0]) == 30
    report = check_splits(None, ages, cv=KFold(4), classifier=False)
    assert [len(found) for found in report.untested_classes] == [0] * 4
    assert report.skewed_folds.tolist() == [0, 1, 2, 3]
    mixed = np.random.default_rng(0).permutation(ages)
    assert not check_splits(None, mixed, cv=4, classifier=False).problems
    # Of several outputs one is sorted.
    both = np.c_[mixed, ages]
    assert check_splits(None, both, cv=KFold(4), classifier=False).skewed_folds.tolist() == [
        0, 1, 2, 3,
    ]  # fmt: skip
    # Numbers with fractions may be classes.
    halves = np.repeat([0.5, 1.5], 40)
    assert check_splits(None, halves, cv=KFold(2), classifier=True).untested_classes[0] == [1.5]
