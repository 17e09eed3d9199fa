"""An epoch is a function of the seed and its number: rows, order, transforms."""

import numpy as np
import pytest
from samples import RecordingAugmenter
from scipy import stats

from skimgcv._batches.epochs import EpochPlan
from skimgcv._training.sampling import sample_rows

Y = np.array([0] * 20 + [1] * 8 + [2] * 4)
ROWS = np.arange(2, 31)  # some rows are held out


def plan(**changes):
    return EpochPlan(
        **{
            "rows": ROWS,
            "y": Y,
            "image_shape": (4, 4, 1),
            "augmenter": RecordingAugmenter(),
            "class_augmenters": {},
            "sample": None,
            "shuffle": True,
            "seed": 0,
            **changes,
        }
    )


def numbers(epoch):
    """The number that was drawn for each position of an epoch."""
    drawn = np.full(len(epoch.rows), np.nan)
    for draw in epoch.draws:
        mine = draw.place >= 0
        assert np.isnan(drawn[mine]).all()  # one augmenter a position
        drawn[mine] = draw.table["number"][draw.place[mine]]
    return drawn


def test_each_row_once_an_epoch_in_an_order_of_its_own():
    orders = [plan().epoch(number).rows.tolist() for number in range(5)]
    assert all(sorted(order) == ROWS.tolist() for order in orders)
    assert len(set(map(tuple, orders))) == 5


def test_without_shuffling_rows_come_in_their_order():
    assert plan(shuffle=False).epoch(3).rows.tolist() == ROWS.tolist()


def test_an_epoch_does_not_depend_on_those_before_it():
    one, other = plan(), plan()
    for number in (0, 1, 2):
        one.epoch(number)
    a, b = one.epoch(3), other.epoch(3)
    np.testing.assert_array_equal(a.rows, b.rows)
    np.testing.assert_array_equal(numbers(a), numbers(b))


@pytest.mark.parametrize("changes", [{"seed": 1}, {}])
def test_another_seed_or_number_is_another_epoch(changes):
    a, b = plan().epoch(0), plan(**changes).epoch(0 if changes else 1)
    assert a.rows.tolist() != b.rows.tolist()
    assert set(numbers(a)).isdisjoint(numbers(b))


def test_transforms_belong_to_positions_whatever_the_order_of_rows_is():
    shuffled, plain = plan().epoch(0), plan(shuffle=False).epoch(0)
    np.testing.assert_array_equal(numbers(shuffled), numbers(plain))


def test_order_and_transforms_are_drawn_from_streams_of_their_own():
    epoch = plan(rows=np.arange(2000), y=np.zeros(2000, int)).epoch(0)
    # Independent, so a correlation of 2,000 pairs is below 0.1 all but once in 100,000 seeds.
    assert abs(stats.spearmanr(epoch.rows, numbers(epoch))[0]) < 0.1


def test_a_class_has_an_augmenter_of_its_own():
    own, common = RecordingAugmenter(), RecordingAugmenter()
    epoch = plan(augmenter=common, class_augmenters={1: own}).epoch(0)
    for draw in epoch.draws:
        mine = Y[epoch.rows[draw.place >= 0]]
        assert set(mine) == ({1} if draw.augmenter is own else {0, 2})
        assert len(draw.table) == len(mine)
        # Each position has its own row of the table, in the order of the epoch.
        assert draw.place[draw.place >= 0].tolist() == list(range(len(mine)))
    assert len(set(numbers(epoch))) == len(ROWS)


def test_a_class_that_the_fold_lacks_has_no_draws():
    own = RecordingAugmenter()
    epoch = plan(class_augmenters={3: own}).epoch(0)
    assert [len(draw.table) for draw in epoch.draws if draw.augmenter is own] == [0]
    assert not np.isnan(numbers(epoch)).any()


def test_each_repeat_of_a_row_has_a_transform_of_its_own():
    counts = {2: 18}
    epoch = plan(sample=lambda y, rng: sample_rows(counts, y, rng)).epoch(0)
    assert np.bincount(Y[epoch.rows]).tolist() == [18, 8, 18]
    assert len(set(numbers(epoch))) == len(epoch.rows)
    assert set(epoch.rows) == set(ROWS)


def test_which_rows_are_repeated_is_drawn_anew_each_epoch():
    counts = {2: 7, 0: 5}  # of 3 rows, of 18 rows
    sampled = plan(sample=lambda y, rng: sample_rows(counts, y, rng))
    epochs = [sampled.epoch(number).rows for number in range(20)]
    rare = [tuple(np.bincount(rows, minlength=32)[28:31]) for rows in epochs]
    assert {sum(times) for times in rare} == {7}
    assert {n for times in rare for n in times} == {2, 3}
    assert len(set(rare)) == 3  # each of the 3 rows is once the one that comes more often
    common = [frozenset(rows[Y[rows] == 0]) for rows in epochs]
    assert {len(rows) for rows in common} == {5}
    assert set().union(*common) == set(ROWS[Y[ROWS] == 0])
