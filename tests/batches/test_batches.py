"""Batches: images, targets and weights stay together, and errors say where they happened."""

import numpy as np
import pytest
from samples import RecordingAugmenter, numbered

from skimgcv import ImageAugmenter
from skimgcv._batches.batches import Batches, TrainingBatches
from skimgcv._batches.epochs import Draw, Epoch, EpochPlan
from skimgcv._data.rows import Rows
from skimgcv._runtime.random_streams import stream

N = 10
SHAPE = (4, 4, 1)
TARGETS = np.arange(N, dtype=np.float32).reshape(-1, 1)
WEIGHTS = np.arange(N, dtype=np.float32) / 10


def rows_of(images):
    return images[:, 0, 0, 0].astype(int).tolist()


def plain(rows=range(N), **parameters):
    epoch = Epoch(np.array(list(rows)))
    images = Rows(numbered(N), SHAPE)
    return Batches(images, epoch, RecordingAugmenter(), **{"batch_size": 4, **parameters})


def training(augmenter=None, *, y=None, class_augmenters=None, **parameters):
    augmenter = augmenter or RecordingAugmenter()
    images = parameters.pop("images", Rows(numbered(N), SHAPE))
    plan = EpochPlan(
        images=images,
        rows=np.arange(N),
        y=np.zeros(N, int) if y is None else y,
        augmenter=augmenter,
        class_augmenters=class_augmenters or {},
        sample=None,
        shuffle=True,
        seed=0,
    )
    defaults = {"batch_size": 4, "targets": TARGETS, "weights": WEIGHTS}
    return TrainingBatches(images, plan, augmenter, **{**defaults, **parameters})


def one_epoch(batches):
    """Read as Keras does."""
    batches.on_epoch_begin()
    return [batches[i] for i in range(len(batches))]


def test_the_last_batch_is_what_is_left():
    batches = plain()
    assert len(batches) == 3
    assert [len(batches[i][0]) for i in range(3)] == [4, 4, 2]
    assert len(plain(batch_size=5)) == 2


def test_items_are_as_many_as_there_are_of_images_targets_and_weights():
    assert len(plain()[0]) == 1
    assert len(plain(targets=TARGETS)[0]) == 2
    assert len(plain(targets=TARGETS, weights=WEIGHTS)[0]) == 3
    assert plain()[0][0].dtype == np.float32


def test_targets_and_weights_stay_with_their_images():
    for images, targets, weights in one_epoch(training()):
        assert rows_of(images) == targets.ravel().astype(int).tolist()
        np.testing.assert_array_equal(weights, WEIGHTS[rows_of(images)])


def test_without_draws_nothing_is_transformed():
    augmenter = RecordingAugmenter()
    images = Rows(numbered(N), SHAPE)
    batch = Batches(images, Epoch(np.array([3, 1])), augmenter, batch_size=4)[0]
    assert rows_of(batch[0]) == [3, 1]
    assert not augmenter.seen


def test_each_epoch_draws_anew():
    augmenter = RecordingAugmenter()
    batches = training(augmenter)
    orders = []
    for _ in range(3):
        orders.append([row for batch in one_epoch(batches) for row in rows_of(batch[0])])
        assert batches.drawn_rows.tolist() == orders[-1]
    assert len(set(map(tuple, orders))) == 3
    assert len(augmenter.seen) == len(set(augmenter.seen)) == 3 * N


def test_transforms_do_not_depend_on_the_size_of_a_batch():
    seen = []
    for batch_size in (1, 3, 10):
        augmenter = RecordingAugmenter()
        one_epoch(training(augmenter, batch_size=batch_size))
        seen.append(augmenter.seen)
    assert seen[0] == seen[1] == seen[2]


def test_first_epoch_goes_on_where_an_earlier_call_stopped():
    long, second = training(), training(first_epoch=1)
    one_epoch(long)
    for a, b in zip(one_epoch(long), one_epoch(second), strict=True):
        np.testing.assert_array_equal(a[0], b[0])


def test_each_class_goes_through_its_augmenter_and_then_the_common_deterministic_half():
    common = ImageAugmenter(rescale=1 / 2)
    own = RecordingAugmenter()
    y = np.arange(N) % 2
    batches = training(common, y=y, class_augmenters={1: own})
    for images, targets, _ in one_epoch(batches):
        np.testing.assert_array_equal(images[:, 0, 0, 0] * 2, targets.ravel())
    assert sorted(row for row, _ in own.seen) == [1, 3, 5, 7, 9]


def test_an_error_says_in_which_epoch_batch_and_rows():
    def fail(image):
        if image[0, 0, 0] == 7:
            raise ArithmeticError("seven")
        return image

    batches = training(ImageAugmenter(preprocessing_function=fail))
    order = batches.drawn_rows.tolist()
    batch = order.index(7) // 4
    with pytest.raises(ArithmeticError, match="seven") as info:
        one_epoch(batches)
    rows = order[4 * batch : 4 * batch + 4]
    assert info.value.__notes__ == [f"while preparing epoch 0, batch {batch}, rows {rows} of X"]


# -- MixUp and CutMix ------------------------------------------------------------------


def mixing(**parameters):
    return training(
        ImageAugmenter(mixup_alpha=1.0), targets=np.eye(N, dtype=np.float32), **parameters
    )


def test_targets_and_weights_are_mixed_as_the_loss_of_a_mixture_is():
    # The image of row r is r everywhere, so a mixture's value tells its shares.
    epoch = one_epoch(mixing(weights=None))
    for images, targets in epoch:
        np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)
        # float32 shares of numbers up to 9.
        np.testing.assert_allclose(targets @ np.arange(N), images[:, 0, 0, 0], atol=1e-5)
    assert any((targets.max(axis=1) < 0.99).any() for _, targets in epoch)


def test_a_mixtures_weighted_loss_is_the_sum_of_its_parts():
    plain_batches, weighted = one_epoch(mixing(weights=None)), one_epoch(mixing())
    for (images, shares), (same, targets, weights) in zip(plain_batches, weighted, strict=True):
        np.testing.assert_array_equal(images, same)
        # float32
        np.testing.assert_allclose(targets * weights[:, None], shares * WEIGHTS, atol=1e-6)


def test_at_prediction_nothing_is_mixed():
    augmenter = ImageAugmenter(mixup_alpha=1.0)
    images = Rows(numbered(N), SHAPE)
    table = augmenter.draw(stream(0, "test"), N, SHAPE)
    epoch = Epoch(np.arange(N), (Draw(augmenter, table, np.arange(N)),))
    batch = Batches(images, epoch, augmenter, batch_size=N)[0]
    assert rows_of(batch[0]) == list(range(N))
