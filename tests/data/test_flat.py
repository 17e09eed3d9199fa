"""Clients that insist on two dimensions get row numbers, and a pipeline brings the images."""

import copy

import numpy as np
import pytest
from builders import linear
from imblearn.pipeline import make_pipeline as make_sampling_pipeline
from imblearn.under_sampling import RandomUnderSampler
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier
from sklearn.inspection import permutation_importance
from sklearn.multiclass import OneVsOneClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.semi_supervised import SelfTrainingClassifier

from skimgcv import AugmentedKerasClassifier, ImageArray, ImageAugmenter

N, SHAPE = 18, (5, 4, 3)
IMAGES = np.random.default_rng(0).integers(0, 256, (N, *SHAPE)).astype(np.uint8)
y = np.arange(N) % 3 % 2


def est(**parameters):
    augmenter = ImageAugmenter(rotation_range=20, rescale=1 / 255)
    return AugmentedKerasClassifier(
        linear, augmenter=augmenter, batch_size=8, random_state=0, **parameters
    )


CLIENTS = {
    "bagging": (lambda est: BaggingClassifier(est, n_estimators=2, random_state=0), y),
    "self-training": (
        lambda est: SelfTrainingClassifier(est, threshold=0.1, max_iter=1),
        np.where(np.arange(N) > 12, -1, y),
    ),
    "one against one": (OneVsOneClassifier, np.arange(N) % 3),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_clients_give_what_flat_pixels_give_bit_for_bit(client):
    wrapped, labels = CLIENTS[client]
    X = ImageArray(IMAGES)
    by_rows = wrapped(make_pipeline(FunctionTransformer(X.from_flat), est()))
    to_images = FunctionTransformer(lambda pixels: pixels.reshape(-1, *SHAPE))
    by_pixels = wrapped(make_pipeline(to_images, est()))
    pixels = IMAGES.reshape(N, -1)
    method = "decision_function" if client == "one against one" else "predict_proba"
    np.testing.assert_array_equal(
        getattr(by_rows.fit(X.flat(), labels), method)(X.flat()),
        getattr(by_pixels.fit(pixels, labels), method)(pixels),
    )


def test_samplers_of_imbalanced_learn_pick_rows():
    X = ImageArray(IMAGES)
    to_images = FunctionTransformer(X.from_flat)
    sampler = RandomUnderSampler(random_state=0)
    clf = make_sampling_pipeline(sampler, to_images, est()).fit(X.flat(), y)
    rows = RandomUnderSampler(random_state=0).fit(X.flat(), y)
    rows.fit_resample(X.flat(), y)
    by_hand = est().fit(IMAGES[rows.sample_indices_], y[rows.sample_indices_])
    np.testing.assert_array_equal(clf.predict_proba(X.flat()), by_hand.predict_proba(IMAGES))


def test_permutation_importance_exchanges_images():
    X = ImageArray(IMAGES)
    clf = make_pipeline(FunctionTransformer(X.from_flat), est()).fit(X.flat(), y)
    result = permutation_importance(clf, X.flat(), y, n_repeats=3, random_state=0)
    exchanged = clf.score(X.flat(), y) - result.importances[0]
    assert all(np.isclose(exchanged * N, np.rint(exchanged * N)))


def test_rows_of_a_part_are_its_own_and_keep_their_groups():
    X = ImageArray(IMAGES, groups=np.arange(N))[5:]
    picked = X.from_flat(X.flat()[[3, 0]].astype(float))
    assert picked.groups.tolist() == [8, 5]
    np.testing.assert_array_equal(np.asarray(picked), IMAGES[[8, 5]])


def test_clones_share_the_images():
    X = ImageArray(IMAGES)
    assert copy.deepcopy(X) is X
    assert clone(FunctionTransformer(X.from_flat)).func.__self__ is X


@pytest.mark.parametrize(
    ("rows", "error", "said"),
    [
        (np.zeros(3), ValueError, r"of shape \(n_rows, 1\)"),
        (np.zeros((3, 2)), ValueError, "some of flat"),
        (np.full((3, 1), 0.5), ValueError, "whole numbers"),
        (np.full((3, 1), N), IndexError, "from 0 to 17"),
        (np.full((3, 1), -1), IndexError, "from 0 to 17"),
    ],
)
def test_what_are_no_rows_is_told(rows, error, said):
    with pytest.raises(error, match=said):
        ImageArray(IMAGES).from_flat(rows)
