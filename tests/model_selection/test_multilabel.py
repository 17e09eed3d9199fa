"""Folds with their share of each label, by the measures of Sechidis et al. (2011)."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.model_selection import GroupKFold, KFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from skimgcv.model_selection import MultilabelStratifiedKFold

RNG = np.random.default_rng(0)
Y = (RNG.random((300, 8)) < np.geomspace(0.4, 0.02, 8)).astype(int)


def folds(splitter, y=Y, groups=None):
    return [test for _, test in splitter.split(np.zeros(len(y)), y, groups)]


def label_distribution(tests, y):
    """Give the paper's measure: how far odds of labels in folds are from those of all rows."""
    of_all = y.sum(0) / (len(y) - y.sum(0))
    of_folds = [y[test].sum(0) / (len(test) - y[test].sum(0)) for test in tests]
    return np.abs(np.array(of_folds) - of_all).mean()


@pytest.mark.parametrize("shuffle", [False, True])
def test_folds_are_nearer_to_all_rows_than_those_of_kfold(shuffle):
    seed = 0 if shuffle else None
    tests = folds(MultilabelStratifiedKFold(10, shuffle=shuffle, random_state=seed))
    by_chance = folds(KFold(10, shuffle=True, random_state=0))
    assert np.sort(np.concatenate(tests)).tolist() == list(range(300))
    assert {len(test) for test in tests} <= {29, 30, 31}
    assert label_distribution(tests, Y) < 0.4 * label_distribution(by_chance, Y)
    # Of the rarest label each fold has its share, or one more or fewer.
    rarest = [Y[test, 7].sum() for test in tests]
    assert np.ptp(rarest) <= 1


def test_the_order_is_drawn_from_random_state():
    def first(**options):
        return folds(MultilabelStratifiedKFold(3, **options))[0].tolist()

    assert first() == first()
    assert first(shuffle=True, random_state=1) == first(shuffle=True, random_state=1)
    assert first(shuffle=True, random_state=1) != first(shuffle=True, random_state=2)


def test_groups_stay_whole():
    groups = RNG.integers(0, 60, 300)
    tests = folds(MultilabelStratifiedKFold(5, shuffle=True, random_state=0), groups=groups)
    for test in tests:
        assert set(groups[test]).isdisjoint(np.delete(groups, test))
    theirs = [test for _, test in GroupKFold(5).split(Y, Y, groups)]
    assert label_distribution(tests, Y) < label_distribution(theirs, Y)


def test_scikit_learns_tools_take_it():
    cv = MultilabelStratifiedKFold(2, shuffle=True, random_state=0)
    scores = cross_val_score(KNeighborsClassifier(1), Y, Y, cv=cv)
    splits = list(cv.split(Y, sparse.csr_matrix(Y)))
    by_hand = [KNeighborsClassifier(1).fit(Y[a], Y[a]).score(Y[b], Y[b]) for a, b in splits]
    assert scores.tolist() == by_hand
    assert cv.get_metadata_routing().split.requests == {"groups": True}
    assert "n_splits=2" in repr(cv)


@pytest.mark.parametrize(
    ("options", "y", "groups", "message"),
    [
        ({"n_splits": 1}, Y, None, "n_splits == 1"),
        ({"random_state": 0}, Y, None, "no effect without shuffle"),
        ({}, Y[:, 0], None, r"needs y of shape \(n, labels\)"),
        ({}, Y[:4], None, "as many rows; y has 4"),
        ({}, Y, np.arange(300) // 100, "as many groups; y has 3"),
        ({}, Y, np.arange(7), r"groups must have shape \(300,\)"),
    ],
)
def test_what_cannot_be_split_is_refused(options, y, groups, message):
    with pytest.raises(ValueError, match=message):
        folds(MultilabelStratifiedKFold(**options), y, groups)
