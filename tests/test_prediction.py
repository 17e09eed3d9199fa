"""Probabilities of plain images, with test-time rounds, and the warning about their range."""

import contextlib
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from builders import cnn, dense, linear
from samples import QUICK, RecordingAugmenter, blobs, classifier, numbered, same_model
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

from skimgcv import ImageAugmenter
from skimgcv.exceptions import PixelScaleWarning, SkimgcvWarning

X, Y = blobs(n=37, shape=(6, 6, 1))
# Several parameters, each drawn for all images before the next one is.
TURN = ImageAugmenter(rotation_range=90, width_shift_range=0.3, horizontal_flip=True)


@pytest.fixture(scope="module")
def fitted():
    return classifier(cnn, augmenter=TURN, batch_size=8, epochs=2).fit(X, Y)


def with_tta(estimator, rounds, augmenter=None):
    """The same fitted model, predicting in another way."""
    other = clone(estimator).set_params(tta_rounds=rounds, tta_augmenter=augmenter)
    vars(other).update({k: v for k, v in vars(estimator).items() if k not in vars(other)})
    return other


# -- threads ---------------------------------------------------------------------------

PREDICTING, MOST = [], []
BOTH = threading.Barrier(2)


class Meets(keras.callbacks.Callback):
    """Counts the predictions at one time, and waits a little for another one."""

    def on_predict_begin(self, logs=None):
        PREDICTING.append(1)
        MOST.append(len(PREDICTING))
        with contextlib.suppress(threading.BrokenBarrierError):
            BOTH.wait(timeout=0.2)

    def on_predict_end(self, logs=None):
        PREDICTING.pop()


def test_threads_predict_with_one_estimator_in_turns():
    clf = classifier(cnn, predict__callbacks=Meets()).fit(X, Y)
    parts = [X[:20], X[10:]]
    expected = [clf.predict_proba(part) for part in parts]
    weights = clf.model_.get_weights()
    BOTH.reset()
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(clf.predict_proba, parts))
    assert max(MOST) == 1
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    clf.fit(X, Y)  # borrows what the model borrowed
    assert all(map(np.array_equal, clf.model_.get_weights(), weights))


# -- one image among others ------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 8, 32])
@pytest.mark.parametrize("model", [dense, cnn])
def test_an_image_is_predicted_alone_as_among_others_bit_for_bit(model, batch_size):
    many = np.concatenate([X] * (1 if batch_size == 1 else 3))
    clf = classifier(model, predict__batch_size=batch_size).fit(X, Y)
    together = clf.predict_proba(many)
    np.testing.assert_array_equal(together[:37], together[-37:])
    for start, stop in ((0, 1), (36, 37), (5, 8), (3, 20)):
        np.testing.assert_array_equal(clf.predict_proba(X[start:stop]), together[start:stop])
    order = np.random.default_rng(0).permutation(len(many))
    np.testing.assert_array_equal(clf.predict_proba(many[order]), together[order])


def test_one_image_gives_one_row(fitted):
    one = fitted.predict_proba(X[:1])
    assert one.shape == (1, 3)
    assert one.dtype == np.float64
    assert fitted.predict(X[:1]).shape == (1,)


def test_the_same_images_give_the_same_bits_again(fitted):
    np.testing.assert_array_equal(fitted.predict_proba(X), fitted.predict_proba(X))


def test_probabilities_are_what_keras_gives(fitted):
    outputs = fitted.model_.predict(X, batch_size=37, verbose=0)
    # Keras sums in another order for another size of batch; ours are brought to sum to 1.
    np.testing.assert_allclose(fitted.predict_proba(X), outputs, rtol=1e-5)


def test_predict_is_the_likeliest_class_and_score_their_share(fitted):
    likeliest = fitted.predict_proba(X).argmax(axis=1)
    np.testing.assert_array_equal(fitted.predict(X), fitted.classes_[likeliest])
    assert fitted.score(X, Y) == np.mean(likeliest == Y)
    assert fitted.score(X, Y, sample_weight=likeliest == Y) == 1


def test_a_prediction_is_not_transformed_and_standardised_as_in_fit():
    augmenter = ImageAugmenter(
        horizontal_flip=True, featurewise_center=True, featurewise_std_normalization=True
    )
    clf = classifier(linear, augmenter=augmenter).fit(X, Y)
    by_hand = (X - X.mean()) / X.std()
    # float32 statistics in another order of sums, and Keras' batch of another size.
    outputs = clf.model_.predict(by_hand, verbose=0)
    np.testing.assert_allclose(clf.predict_proba(X), outputs, rtol=1e-4)


def test_predicting_draws_nothing_and_changes_nothing(fitted):
    weights = fitted.model_.get_weights()
    attributes = vars(fitted).copy()
    fitted.predict(X)
    assert all(map(np.array_equal, weights, fitted.model_.get_weights()))
    assert vars(fitted) == attributes


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_log_probabilities_are_the_logarithms_and_zero_is_minus_infinity(fitted):
    log_proba = fitted.predict_log_proba(X)
    np.testing.assert_array_equal(log_proba, np.log(fitted.predict_proba(X)))
    # So far apart that softmax in float32 gives 0 for all classes but one.
    clf = classifier(linear).fit(X, Y)
    clf.model_.set_weights([np.zeros((36, 3)), np.array([0, 0, 500])])
    np.testing.assert_array_equal(clf.predict_log_proba(X), [[-np.inf, -np.inf, 0]] * len(X))


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba"])
def test_nothing_is_predicted_before_fit(method):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(classifier(linear), method)(X)
    with pytest.raises(NotFittedError):
        classifier(linear).score(X, Y)


# -- test-time augmentation ------------------------------------------------------------


def test_rounds_average_the_plain_image_and_its_transforms(fitted):
    flip = ImageAugmenter(horizontal_flip=True)
    plain, mirrored = fitted.predict_proba(X), fitted.predict_proba(X[:, :, ::-1])
    averaged = with_tta(fitted, 6, flip).predict_proba(X)
    # Each round flips or does not: the sum of 7 rows is k mirrored and 7 - k plain ones.
    shares = [(k * mirrored + (7 - k) * plain) / 7 for k in range(1, 7)]
    assert any(np.allclose(averaged, share, rtol=0, atol=1e-12) for share in shares)
    # Without one of its own, rounds are transformed by the augmenter of the fit.
    assert not np.allclose(with_tta(fitted, 6).predict_proba(X), averaged)


def test_an_augmenter_that_does_nothing_averages_the_same(fitted):
    same = with_tta(fitted, 1, ImageAugmenter()).predict_proba(X)
    np.testing.assert_array_equal(same, fitted.predict_proba(X))


def test_rounds_are_the_same_bits_again_and_apart_from_companions(fitted):
    clf = with_tta(fitted, 2)
    together = clf.predict_proba(X)
    np.testing.assert_array_equal(clf.predict_proba(X), together)
    np.testing.assert_array_equal(clf.predict_proba(X[5:9]), together[5:9])
    np.testing.assert_array_equal(clf.predict_proba(X[::-1]), together[::-1])
    np.testing.assert_allclose(together.sum(axis=1), 1)
    refitted = classifier(cnn, augmenter=TURN, batch_size=8, epochs=2, tta_rounds=2).fit(X, Y)
    np.testing.assert_array_equal(refitted.predict_proba(X), together)


def test_each_round_has_a_transform_of_its_own():
    augmenter = RecordingAugmenter()
    images = numbered(8)
    clf = classifier(linear, tta_rounds=3, tta_augmenter=augmenter).fit(images, np.arange(8) % 2)
    assert not augmenter.seen  # the rounds of prediction are not for training
    clf.predict(images)
    by_row = {row: [n for r, n in augmenter.seen if r == row] for row in range(8)}
    assert all(len(set(drawn)) == 3 for drawn in by_row.values())
    assert len({tuple(drawn) for drawn in by_row.values()}) == 1


def test_rounds_standardise_as_fit_did():
    clf = classifier(linear, augmenter=ImageAugmenter(rescale=1 / 2, featurewise_center=True))
    clf.fit(X, Y)
    same = with_tta(clf, 1, ImageAugmenter()).predict_proba(X)
    np.testing.assert_array_equal(same, clf.predict_proba(X))


def test_a_mixing_augmenter_transforms_in_rounds_but_does_not_mix():
    mixing = ImageAugmenter(mixup_alpha=0.5)
    clf = classifier(linear, augmenter=mixing, **QUICK).fit(X, Y)
    np.testing.assert_array_equal(with_tta(clf, 1).predict_proba(X), clf.predict_proba(X))


def test_training_does_not_depend_on_the_rounds():
    assert same_model(classifier(linear).fit(X, Y), classifier(linear, tta_rounds=2).fit(X, Y))


def test_rounds_can_be_searched_and_changed_after_fit():
    # Moved by a column, the bright pixels are those of another class.
    ruin = {"tta_augmenter": lambda image, rng: np.roll(image, 1, axis=1)}
    clf = classifier(linear, **ruin, **QUICK)
    search = GridSearchCV(clf, {"tta_rounds": [0, 3]}, cv=2, error_score="raise").fit(X, Y)
    plain, rounds = search.cv_results_["mean_test_score"]
    assert plain > 0.9
    assert rounds < 0.1
    best = search.best_estimator_
    before = best.predict(X)
    assert np.mean(best.set_params(tta_rounds=3).predict(X) == before) < 0.1
    np.testing.assert_array_equal(best.set_params(tta_rounds=0).predict(X), before)


@pytest.mark.parametrize(("rounds", "error"), [(-1, ValueError), (0.5, TypeError)])
def test_rounds_are_a_whole_number(rounds, error, fitted):
    with pytest.raises(error, match="tta_rounds"):
        with_tta(fitted, rounds).predict(X)


# -- the range of values ---------------------------------------------------------------

UNIT = blobs()[0].clip(0, 1)
BYTES = (UNIT * 255).astype(np.uint8)
LABELS = blobs()[1]


WORDS = (UNIT * 65535).astype(np.uint16)
CENTRED = UNIT * 2 - 1


@pytest.mark.parametrize(
    ("seen", "given"),
    [
        (UNIT, BYTES),
        (BYTES, UNIT),
        (BYTES, WORDS),
        (WORDS, UNIT),
        (CENTRED, BYTES),
        (BYTES, CENTRED),
        (CENTRED, WORDS),
        (WORDS.astype(np.float32), BYTES),
    ],
)
def test_another_range_than_that_of_fit_warns(seen, given):
    clf = classifier(linear).fit(seen, LABELS)
    with pytest.warns(
        PixelScaleWarning, match=r"fitted on values in -?\d..\d+, and now .* -?\d..\d+"
    ):
        clf.predict(given)


@pytest.mark.parametrize(
    ("seen", "given"),
    [
        (BYTES, BYTES.astype(np.float32)),
        (BYTES, np.zeros_like(BYTES)),  # a dark image
        (BYTES, BYTES // 255),  # dark ones again: integers may be small
        (BYTES, UNIT - 0.5),  # centred by hand
        (UNIT - 0.5, BYTES),
        (CENTRED, UNIT),  # bright ones
        (UNIT, CENTRED),
        (CENTRED * 3, BYTES),  # z-scores
        (UNIT.reshape(24, 16), UNIT.reshape(24, 16) * 200),  # features, not pixels
    ],
)
def test_what_may_be_meant_does_not_warn(seen, given):
    clf = classifier(linear).fit(seen, LABELS)
    with warnings.catch_warnings():
        warnings.simplefilter("error", SkimgcvWarning)
        clf.predict(given)


def test_a_tta_augmenter_that_standardises_otherwise_is_refused(fitted):
    for other in (ImageAugmenter(rescale=0.5), ImageAugmenter(featurewise_center=True)):
        with pytest.raises(ValueError, match="tta_augmenter standardises images in another way"):
            with_tta(fitted, 1, other).predict_proba(X)
