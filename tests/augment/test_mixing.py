"""MixUp and CutMix: shares of Beta distributions, sums and boxes that say what they are."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from skimgcv.augment import ImageAugmenter

N = 4000


def table_of(n=N, shape=(20, 30, 3), seed=0, **parameters):
    return ImageAugmenter(**parameters).draw(np.random.default_rng(seed), n, shape)


@pytest.mark.parametrize("kind", ["mixup_alpha", "cutmix_alpha"])
def test_a_flow_mixes_labels_by_weight_as_an_estimator_does(kind):
    labels = np.arange(40) % 4
    x = np.broadcast_to(labels[:, None, None, None], (40, 8, 8, 1)).astype("float32")
    weights = np.array([1.0, 2.0, 3.0, 0.0])[labels]
    augmenter = ImageAugmenter(**{kind: 1.0})
    flow = augmenter.flow(x, np.eye(4)[labels], sample_weight=weights, batch_size=40, seed=0)
    images, y, found = next(flow)
    # Images say their own class and their partner's, and mixtures say the shares.
    own = images.reshape(40, -1)
    assert_allclose(y.sum(axis=1), 1, rtol=1e-6)
    # The label of a row of weight 0 counts nowhere, but beside another such row.
    assert_array_equal(y[found > 0][:, 3], 0)
    # Weight times label is the mean over the image's parts of weight times label.
    if kind == "cutmix_alpha":
        parts = (
            np.eye(4)[own.astype(int)] * np.array([1.0, 2.0, 3.0, 0.0])[own.astype(int)][..., None]
        )
        assert_allclose(found[:, None] * y, parts.mean(axis=1), atol=1e-6)
    assert len(np.unique(found)) > 4


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixup_shares_are_from_their_beta_distribution(alpha):
    table = table_of(mixup_alpha=alpha)
    assert stats.kstest(table["own_share"], stats.beta(alpha, alpha).cdf).pvalue > 0.001
    assert not table["cut_box"].any()
    assert stats.kstest(table["partner"], "uniform", (0, N)).pvalue > 0.001
    assert table["partner"].min() >= 0
    assert table["partner"].max() < N


def test_cutmix_shares_are_the_area_that_is_left():
    table = table_of(cutmix_alpha=1.0)
    top, left, height, width = table["cut_box"].T
    assert np.all((top >= 0) & (top + height <= 20) & (left >= 0) & (left + width <= 30))
    assert_allclose(table["own_share"], 1 - height * width / 600)
    # Boxes whose centre is near an edge are cut off: more than half is left on average.
    assert 0.5 < table["own_share"].mean() < 0.75


def test_both_share_the_images():
    cut = table_of(mixup_alpha=1.0, cutmix_alpha=1.0)["cut_box"].any(axis=1)
    # A few boxes are of less than a pixel.
    assert 0.46 < cut.mean() < 0.52


def test_mixes_what_the_table_says():
    augmenter = ImageAugmenter(mixup_alpha=1.0, cutmix_alpha=1.0)
    assert augmenter.mixes
    table = table_of(n=30, mixup_alpha=1.0, cutmix_alpha=1.0)
    images = np.random.default_rng(0).random((30, 20, 30, 3), np.float32)
    partners = images[table["partner"]]
    before = images.copy(), partners.copy()
    mixed, own_share = augmenter.mix(images, partners, table)
    assert own_share.dtype == mixed.dtype == np.float32
    assert_array_equal(images, before[0])
    assert_array_equal(partners, before[1])
    for k, row in enumerate(table):
        top, left, height, width = row["cut_box"]
        if height and width:
            box = (slice(top, top + height), slice(left, left + width))
            assert_array_equal(mixed[k][box], partners[k][box])
            own = (mixed[k] == images[k]).all(axis=2).mean()
            assert own >= own_share[k] - 1e-6
        else:
            expected = row["own_share"] * images[k] + (1 - row["own_share"]) * partners[k]
            assert_allclose(mixed[k], expected, atol=1e-6)


def test_mixing_is_off_unless_asked_for():
    augmenter = ImageAugmenter(rotation_range=5)
    assert not augmenter.mixes
    names = augmenter.draw(np.random.default_rng(0), 2, (4, 4, 1)).dtype.names
    assert "partner" not in names


def test_flow_mixes_labels_with_their_images():
    """Images that are their own one-hot label stay it."""
    labels = np.eye(4, dtype=np.float32)[np.arange(40) % 4]
    images = np.broadcast_to(labels[:, None, None, :], (40, 8, 8, 4)).copy()
    flow = ImageAugmenter(mixup_alpha=1.0, cutmix_alpha=1.0).flow(images, labels, seed=0)
    x, y = flow[0]
    assert_allclose(x.mean(axis=(1, 2)), y, atol=1e-6)
    assert np.mean(y.max(axis=1) < 0.99) > 0.4
    with pytest.raises(ValueError, match="need one-hot `y`"):
        ImageAugmenter(mixup_alpha=1.0).flow(images, labels.argmax(axis=1))
    with pytest.raises(ValueError, match="need one-hot `y`"):
        ImageAugmenter(mixup_alpha=1.0).flow(images)
