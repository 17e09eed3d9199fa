"""Scores are compared as others compare them, and chance finds differences as rarely as said."""

import copy

import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import make_moons
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
    HalvingGridSearchCV,
    KFold,
    LeaveOneGroupOut,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    check_cv,
    cross_validate,
)
from sklearn.svm import SVC

from skimgcv.model_selection import compare_candidates, compare_scores, corrected_interval

A, B = [0.91, 0.93, 0.90, 0.94, 0.92], [0.88, 0.91, 0.88, 0.90, 0.91]


@pytest.fixture(scope="module")
def kernels():
    """The search of scikit-learn's "Statistical comparison of models using grid search"."""
    X, y = make_moons(noise=0.352, random_state=1, n_samples=100)
    grid = [{"kernel": ["linear"]}, {"kernel": ["poly"], "degree": [2, 3]}, {"kernel": ["rbf"]}]
    folds = RepeatedStratifiedKFold(n_splits=10, n_repeats=10, random_state=0)
    return GridSearchCV(SVC(), grid, scoring="roc_auc", cv=folds).fit(X, y).cv_results_


def scores_of(cv_results, candidate):
    return [cv_results[f"split{fold}_test_score"][candidate] for fold in range(100)]


def test_two_models_compare_as_in_scikit_learns_example(kernels):
    found = compare_scores(
        scores_of(kernels, 3), scores_of(kernels, 0), n_train=90, n_test=10, rope=0.01
    )
    # As printed there (to three digits), from its own functions; its p-values are one-sided.
    assert found.statistic == pytest.approx(0.750, abs=5e-4)
    assert found.p_value / 2 == pytest.approx(0.227, abs=5e-4)
    assert found.probability_equivalent == pytest.approx(0.432, abs=5e-4)
    no_rope = compare_scores(scores_of(kernels, 3), scores_of(kernels, 0), n_train=90, n_test=10)
    assert no_rope.probability_better == pytest.approx(0.773, abs=5e-4)
    assert no_rope.interval == pytest.approx((-0.016445, 0.036445), abs=1e-6)


def test_candidates_compare_as_in_scikit_learns_example(kernels):
    table = compare_candidates(kernels, n_train=90, n_test=10)
    assert [params.get("degree", params["kernel"]) for params in table["params"]] == [
        "rbf",
        "linear",
        3,
        2,
    ]
    np.testing.assert_array_equal(table["candidate"], [3, 0, 2, 1])
    statistic = -table["difference"][1:] / table["standard_error"][1:]
    np.testing.assert_allclose(statistic, [0.750, 1.657, 4.565], atol=5e-4)
    # Of the six pairs' p-values, the three with rbf are these; Holm's factor is the rank.
    others = {"linear, 3": 1.111, "linear, 2": 4.276, "3, 2": 3.851}
    p = 2 * stats.t.sf(np.r_[statistic, list(others.values())], df=99)
    order = np.argsort(p)
    holm = np.empty(6)
    holm[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(6, 0, -1)))
    np.testing.assert_allclose(table["p_value_adjusted"], [1, *holm[:3]], rtol=0.01)
    np.testing.assert_allclose(table["p_value"], [1, *p[:3]], rtol=1e-6)


def test_the_formula_is_that_of_the_paper():
    d = np.subtract(A, B)
    # Nadeau and Bengio (2003), equation 12: J repeats, n1 rows to train on, n2 to test on.
    t = d.mean() / np.sqrt((1 / 5 + 100 / 400) * d.var(ddof=1))
    found = compare_scores(A, B, n_train=400, n_test=100)
    assert found.statistic == pytest.approx(t)
    assert found.p_value == pytest.approx(2 * stats.t.sf(t, 4))
    error = np.sqrt((1 / 5 + 100 / 400) * d.var(ddof=1))
    assert found.interval == pytest.approx(stats.t.interval(0.95, 4, d.mean(), error))
    # As the test rows become few, it becomes scipy's paired t-test.
    naive = stats.ttest_rel(A, B)
    almost = compare_scores(A, B, n_train=10**9, n_test=1)
    assert almost.p_value == pytest.approx(naive.pvalue)
    assert almost.interval == pytest.approx(tuple(naive.confidence_interval()))


def test_the_probabilities_are_those_of_baycomp():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.8, 0.03, 50), rng.normal(0.79, 0.03, 50)
    found = compare_scores(a, b, n_train=4, n_test=1, rope=0.01)
    # baycomp 1.0.3: two_on_single(b, a, rope=0.01, runs=10).
    ours = [found.probability_worse, found.probability_equivalent, found.probability_better]
    assert ours == pytest.approx([0.15735315, 0.29212828, 0.55051857], abs=1e-8)


def test_swapping_the_two_mirrors_the_answer():
    one = compare_scores(A, B, n_train=4, n_test=1, rope=0.01)
    other = compare_scores(B, A, n_train=4, n_test=1, rope=0.01)
    assert one.p_value == pytest.approx(other.p_value)
    assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]))
    assert one.probability_better == pytest.approx(other.probability_worse)


def null_scores(n_sets, n_ways, *, n_rows=120, k=5, repeats=4, seed=0):
    """Scores (sets, ways, folds) of ways that are equally good, by repeated k-fold.

    Each way sees columns of its own, all drawn alike: which is better is chance alone. The
    classifier is the nearest class mean, fitted anew in every fold.
    """
    rng = np.random.default_rng(seed)
    scores = np.empty((n_sets, n_ways, repeats * k))
    y = np.arange(n_rows) % 2
    for scores_of_set in scores:
        X = rng.normal(size=(n_rows, n_ways, 10)) + 0.35 * y[:, None, None]
        for repeat in range(repeats):
            order = rng.permutation(n_rows)
            for fold in range(k):
                test, train = order[fold::k], np.delete(order, np.s_[fold::k])
                means = np.array([X[train[y[train] == label]].mean(axis=0) for label in (0, 1)])
                side = ((X[test] - means.mean(axis=0)) * (means[1] - means[0])).sum(axis=2) > 0
                right = side == (y[test] == 1)[:, None]
                scores_of_set[:, repeat * k + fold] = right.mean(axis=0)
    return scores


def test_chance_alone_finds_a_difference_as_rarely_as_the_level_says():
    sets = null_scores(400, n_ways=2)
    corrected = [compare_scores(a, b, n_train=96, n_test=24).p_value < 0.05 for a, b in sets]
    naive = stats.ttest_rel(sets[:, 0], sets[:, 1], axis=1).pvalue < 0.05
    # 400 sets: at 0.05 the rate's standard error is 0.011. The correction is known to be
    # somewhat cautious; the ordinary test calls every third null a difference.
    assert 0.01 < np.mean(corrected) < 0.05 + 2.5 * 0.011
    assert np.mean(naive) > 0.25


def test_chance_alone_finds_a_worse_candidate_as_rarely_as_the_level_says():
    rates = []
    for ways in null_scores(300, n_ways=6, repeats=2, seed=1):
        results = {f"split{i}_test_score": scores for i, scores in enumerate(ways.T)}
        table = compare_candidates({"params": [{}] * 6, **results}, n_train=96, n_test=24)
        rates.append([table["p_value"].min() < 0.05, table["p_value_adjusted"].min() < 0.05])
    uncorrected, corrected = np.mean(rates, axis=0)
    assert corrected < 0.05 + 2.5 * 0.0126  # its standard error, with 300 sets
    assert uncorrected > 0.15


def test_cross_validate_says_how_large_its_folds_were():
    X, y = make_moons(50, noise=0.3, random_state=0)
    results = [
        cross_validate(
            RidgeClassifier(alpha),
            X,
            y,
            cv=KFold(5, shuffle=True, random_state=0),
            scoring=["accuracy", "roc_auc"],
            return_indices=True,
        )
        for alpha in (1, 1000)
    ]
    found = compare_scores(*results, scoring="roc_auc")
    by_hand = compare_scores(*(r["test_roc_auc"] for r in results), n_train=40, n_test=10)
    assert found == by_hand
    with pytest.raises(ValueError, match=r"pass scoring, one of \['accuracy', 'roc_auc'\]"):
        compare_scores(*results)


def test_the_interval_of_one_way_is_a_students_with_the_variance_of_the_paper():
    scale = np.sqrt((1 / 5 + 1 / 4) * stats.tvar(A))
    low, high = corrected_interval(A, test_train_ratio=1 / 4, confidence_level=0.9)
    assert (low, high) == pytest.approx(stats.t.interval(0.9, 4, loc=np.mean(A), scale=scale))
    # One function for both: the same numbers, where the other way scores 0.
    zero = compare_scores(A, np.zeros(5), n_train=4, n_test=1, confidence_level=0.9)
    assert (low, high) == zero.interval
    assert np.isnan(corrected_interval([0.5], test_train_ratio=1)).all()
    # Five folds with all images right, or with rounding between them, do not tell their error.
    for equal in ([1.0] * 5, [0.1 + 0.2, 0.3, 0.3]):
        assert np.isnan(corrected_interval(equal, test_train_ratio=1 / 4)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scores": [], "test_train_ratio": 1}, r"shape \(n_folds,\)"),
        ({"scores": [A], "test_train_ratio": 1}, r"shape \(n_folds,\)"),
        ({"scores": [*A, np.inf], "test_train_ratio": 1}, r"not finite, the first at \[5\]"),
        ({"scores": A, "test_train_ratio": 0}, "above 0, as in 1 / 4"),
        ({"scores": A, "test_train_ratio": np.nan}, "above 0, as in 1 / 4"),
        ({"scores": A, "test_train_ratio": 1, "confidence_level": 1}, "between 0 and 1"),
    ],
)
def test_an_interval_of_nothing_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        corrected_interval(**arguments)


def test_folds_of_many_sizes_count_by_the_mean_of_their_ratios():
    n_train, n_test = np.array([90, 80, 70, 60, 50]), np.array([10, 20, 30, 40, 50])
    d = np.subtract(A, B)
    error = np.sqrt((1 / 5 + np.mean(n_test / n_train)) * stats.tvar(d))
    found = compare_scores(A, B, n_train=n_train, n_test=n_test)
    assert found.standard_error == pytest.approx(error)
    assert found.test_train_ratio == pytest.approx(np.mean(n_test / n_train))


def grouped(cv, groups=None, n=60):
    """A search over the folds of ``cv``; with its labels and groups."""
    X, y = make_moons(n, noise=0.3, random_state=0)
    search = GridSearchCV(RidgeClassifier(), {"alpha": [1e-3, 1, 1e3]}, cv=cv)
    return search.fit(X, y, groups=groups), y


UNEVEN = np.repeat(np.arange(9), [20, 10, 8, 6, 5, 4, 3, 2, 2])


@pytest.mark.parametrize(
    ("cv", "groups"),
    [
        (GroupKFold(4), UNEVEN),
        (LeaveOneGroupOut(), UNEVEN),
        (GroupShuffleSplit(4, random_state=0), UNEVEN),
        (StratifiedGroupKFold(3, shuffle=True, random_state=1), UNEVEN),
        (KFold(7), None),
        (5, None),
        (None, None),
        (RepeatedStratifiedKFold(n_splits=3, n_repeats=2), None),
        (ShuffleSplit(4, test_size=0.3), None),
        (ShuffleSplit(4, random_state=np.random.RandomState(0)), None),
    ],
)
@pytest.mark.usefixtures("own_random")  # scikit-learn's search draws from the global generator
def test_candidates_take_the_sizes_of_folds_from_the_search(cv, groups):
    search, y = grouped(cv, groups)
    splitter = check_cv(copy.deepcopy(cv), y, classifier=True)
    sizes = [(len(a), len(b)) for a, b in splitter.split(np.zeros((60, 2)), y, groups)]
    n_train, n_test = np.transpose(sizes)
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    of_generator = getattr(cv, "random_state", None)
    drawn = of_generator.get_state()[1].tolist() if hasattr(of_generator, "get_state") else None
    table = compare_candidates(search, y=y, groups=groups)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    assert drawn is None or of_generator.get_state()[1].tolist() == drawn
    by_hand = compare_candidates(search.cv_results_, n_train=n_train, n_test=n_test)
    scores = np.array([search.cv_results_[f"split{i}_test_score"] for i in range(len(sizes))]).T[
        table["candidate"]
    ]
    error = np.sqrt(
        (1 / len(sizes) + np.mean(n_test / n_train)) * stats.tvar(scores[1] - scores[0])
    )
    assert table["standard_error"][1] == pytest.approx(error)
    for name in table:
        assert list(table[name]) == list(by_hand[name])


def test_folds_given_as_rows_or_masks_have_their_sizes():
    masks = [np.arange(60) % 3 == fold for fold in range(3)]
    rows = [(np.flatnonzero(~mask), np.flatnonzero(mask)) for mask in masks]
    search, y = grouped(rows)
    table = compare_candidates(search, y=y)
    by_hand = compare_candidates(search, n_train=40, n_test=20)
    assert table["p_value"].tolist() == by_hand["p_value"].tolist()


@pytest.mark.usefixtures("own_random")
@pytest.mark.parametrize(
    ("cv", "groups", "options", "message"),
    [
        (3, None, {}, "the fitted search, with y and groups"),
        (3, None, {"y": [0, 1] * 30, "n_test": 2}, "needs n_train and n_test"),
        (GroupKFold(3), UNEVEN, {"groups": UNEVEN}, "need the fitted search itself"),
        (LeaveOneGroupOut(), UNEVEN, {"y": [0, 1] * 30, "groups": UNEVEN // 2}, "gives 5 folds"),
        (
            GroupShuffleSplit(4),
            UNEVEN,
            {"y": [0, 1] * 30, "groups": UNEVEN},
            "random_state set to an integer",
        ),
        (iter(list(KFold(3).split(UNEVEN))), None, {"y": [0, 1] * 30}, "an iterator"),
        (3, None, {"n_train": [40, 40], "n_test": 20}, r"each of the 3 folds; got shapes \(2,\)"),
    ],
)
def test_sizes_that_are_not_sure_are_refused(cv, groups, options, message):
    search, _ = grouped(cv, groups)
    with pytest.raises(ValueError, match=message):
        compare_candidates(search, **options)


def test_results_alone_do_not_know_their_folds():
    search, y = grouped(3)
    with pytest.raises(ValueError, match="not its cv_results_"):
        compare_candidates(search.cv_results_, y=y)
    with pytest.raises(ValueError, match="GridSearchCV has no cv_results_"):
        compare_candidates(GridSearchCV(RidgeClassifier(), {}), y=y)


def test_a_halving_search_is_refused():
    # Each round has other rows: its scores are not on the same folds.
    X, y = make_moons(60, noise=0.3, random_state=0)
    search = HalvingGridSearchCV(RidgeClassifier(), {"alpha": [1, 10, 100]}, random_state=0)
    search.fit(X, y)
    for given in (search, search.cv_results_):
        with pytest.raises(ValueError, match="halving search"):
            compare_candidates(given, n_train=4, n_test=1)


def test_folds_must_be_the_same():
    X, y = make_moons(50, noise=0.3, random_state=0)
    a, b = (
        cross_validate(
            RidgeClassifier(), X, y, cv=KFold(5, shuffle=True, random_state=s), return_indices=True
        )
        for s in (0, 1)
    )
    with pytest.raises(ValueError, match="not tested on the same rows in fold 0"):
        compare_scores(a, b)


def test_folds_must_be_trained_on_the_same_rows():
    X, y = make_moons(50, noise=0.3, random_state=0)
    splits = list(KFold(5).split(X))
    fewer = [(train[::2], test) for train, test in splits]
    a, b = (
        cross_validate(RidgeClassifier(), X, y, cv=cv, return_indices=True)
        for cv in (splits, fewer)
    )
    with pytest.raises(ValueError, match="not trained on the same rows in fold 0"):
        compare_scores(a, b)


def test_masks_are_the_rows_that_they_select():
    X, y = make_moons(50, noise=0.3, random_state=0)
    splits = list(KFold(5).split(X))
    masks = [tuple(np.isin(np.arange(50), rows) for rows in split) for split in splits]
    models = RidgeClassifier(), RidgeClassifier(alpha=100)
    by_rows, by_masks = (
        compare_scores(*(cross_validate(m, X, y, cv=cv, return_indices=True) for m in models))
        for cv in (splits, masks)
    )
    assert by_rows.test_train_ratio == by_masks.test_train_ratio == 10 / 40
    assert by_rows.p_value == by_masks.p_value


def test_candidates_without_spread_are_not_called_worse():
    results = {
        "params": [{}, {}, {}],
        "split0_test_score": [0.90, 0.85, 0.2],
        "split1_test_score": [0.80, 0.75, 0.1],
        "split2_test_score": [0.85, 0.80, 0.3],
    }
    with pytest.warns(UserWarning, match="1 of 2 candidates differ from the best by the same"):
        table = compare_candidates(results, n_train=40, n_test=20)
    assert table["p_value_adjusted"][1] == 1
    assert table["p_value_adjusted"][2] < 0.05


def test_equal_scores_show_no_difference():
    found = compare_scores(A, A, n_train=4, n_test=1)
    assert (found.difference, found.p_value, found.interval) == (0, 1, (0, 0))
    assert (found.probability_better, found.probability_worse) == (0.5, 0.5)
    within = compare_scores(A, A, n_train=4, n_test=1, rope=0.01)
    assert within.probability_equivalent == 1


def test_the_same_difference_in_every_fold_is_warned_of():
    with pytest.warns(UserWarning, match="All 5 folds differ by the same 0.05"):
        found = compare_scores(np.add(B, 0.05), B, n_train=4, n_test=1)
    assert found.probability_better == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"a": A, "b": B[:4], "n_train": 4, "n_test": 1}, "got 5 and 4 scores"),
        ({"a": A[:1], "b": B[:1], "n_train": 4, "n_test": 1}, "two or more"),
        ({"a": A, "b": B}, "n_train=n - n // k, n_test=n // k"),
        ({"a": A, "b": B, "n_train": 4}, "needs n_train and n_test"),
        ({"a": A, "b": B, "n_train": 4, "n_test": 0}, "must be above 0"),
        ({"a": A, "b": B, "n_train": 4, "n_test": 1, "rope": -1}, "rope must be 0 or above"),
        (
            {"a": A, "b": B, "n_train": 4, "n_test": 1, "confidence_level": 95},
            "as in 0.95; got 95",
        ),
        ({"a": [A], "b": [B], "n_train": 4, "n_test": 1}, r"got shape \(1, 5\)"),
        ({"a": [*A[:4], np.nan], "b": B, "n_train": 4, "n_test": 1}, r"a has scores .* at \[4\]"),
    ],
)
def test_what_cannot_be_compared_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        compare_scores(**arguments)


def test_candidates_need_scores_of_two_folds():
    with pytest.raises(ValueError, match=r"has 0; scores there: \['accuracy'\]"):
        compare_candidates({"split0_test_accuracy": [1], "params": [{}]}, n_train=4, n_test=1)


def test_one_candidate_is_the_best():
    results = {"params": [{}], "split0_test_score": [0.9], "split1_test_score": [0.8]}
    table = compare_candidates(results, n_train=4, n_test=1)
    assert table["p_value_adjusted"].tolist() == [1.0]
    assert table["difference"].tolist() == [0.0]
