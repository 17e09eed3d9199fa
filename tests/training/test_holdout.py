"""The inner hold-out, against scikit-learn's splitters."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import (
    GroupShuffleSplit,
    StratifiedGroupKFold,
    StratifiedShuffleSplit,
)

from skimgcv._training.holdout import hold_out

labels = st.lists(st.integers(0, 4), min_size=2, max_size=80).map(np.array)
shares = st.floats(0.01, 0.99)
reproducible = settings(derandomize=True, deadline=None, max_examples=100, database=None)


def split(y, share, seed=0, groups=None):
    return hold_out(y, share, np.random.default_rng(seed), groups)


def deviation(y, held, share):
    """Squared rows off the exact share, over the class's rows: 0 is perfect."""
    sizes = np.bincount(y)
    off = np.bincount(y[held], minlength=len(sizes)) - share * sizes
    return (off**2 / np.maximum(sizes, 1)).sum()


@reproducible
@given(y=labels, share=shares, seed=st.integers(0, 9))
def test_each_row_is_on_one_side_and_each_class_within_one_row(y, share, seed):
    sizes = np.bincount(y)
    assume(sizes.max() > 1)
    train, held = split(y, share, seed)
    assert train.dtype == held.dtype == np.intp
    np.testing.assert_array_equal(np.sort(np.concatenate([train, held])), np.arange(len(y)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(held) > 0).all()
    counts = np.bincount(y[held], minlength=len(sizes))
    assert (np.abs(counts - share * sizes) < 1 + 1e-6).all()
    assert (counts[sizes > 0] < sizes[sizes > 0]).all()


@reproducible
@given(
    sizes=st.lists(st.integers(4, 40), min_size=1, max_size=5),
    share=st.floats(0.2, 0.5),
    seed=st.integers(0, 9),
)
def test_shares_are_those_of_stratified_shuffle_split(sizes, share, seed):
    y = np.repeat(np.arange(len(sizes)), sizes)
    splitter = StratifiedShuffleSplit(1, test_size=share, random_state=seed)
    assume(share * len(y) > len(sizes))  # it wants a row of each class on each side
    # Where floats put a whole number of rows just above itself, it takes one more: see below.
    assume(not 0 < share * len(y) - round(share * len(y)) < 1e-9)
    ((_, theirs),) = splitter.split(y, y)
    _, ours = split(y, share, seed)
    assert len(ours) == len(theirs)
    # Each is one of the two whole numbers beside the class's share, give or take the rounding
    # of the total.
    assert np.abs(np.bincount(y[ours]) - np.bincount(y[theirs])).max() <= 1


def test_a_share_of_whole_rows_is_exact():
    y = np.repeat([0, 1, 2], [100, 50, 10])
    _, held = split(y, 0.1)
    np.testing.assert_array_equal(np.bincount(y[held]), [10, 5, 1])
    # 0.07 * 100 is 7.000000000000001 in floats, which must not become 8 rows.
    _, held = split(np.repeat([0, 1], 50), 0.07)
    assert len(held) == 7


def test_the_row_to_spare_goes_to_the_largest_remainder():
    y = np.repeat([0, 1], [7, 3])
    for seed in range(10):  # exact: 2.8 and 1.2
        _, held = split(y, 0.4, seed)
        assert np.bincount(y[held]).tolist() == [3, 1]


def test_a_class_of_one_row_stays_in_training():
    y = np.array([0] * 20 + [1])
    for seed in range(20):
        train, held = split(y, 0.5, seed)
        assert 20 in train
        assert len(held) == 10  # ceil(10.5) is 11: the rare row's part of it is given up


def test_which_rows_are_held_out_is_uniform():
    y = np.repeat([0, 1], [20, 5])
    rng = np.random.default_rng(0)
    times = np.zeros(25)
    for _ in range(500):
        times[hold_out(y, 0.2, rng)[1]] += 1
    # Binomial(500, 0.2) has a standard deviation of 9: six of them.
    assert np.abs(times - 100).max() < 54


def test_ties_between_classes_are_broken_at_random():
    y = np.repeat(np.arange(4), 5)  # 0.3 of 5 is 1.5: two of the four classes get a second row
    counts = [tuple(np.bincount(y[split(y, 0.3, seed)[1]])) for seed in range(40)]
    assert {sum(count) for count in counts} == {6}
    assert len(set(counts)) == 6  # 4 choose 2


@reproducible
@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=2, max_size=80),
    share=shares,
    seed=st.integers(0, 9),
)
def test_no_group_is_on_both_sides_and_no_class_leaves_training(rows, share, seed):
    y, groups = np.array(rows).T
    if not any(set(y) == set(y[groups != group]) for group in groups):
        with pytest.raises(ValueError, match="a group that can be held out"):
            split(y, share, seed, groups)
        return
    train, held = split(y, share, seed, groups)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, held])), np.arange(len(y)))
    assert len(held) > 0
    assert set(groups[train]).isdisjoint(groups[held])
    assert set(y[train]) == set(y)


@pytest.mark.parametrize("seed", range(6))
def test_grouped_shares_are_nearer_than_scikit_learns_best_split(seed):
    rng = np.random.default_rng(seed)
    n_groups, n_classes = [(15, 3), (40, 4), (200, 6)][seed % 3]
    groups = rng.integers(0, n_groups, 20 * n_groups)
    mix = rng.dirichlet(np.full(n_classes, 0.5), n_groups)
    y = np.array([rng.choice(n_classes, p=mix[group]) for group in groups])
    _, held = split(y, 0.2, seed, groups)

    by_fold = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(y, y, groups)
    at_random = GroupShuffleSplit(50, test_size=0.2, random_state=seed).split(y, y, groups)
    ours = deviation(y, held, 0.2)
    # Both measures are sums of floats in another order.
    assert ours <= min(deviation(y, test, 0.2) for _, test in by_fold) + 1e-9
    assert ours <= min(deviation(y, test, 0.2) for _, test in at_random) + 1e-9


@pytest.mark.parametrize("seed", range(10))
def test_of_a_few_groups_the_best_selection_is_found(seed):
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 9, (12, 3))  # rows of each group and class
    groups, y = np.nonzero(np.ones_like(table))
    groups, y = np.repeat(groups, table.ravel()), np.repeat(y, table.ravel())
    _, held = split(y, 0.3, seed, groups)

    selections = (np.arange(1, 2**12 - 1)[:, np.newaxis] >> np.arange(12)) & 1
    sizes = table.sum(axis=0)
    rows = (selections @ table)[(selections @ table < sizes).all(axis=1)]
    best = ((rows - 0.3 * sizes) ** 2 / sizes).sum(axis=1).min()
    # A search need not find it; here it does, to the rounding of a sum of floats.
    assert deviation(y, held, 0.3) == pytest.approx(best, abs=1e-9)


def test_groups_of_one_row_are_as_good_as_none():
    y = np.repeat([0, 1, 2], [43, 21, 9])
    _, held = split(y, 0.25, groups=np.arange(len(y)))
    assert (np.abs(np.bincount(y[held]) - 0.25 * np.bincount(y)) < 1).all()


@pytest.mark.parametrize(
    "groups",
    [
        np.array(["anna", "anna", "bea", "bea", "cleo", "cleo"]),
        ["anna", "anna", "bea", "bea", "cleo", "cleo"],
        np.array(["anna", "anna", "bea", "bea", "cleo", "cleo"], dtype=object),
        np.array([3.5, 3.5, 1.0, 1.0, -2.0, -2.0]),
    ],
)
def test_groups_are_of_any_type_that_scikit_learn_takes(groups):
    train, held = split(np.array([0, 1, 0, 1, 0, 1]), 1 / 3, groups=groups)
    assert len(held) == 2
    assert held[0] % 2 == 0
    assert held[1] == held[0] + 1
    assert len(train) == 4


@pytest.mark.parametrize("share", [0, 1, 1.5, -0.1, np.nan, True, "0.2", None, 5])
def test_a_share_lies_strictly_between_zero_and_one(share):
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        split(np.array([0, 0, 1, 1]), share)


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="3 rows of 3 classes"):
        split(np.arange(3), 0.5)
    with pytest.raises(ValueError, match="holds nothing out: 1 rows of 1 classes"):
        split(np.array([0]), 0.5)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([7, 7, 7, 7], r"of 1 group\(s\)"),
        ([0, 0, 1, 1], r"of 2 group\(s\) each has all the rows of some class"),
        ([0, 0, 1], r"shape \(4,\); its shape is \(3,\)"),
        ([[0], [0], [1], [1]], r"shape \(4,\); its shape is \(4, 1\)"),
    ],
)
def test_groups_that_cannot_be_split_are_refused(groups, message):
    with pytest.raises(ValueError, match=message):
        split(np.array([0, 0, 1, 1]), 0.5, groups=groups)


@pytest.mark.parametrize("groups", [None, np.repeat(np.arange(20), 3)])
def test_the_split_depends_on_the_generator_alone(groups):
    y = np.tile([0, 1, 1], 20)
    first, again, other = (split(y, 0.25, seed, groups)[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert set(first) != set(other)
