"""An epoch is a function of the seed and its number: rows, order, transforms."""

import numpy as np
import pytest
from samples import RecordingAugmenter, numbered
from scipy import stats

from skimgcv._batches.epochs import EpochPlan
from skimgcv._data.rows import Rows
from skimgcv._training.sampling import sample_rows
from skimgcv.augment import ImageAugmenter, as_augmenter

Y = np.array([0] * 20 + [1] * 8 + [2] * 4)
ROWS = np.arange(2, 31)  # some rows are held out
IMAGES = Rows(numbered(len(Y)), (4, 4, 1))


def plan(**changes):
    return EpochPlan(
        **{
            "rows": ROWS,
            "y": Y,
            "images": IMAGES,
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


def by_image(epoch, images=IMAGES):
    """The numbers that were drawn for each image, by its first pixel."""
    drawn = {}
    for row, number in zip(epoch.rows, numbers(epoch), strict=True):
        drawn.setdefault(float(images[[row]].flat[0]), []).append(number)
    return {image: sorted(values) for image, values in drawn.items()}


@pytest.mark.parametrize(
    "augmenter",
    [
        RecordingAugmenter(),
        ImageAugmenter(rotation_range=90),
        as_augmenter(lambda image, rng: image),
    ],
    ids=["somebody's", "ours", "a function"],
)
def test_an_images_transforms_are_its_own(augmenter):
    """Whatever fold, order or company it comes in."""

    def tables(**changes):
        epoch = plan(augmenter=augmenter, **changes).epoch(3)
        (draw,) = epoch.draws
        return dict(zip(epoch.rows.tolist(), draw.table[draw.place].tolist(), strict=True))

    whole = tables()
    assert len(set(whole.values())) == len(ROWS)
    assert tables(shuffle=False) == whole
    some = tables(rows=ROWS[[20, 3, 7]])
    assert some == {row: whole[row] for row in some}
    assert tables(rows=ROWS[[3]]) == {ROWS[3]: whole[ROWS[3]]}


def test_transforms_follow_the_image_to_another_row():
    order = np.random.default_rng(0).permutation(len(Y))
    moved = Rows(numbered(len(Y))[order], (4, 4, 1))
    rows = np.flatnonzero(np.isin(order, ROWS))
    epoch = plan(images=moved, rows=rows).epoch(0)
    assert by_image(epoch, moved) == by_image(plan().epoch(0))


def test_copies_of_an_image_are_repeats_of_it():
    """Rows that were drawn more often outside of the estimator are transformed anew, too."""
    counts = {2: 18}
    sampled = plan(sample=lambda y, rng: sample_rows(counts, y, rng)).epoch(0)
    copied = Rows(numbered(len(Y))[sampled.rows], (4, 4, 1))
    labels = Y[sampled.rows]
    outside = plan(images=copied, rows=np.arange(len(labels)), y=labels).epoch(0)
    assert by_image(outside, copied) == by_image(sampled)
    assert len(set(numbers(outside))) == len(labels)


def test_order_and_transforms_are_drawn_from_streams_of_their_own():
    images = Rows(numbered(2000), (4, 4, 1))
    epoch = plan(images=images, rows=np.arange(2000), y=np.zeros(2000, int)).epoch(0)
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
