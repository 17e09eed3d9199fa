"""Going on from a model: partial_fit, warm_start, and what a fit that fails leaves behind."""

import pickle

import keras
import numpy as np
import pytest
from builders import linear
from samples import QUICK, FailAt, Log, Recorder, blobs, classifier, same_model, weights_of
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.naive_bayes import GaussianNB
from sklearn.utils.validation import check_is_fitted

from skimgcv import ImageAugmenter

X, Y = blobs(shape=(6, 6, 1))


def build_stateful(meta):
    return keras.Sequential(
        [
            keras.layers.Input(meta["image_shape_"]),
            keras.layers.Flatten(),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.25),
            keras.layers.Dense(meta["n_classes_"], activation="softmax"),
        ]
    )


def stateful(**parameters):
    """A model with all kinds of state, on images that are transformed anew each epoch."""
    return classifier(
        build_stateful,
        augmenter=ImageAugmenter(rotation_range=20),
        batch_size=8,
        metrics=["accuracy"],
    ).set_params(**parameters)


def state_of(estimator):
    """All that an estimator holds; values by identity, but arrays and weights by their bits."""
    model = getattr(estimator, "model_", None)
    variables = [] if model is None else [*model.variables, *model.optimizer.variables]
    return (
        vars(estimator).copy(),
        {k: list(v) for k, v in getattr(estimator, "history_", {}).items()},
        [np.array(keras.ops.convert_to_numpy(v)).tobytes() for v in variables],
    )


def assert_same_state(before, after):
    assert before[0].keys() == after[0].keys()
    assert all(before[0][k] is after[0][k] for k in before[0])
    assert before[1:] == after[1:]


# -- partial_fit -----------------------------------------------------------------------


def test_partial_fit_is_one_epoch_whatever_epochs_says():
    clf = classifier(linear, epochs=3)
    for n_epochs in (1, 2):
        assert clf.partial_fit(X, Y) is clf
        assert len(clf.history_["loss"]) == n_epochs
    clf.fit(X, Y)
    assert len(clf.history_["loss"]) == 3
    clf.partial_fit(X, Y)
    assert len(clf.history_["loss"]) == 4


def test_epochs_routed_to_fit_do_not_count_in_partial_fit():
    clf = classifier(linear, fit__epochs=2)
    assert len(clf.partial_fit(X, Y).history_["loss"]) == 1
    assert len(clf.fit(X, Y).history_["loss"]) == 2


def test_partial_fit_goes_on_with_the_same_model():
    clf = classifier(linear).partial_fit(X, Y)
    model, before = clf.model_, weights_of(clf)
    clf.partial_fit(X, Y)
    assert clf.model_ is model
    assert not np.array_equal(before[0], weights_of(clf)[0])


def test_epochs_one_by_one_are_the_same_bits_as_at_once():
    at_once = stateful(epochs=3).fit(X, Y)
    one_by_one = stateful()
    for _ in range(3):
        one_by_one.partial_fit(X, Y)
    assert same_model(at_once, one_by_one)
    assert at_once.history_ == one_by_one.history_


def test_a_pickle_between_two_epochs_changes_nothing():
    straight, pickled = stateful(), stateful()
    for _ in range(3):
        straight.partial_fit(X, Y)
        pickled = pickle.loads(pickle.dumps(pickled)).partial_fit(X, Y)
    assert same_model(straight, pickled)
    assert straight.history_ == pickled.history_
    assert set(straight.history_) == {"loss", "accuracy"}


def test_callbacks_are_told_the_number_of_the_epoch():
    log = Log()
    clf = classifier(linear, callbacks=Recorder(log), epochs=2).fit(X, Y)
    clf.partial_fit(X, Y).partial_fit(X, Y)
    assert [entry[1] for entry in log if entry[0] == "epoch"] == [0, 1, 2, 3]


def test_each_epoch_has_rows_and_transforms_of_its_own():
    clf = classifier(linear)
    orders = [clf.partial_fit(X, Y).sample_indices_.tolist() for _ in range(3)]
    assert len({tuple(order) for order in orders}) == 3
    assert orders[2] == classifier(linear, epochs=3).fit(X, Y).sample_indices_.tolist()


def test_statistics_stay_those_of_the_first_call():
    clf = classifier(linear, augmenter=ImageAugmenter(featurewise_center=True)).partial_fit(X, Y)
    augmenter = clf.augmenter_
    clf.partial_fit(X + 1, Y)
    assert clf.augmenter_ is augmenter
    # float32 sums in another order.
    np.testing.assert_allclose(augmenter.mean_, X.mean(), rtol=1e-5)


def test_classes_that_come_later():
    early = Y < 2
    clf = classifier(linear, **QUICK).partial_fit(X[early], Y[early], classes=[2, 0, 1])
    assert clf.classes_.tolist() == [0, 1, 2]
    assert clf.predict_proba(X).shape == (24, 3)
    clf.partial_fit(X[~early], Y[~early]).partial_fit(X, Y)
    assert clf.score(X, Y) > 0.9
    assert clf.class_weight_ == {0: 1, 1: 1, 2: 1}


def test_a_later_call_may_have_one_class_only():
    clf = classifier(linear).partial_fit(X, Y).partial_fit(X[Y == 1], Y[Y == 1])
    assert clf.classes_.tolist() == [0, 1, 2]


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_unseen_labels_are_refused(method):
    names = np.array(["ant", "bee", "cat"])
    clf = classifier(linear, warm_start=True).partial_fit(X[Y < 2], names[Y[Y < 2]])
    with pytest.raises(ValueError, match=r"\['cat'\].*not among the classes \['ant', 'bee'\]"):
        getattr(clf, method)(X, names[Y])


def test_other_classes_than_before_are_refused_as_scikit_learn_refuses_them():
    reference = GaussianNB().partial_fit(X.reshape(24, -1), Y, classes=[0, 1, 2])
    clf = classifier(linear).partial_fit(X, Y, classes=[0, 1, 2]).partial_fit(X, Y, [0, 1, 2])
    for estimator, data in ((reference, X.reshape(24, -1)), (clf, X)):
        with pytest.raises(ValueError, match="is not the same as on last call to partial_fit"):
            estimator.partial_fit(data, Y, classes=[0, 1, 2, 3])


def test_other_images_than_before_are_refused():
    clf = classifier(linear).partial_fit(X, Y)
    with pytest.raises(ValueError, match=r"\(5, 6, 1\).*fitted on \(6, 6, 1\)"):
        clf.partial_fit(X[:, 1:], Y)


def test_weights_count_in_partial_fit():
    weighted = classifier(linear).partial_fit(X, Y, class_weight={0: 3.0})
    assert weighted.class_weight_ == {0: 3, 1: 1, 2: 1}
    by_row = classifier(linear).partial_fit(X, Y, sample_weight=np.where(Y == 0, 3.0, 1.0))
    assert same_model(weighted, by_row)
    assert not same_model(weighted, classifier(linear).partial_fit(X, Y))


def test_partial_fit_holds_out_and_samples():
    clf = classifier(linear, validation_split=0.25, sampling_strategy={0: 10})
    clf.partial_fit(X, Y).partial_fit(X, Y)
    assert len(clf.history_["val_loss"]) == 2
    assert len(clf.validation_indices_) == 6
    assert np.bincount(Y[clf.sample_indices_]).tolist() == [10, 6, 6]
    assert not set(clf.sample_indices_) & set(clf.validation_indices_)


# -- warm_start ------------------------------------------------------------------------


def test_warm_start_goes_on_and_without_it_fit_begins_anew():
    clf = classifier(linear, epochs=2).fit(X, Y)
    first, model = weights_of(clf), clf.model_
    clf.set_params(warm_start=True).fit(X, Y)
    assert clf.model_ is model
    assert not np.array_equal(first[0], weights_of(clf)[0])
    clf.set_params(warm_start=False).fit(X, Y)
    assert clf.model_ is not model
    assert all(map(np.array_equal, first, weights_of(clf)))


def test_two_warm_fits_are_the_same_bits_as_one_long_fit():
    warm = stateful(epochs=2, warm_start=True).fit(X, Y).fit(X, Y)
    assert same_model(warm, stateful(epochs=4).fit(X, Y))
    assert len(warm.history_["loss"]) == 2  # of the last call


def test_the_first_fit_with_warm_start_is_a_fit():
    assert same_model(stateful(warm_start=True).fit(X, Y), stateful().fit(X, Y))


def test_a_clone_does_not_go_on():
    clf = classifier(linear, warm_start=True).fit(X, Y)
    with pytest.raises(NotFittedError):
        clone(clf).predict(X)
    assert same_model(clone(clf).fit(X, Y), classifier(linear).fit(X, Y))


# -- a fit that fails ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "error"),
    [("fit", RuntimeError("out of luck")), ("partial_fit", KeyboardInterrupt())],
)
def test_a_failed_first_fit_leaves_the_estimator_unfitted(method, error):
    clf = stateful(callbacks=FailAt(0, error))
    before = state_of(clf)
    with pytest.raises(type(error)):
        getattr(clf, method)(X, Y)
    assert_same_state(before, state_of(clf))
    with pytest.raises(NotFittedError):
        clf.predict(X)
    with pytest.raises(NotFittedError):
        check_is_fitted(clf)
    assert same_model(clf.set_params(callbacks=None).fit(X, Y), stateful().fit(X, Y))


@pytest.mark.parametrize(
    ("method", "warm_start", "fails_at", "error"),
    [
        ("fit", False, 1, RuntimeError("out of luck")),
        ("fit", True, 1, KeyboardInterrupt()),
        ("partial_fit", False, 2, RuntimeError("out of luck")),
    ],
)
def test_a_failed_refit_leaves_the_old_model_bit_for_bit(method, warm_start, fails_at, error):
    clf = stateful(epochs=2).fit(X, Y)
    clf.set_params(warm_start=warm_start, callbacks=FailAt(fails_at, error))
    before, predictions = state_of(clf), clf.predict_proba(X)
    with pytest.raises(type(error)):
        getattr(clf, method)(X, Y)
    assert_same_state(before, state_of(clf))
    np.testing.assert_array_equal(predictions, clf.predict_proba(X))
    # It goes on as if nothing had happened: optimizer and dropout seeds are as they were.
    clf.set_params(callbacks=None).partial_fit(X, Y)
    assert same_model(clf, stateful(epochs=2).fit(X, Y).partial_fit(X, Y))


def test_refused_arguments_leave_the_old_model():
    clf = classifier(linear).fit(X, Y)
    before = state_of(clf)
    for bad in ({"X": X[:, :, :, [0, 0]]}, {"y": Y[:-1]}, {"class_weight": {0: -1}}):
        with pytest.raises(ValueError, match=r"\w"):
            clf.partial_fit(**{"X": X, "y": Y, **bad})
    for bad in ({"y": np.zeros(24)}, {"groups": [1]}, {"validation_data": (X,)}):
        with pytest.raises(ValueError, match=r"\w"):
            clf.fit(**{"X": X, "y": Y, **bad})
    clf.set_params(epochs=-1)
    with pytest.raises(ValueError, match="epochs"):
        clf.fit(X, Y)
    clf.set_params(epochs=1)
    assert_same_state(before, state_of(clf))


def test_an_augmenters_error_is_itself_and_says_where():
    class OutOfPaintError(Exception):
        pass

    def fail(image, rng):
        if image[0, 0, 0] == X[5, 0, 0, 0]:
            raise OutOfPaintError("no red left")
        return image

    clf = classifier(linear, augmenter=fail, batch_size=4, shuffle=False)
    with pytest.raises(OutOfPaintError, match="no red left") as info:
        clf.fit(X, Y)
    notes = " ".join(info.value.__notes__)
    assert "epoch 0" in notes
    assert "rows [4, 5, 6, 7]" in notes


def test_a_builders_error_is_itself_and_says_where():
    def fail(meta):
        raise ZeroDivisionError("no layers")

    with pytest.raises(ZeroDivisionError, match="no layers") as info:
        classifier(fail).fit(X, Y)
    assert info.value.__notes__ == ["while building the model"]
