"""A fit that was interrupted goes on with the same bits, a search as well."""

import joblib
import keras
import numpy as np
import pytest
import sklearn
from builders import cnn, linear
from samples import FailAt, blobs, classifier, same_model
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate

from skimgcv import ImageAugmenter
from skimgcv.exceptions import SavedFileError

X, Y = blobs(n=36, shape=(8, 8, 1))


def model(build=cnn, **parameters):
    defaults = {
        "augmenter": ImageAugmenter(rotation_range=20, featurewise_center=True),
        "epochs": 6,
        "batch_size": 8,
        "validation_split": 0.25,
        "sampling_strategy": {0: 12},
    }
    return classifier(build, **{**defaults, **parameters})


def stopping():
    return [
        keras.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=10.0),
        keras.callbacks.EarlyStopping(
            "loss", patience=3, min_delta=10.0, restore_best_weights=True
        ),
    ]


def assert_same_fit(a, b):
    assert same_model(a, b)
    assert a.history_ == b.history_
    np.testing.assert_array_equal(a.sample_indices_, b.sample_indices_)
    np.testing.assert_array_equal(a.validation_indices_, b.validation_indices_)
    # The optimizer and the random layers too.
    assert same_model(a.partial_fit(X, Y), b.partial_fit(X, Y))


@pytest.mark.parametrize("callbacks", [list, stopping])
@pytest.mark.parametrize("when", [[1], [3, 3]])
def test_an_interrupted_fit_goes_on_with_the_same_bits(callbacks, when, tmp_path, pending):
    whole = model(callbacks=callbacks()).fit(X, Y)
    clf = model(callbacks=callbacks())
    pending[:] = when
    for _ in when:
        with pytest.raises(KeyboardInterrupt):
            clf.fit(X, Y, checkpoint_dir=tmp_path)
    clf.set_params(callbacks=callbacks())
    clf.fit(X, Y, checkpoint_dir=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    assert_same_fit(whole, clf)


def test_each_epoch_is_run_once(tmp_path, pending):
    seen = []

    def note(image, rng):
        seen.append(1)
        return image

    clf = model(linear, augmenter=note, sampling_strategy=None)
    pending[:] = [4]
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, Y, checkpoint_dir=tmp_path)
    seen.clear()
    clf.fit(X, Y, checkpoint_dir=tmp_path)
    # Of 27 training rows: epochs 4 and 5. Three images and one batch are looked at before.
    assert 2 * 27 <= len(seen) <= 2 * 27 + 8 + 3


@pytest.mark.parametrize("callbacks", [list, stopping])
def test_a_fit_that_had_ended_is_read_back(callbacks, tmp_path):
    whole = model(callbacks=callbacks()).fit(X, Y, checkpoint_dir=tmp_path)
    again = model(callbacks=callbacks()).fit(X, Y, checkpoint_dir=tmp_path)
    assert_same_fit(whole, again)
    assert_same_fit(model(callbacks=callbacks()).fit(X, Y), again.fit(X, Y))


def test_the_history_goes_by_the_names_of_the_model_that_ended(tmp_path, pending):
    # Keras counts up the names of metrics that are given none.
    parameters = {"metrics": [keras.metrics.MeanSquaredError], "epochs": 3}
    clf = model(linear, **parameters)
    pending[:] = [2]
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, Y, checkpoint_dir=tmp_path)
    clf.fit(X, Y, checkpoint_dir=tmp_path)
    assert len(clf.history_) == 4
    assert {len(values) for values in clf.history_.values()} == {3}


def test_a_search_goes_on(tmp_path, pending):
    grid = {"model__filters": [2, 3]}
    plain = GridSearchCV(model(epochs=2), grid, cv=2).fit(X, Y)
    search = GridSearchCV(model(epochs=2), grid, cv=2, error_score="raise")
    pending[:] = [1]
    with pytest.raises(KeyboardInterrupt):
        search.fit(X, Y, checkpoint_dir=tmp_path)
    search.fit(X, Y, checkpoint_dir=tmp_path)
    # Two candidates, two folds, and the refit.
    assert len(list(tmp_path.iterdir())) == 5
    np.testing.assert_array_equal(
        search.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"]
    )
    assert same_model(search.best_estimator_, plain.best_estimator_)


@pytest.mark.parametrize("routing", [False, True])
def test_a_cross_validation_takes_it(routing, tmp_path):
    clf = model(linear, epochs=1)
    with sklearn.config_context(enable_metadata_routing=routing):
        if routing:
            clf.set_fit_request(checkpoint_dir=True)
        cross_validate(clf, X, Y, cv=2, params={"checkpoint_dir": tmp_path})
    assert len(list(tmp_path.iterdir())) == 2


def test_joblibs_memory_keeps_a_whole_cross_validation(tmp_path):
    clf = model(linear, epochs=1)
    kept = joblib.Memory(tmp_path, verbose=0).cache(cross_val_score)
    scores = kept(clf, X, Y, cv=2)
    assert kept.check_call_in_cache(clone(clf), X, Y, cv=2)
    assert not kept.check_call_in_cache(clone(clf).set_params(epochs=2), X, Y, cv=2)
    np.testing.assert_array_equal(kept(clone(clf), X, Y, cv=2), scores)


@pytest.mark.parametrize(
    "other",
    [
        {"random_state": 1},
        {"batch_size": 4},
        {"augmenter": ImageAugmenter(rotation_range=21)},
        {"model": cnn},
        {"model__units": 3},
        {"optimizer": keras.optimizers.SGD(0.1)},
        {"callbacks": keras.callbacks.EarlyStopping("loss", patience=3)},
    ],
)
def test_another_fit_begins_anew(other, tmp_path):
    from builders import dense

    model(dense, epochs=1).fit(X, Y, checkpoint_dir=tmp_path)
    clf = model(dense, epochs=1).set_params(**other)
    assert same_model(clf.fit(X, Y, checkpoint_dir=tmp_path), clf.fit(X, Y))
    assert len(list(tmp_path.iterdir())) == 2


def test_other_rows_begin_anew(tmp_path):
    clf = model(linear, epochs=1)
    changed = X.copy()
    changed[7, 0, 0, 0] += 1e-3
    weights = np.linspace(0.5, 1, len(Y))
    for data in ({"X": X}, {"X": changed}, {"X": X[::-1]}, {"X": X, "sample_weight": weights}):
        clf.fit(**{"y": Y, **data}, checkpoint_dir=tmp_path)
    assert len(list(tmp_path.iterdir())) == 4


def test_what_cannot_be_the_same_fit_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"random_state to be an int.*None"):
        model(random_state=None).fit(X, Y, checkpoint_dir=tmp_path)
    clf = model(linear, epochs=1, warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match="warm_start"):
        clf.fit(X, Y, checkpoint_dir=tmp_path)


def test_a_damaged_checkpoint_is_told(tmp_path):
    clf = model(linear, epochs=1).fit(X, Y, checkpoint_dir=tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SavedFileError, match=path.name):
        clf.fit(X, Y, checkpoint_dir=tmp_path)


def test_a_failed_epoch_is_not_kept(tmp_path):
    clf = model(linear, epochs=2, callbacks=FailAt(0, OSError("no disk")))
    with pytest.raises(OSError, match="no disk"):
        clf.fit(X, Y, checkpoint_dir=tmp_path)
    assert not list(tmp_path.iterdir())
