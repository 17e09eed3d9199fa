"""Sampling strategies, against imbalanced-learn's parser and its random samplers."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.over_sampling import RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler
from imblearn.utils import check_sampling_strategy

from skimgcv._training.sampling import resolve_sampling, sample_rows

BIRDS = np.array(["auk", "hen", "kea", "owl", "tit"])
IMBALANCED = np.repeat([0, 1, 2], [30, 12, 5])

labels = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(np.array)
several_classes = labels.filter(lambda y: len(np.unique(y)) > 1)
reproducible = settings(derandomize=True, deadline=None, max_examples=60, database=None)


def drawn(strategy, y, classes=BIRDS, seed=0):
    """Rows of each original label that one epoch draws."""
    counts = resolve_sampling(strategy, y, classes)
    rows = sample_rows(counts, y, np.random.default_rng(seed))
    return dict(Counter(classes[y[rows]].tolist()))


def imblearns(sampler, y, classes=BIRDS):
    """Rows of each original label that imbalanced-learn's own sampler gives."""
    _, resampled = sampler.fit_resample(np.zeros((len(y), 1)), classes[y])
    return dict(Counter(resampled.tolist()))


@pytest.mark.parametrize("word", ["auto", "not majority", "not minority", "all", "minority"])
@reproducible
@given(y=several_classes)
def test_words_draw_what_random_over_sampler_draws(word, y):
    assert drawn(word, y) == imblearns(
        RandomOverSampler(sampling_strategy=word, random_state=0), y
    )


@reproducible
@given(y=several_classes)
def test_majority_draws_what_random_under_sampler_draws(y):
    assert drawn("majority", y) == imblearns(
        RandomUnderSampler(sampling_strategy="majority", random_state=0), y
    )


@reproducible
@given(sizes=st.tuples(st.integers(1, 40), st.integers(1, 40)), ratio=st.floats(0.01, 1))
def test_a_ratio_draws_what_random_over_sampler_draws_or_fails_as_it_does(sizes, ratio):
    y = np.repeat([0, 1], sizes)
    try:
        expected = imblearns(RandomOverSampler(sampling_strategy=ratio, random_state=0), y)
    except ValueError:
        with pytest.raises(ValueError, match="increase the ratio"):
            resolve_sampling(ratio, y, BIRDS)
    else:
        assert drawn(ratio, y) == expected


@reproducible
@given(y=several_classes, data=st.data())
def test_a_dict_draws_what_the_samplers_draw(y, data):
    sizes = Counter(BIRDS[y].tolist())
    more = {bird: size + data.draw(st.integers(0, 30)) for bird, size in sizes.items()}
    assert drawn(more, y) == imblearns(
        RandomOverSampler(sampling_strategy=more, random_state=0), y
    )
    fewer = {bird: data.draw(st.integers(1, size)) for bird, size in sizes.items()}
    assert drawn(fewer, y) == imblearns(
        RandomUnderSampler(sampling_strategy=fewer, random_state=0), y
    )


def test_a_dict_may_raise_one_class_and_lower_another():
    assert drawn({"auk": 10, "kea": 20}, IMBALANCED) == {"auk": 10, "hen": 12, "kea": 20}


@pytest.mark.parametrize("word", ["auto", "all", "not minority", "not majority", "majority"])
def test_a_callable_opens_imblearns_whole_under_sampling_vocabulary(word):
    def strategy(y):
        return check_sampling_strategy(word, y, "under-sampling")

    expected = imblearns(RandomUnderSampler(sampling_strategy=word, random_state=0), IMBALANCED)
    assert drawn(strategy, IMBALANCED) == expected


def test_a_callable_gets_its_own_copy_of_the_original_labels():
    def strategy(labels):
        seen.append(labels.tolist())
        counts = dict.fromkeys(labels.tolist(), 3)
        labels[:] = "xxx"
        return counts

    seen = []
    y, classes = np.array([0, 0, 1]), BIRDS.copy()
    assert resolve_sampling(strategy, y, classes) == {0: 3, 1: 3}
    assert seen == [["auk", "auk", "hen"]]
    np.testing.assert_array_equal(classes, BIRDS)


def test_none_asks_for_nothing_and_an_empty_dict_keeps_every_row():
    assert resolve_sampling(None, IMBALANCED, BIRDS) is None
    assert resolve_sampling({}, IMBALANCED, BIRDS) == {}


@pytest.mark.parametrize("ratio", [1, 1.0, np.float32(1)])
def test_a_ratio_of_one_is_balance(ratio):
    assert resolve_sampling(ratio, IMBALANCED[:42], BIRDS) == {1: 30}


@pytest.mark.parametrize("strategy", ["auto", "all", "minority", "majority", 0.5])
def test_one_class_alone_is_balanced_as_it_is(strategy):
    y = np.array([2, 2, 2])
    assert drawn(strategy, y) == {"kea": 3}


@pytest.mark.parametrize(
    ("classes", "strategy"),
    [
        (np.array([-1, 1]), {1: 4}),
        (np.array([-1, 1]), {np.int64(1): np.int32(4)}),
        (np.array([False, True]), {True: 4}),
        (np.array(["no", "yes"], dtype=object), {np.str_("yes"): 4}),
    ],
)
def test_a_dict_is_by_original_label(classes, strategy):
    assert resolve_sampling(strategy, np.array([0, 0, 0, 1]), classes) == {1: 4}


def test_a_label_that_this_fold_lacks_is_ignored():
    assert resolve_sampling({"hen": 9, "owl": 9}, np.array([0, 1]), BIRDS) == {1: 9}


@pytest.mark.parametrize(
    ("strategy", "y", "error", "message"),
    [
        ("oversample", IMBALANCED, ValueError, "must be one of .*'minority'.*got 'oversample'"),
        (0.0, IMBALANCED[:40], ValueError, r"in \(0, 1\]"),
        (1.5, IMBALANCED[:40], ValueError, r"in \(0, 1\]"),
        (np.nan, IMBALANCED[:40], ValueError, r"in \(0, 1\]"),
        (0.5, IMBALANCED, ValueError, "only when the type of target is binary"),
        (0.4, IMBALANCED[:42], ValueError, "Please increase the ratio"),
        ({"auk": -1}, IMBALANCED, ValueError, "whole number.*'auk' has -1"),
        ({"auk": 2.5}, IMBALANCED, ValueError, "whole number.*'auk' has 2.5"),
        ({"auk": True}, IMBALANCED, ValueError, "whole number.*'auk' has True"),
        ({"auk": 0, "hen": 0, "kea": 0}, IMBALANCED, ValueError, "no row to train on"),
        (["auk"], IMBALANCED, TypeError, "got list"),
        (True, IMBALANCED, TypeError, "got bool"),
        (lambda y: 3, IMBALANCED, TypeError, "got int"),
    ],
)
def test_bad_strategies_are_refused(strategy, y, error, message):
    with pytest.raises(error, match=message):
        resolve_sampling(strategy, y, BIRDS)


@reproducible
@given(y=labels, data=st.data())
def test_each_class_is_drawn_as_evenly_as_can_be(y, data):
    sizes = np.bincount(y, minlength=5)
    counts = {
        code: data.draw(st.integers(0, 50))
        for code in np.unique(y).tolist()
        if data.draw(st.booleans())
    }
    rows = sample_rows(counts, y, np.random.default_rng(data.draw(st.integers(0, 99))))
    assert rows.dtype == np.intp
    uses = np.bincount(rows, minlength=len(y))
    for code in np.unique(y).tolist():
        wanted = counts.get(code, sizes[code])
        assert uses[y == code].sum() == wanted
        assert uses[y == code].min() == wanted // sizes[code]
        assert uses[y == code].max() == -(-wanted // sizes[code])


def test_fifty_epochs_use_every_rare_row_and_change_which_comes_once_more():
    counts = resolve_sampling({"kea": 12}, IMBALANCED, BIRDS)
    rng = np.random.default_rng(0)
    epochs = np.array([np.bincount(sample_rows(counts, IMBALANCED, rng)) for _ in range(50)])
    rare = epochs[:, IMBALANCED == 2]
    np.testing.assert_array_equal(np.unique(rare), [2, 3])
    assert len(np.unique(rare, axis=0)) == 10  # each of the 5-choose-2 pairs was the extra one
    # Binomial(50, 2/5): six standard deviations are 21, so 20 +- 20 cannot fail by chance.
    extra = (rare == 3).sum(axis=0)
    assert extra.min() > 0
    assert extra.max() < 41
    np.testing.assert_array_equal(epochs[:, IMBALANCED != 2], 1)


def test_under_sampling_draws_other_rows_each_epoch_and_none_twice():
    counts = resolve_sampling("majority", IMBALANCED, BIRDS)
    rng = np.random.default_rng(0)
    epochs = np.array(
        [np.bincount(sample_rows(counts, IMBALANCED, rng), minlength=47) for _ in range(50)]
    )
    common = epochs[:, IMBALANCED == 0]
    np.testing.assert_array_equal(common.sum(axis=1), 5)
    assert common.max() == 1
    assert len(np.unique(common, axis=0)) > 45  # of 142,506 sets, 50 draws hardly share any
    # A row is missed 50 times with probability (25/30)**50, 1 in 9,000.
    assert (common.sum(axis=0) > 0).all()


def test_rows_depend_on_the_generator_alone():
    counts = {2: 17, 0: 4}
    rows = [sample_rows(counts, IMBALANCED, np.random.default_rng(3)) for _ in range(2)]
    np.testing.assert_array_equal(*rows)
    turned_round = sample_rows({0: 4, 2: 17}, IMBALANCED, np.random.default_rng(3))
    np.testing.assert_array_equal(rows[0], turned_round)
    assert set(rows[0]) != set(sample_rows(counts, IMBALANCED, np.random.default_rng(4)))
