"""The estimator inside scikit-learn's tools, and its hold-out, sampling and augmenters."""

import copy
import pickle

import keras
import numpy as np
import pytest
from builders import dense, linear
from samples import (
    QUICK,
    Log,
    Recorder,
    RecordingAugmenter,
    blobs,
    classifier,
    numbered,
    same_model,
)
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skimgcv import ImageAugmenter
from skimgcv.exceptions import DoubleCorrectionWarning, LabelsNotFoundWarning

X, Y = blobs()


def quick(**parameters):
    return classifier(linear, **{**QUICK, **parameters})


# -- inside scikit-learn's tools -------------------------------------------------------


def test_scores_of_cross_validation():
    names = np.array(["ant", "bee", "cat"])[Y]
    scoring = ["accuracy", "balanced_accuracy", "roc_auc_ovr", "neg_log_loss"]
    scores = cross_validate(quick(), X, names, cv=2, scoring=scoring, error_score="raise")
    assert scores["test_accuracy"].min() > 0.9
    assert scores["test_roc_auc_ovr"].min() > 0.9
    # Guessing has log(3) = 1.1.
    assert scores["test_neg_log_loss"].min() > -0.5
    assert np.mean(cross_val_predict(quick(), X, names, cv=2) == names) > 0.9


@pytest.mark.parametrize(
    ("parameters", "good", "ruinous"),
    [
        ({"optimizer__learning_rate": [1e-9, 0.1]}, 0.1, 1e-9),
        ({"model__units": [16, 1], "model": [dense]}, 16, 1),
    ],
)
def test_a_grid_finds_the_better_setting(parameters, good, ruinous):
    search = GridSearchCV(quick(), parameters, cv=2, error_score="raise").fit(X, Y)
    name = next(iter(parameters))
    assert search.best_params_[name] == good
    assert search.best_score_ > 0.9
    by_value = dict(
        zip(
            search.cv_results_[f"param_{name}"], search.cv_results_["mean_test_score"], strict=True
        )
    )
    assert by_value[ruinous] < 0.75
    assert search.best_estimator_.get_params()[name] == good


@pytest.mark.parametrize(
    ("name", "good", "ruinous"),
    [
        ("rotation_range", 0, 180),
        ("width_shift_range", 0, [-3, 3]),
        ("vertical_flip", False, True),
    ],
)
def test_a_grid_searches_the_augmenters_parameters(name, good, ruinous):
    # The bright quarter says the class: turned, moved or flipped it is another's.
    y = np.arange(24) % 4
    images = np.random.default_rng(0).normal(0, 0.05, (24, 6, 6, 1))
    for image, label in zip(images, y, strict=True):
        image[3 * (label // 2) :][:3, 3 * (label % 2) :][:, :3] += 1
    clf = quick(augmenter=ImageAugmenter(fill_mode="wrap"), epochs=2)
    grid = {f"augmenter__{name}": [ruinous, good]}
    search = GridSearchCV(clf, grid, cv=2, error_score="raise").fit(images, y)
    assert search.best_params_ == {f"augmenter__{name}": good}
    scores = search.cv_results_["mean_test_score"]
    assert scores[1] > 0.9 > 0.8 > scores[0]


def test_a_pipeline_passes_images_on():
    pipe = make_pipeline(FunctionTransformer(lambda images: images * 2), quick())
    pipe.fit(X, Y)
    assert same_model(pipe[-1], quick().fit(X * 2, Y))
    assert cross_val_score(pipe, X, Y, cv=2).mean() > 0.9


@pytest.mark.parametrize(
    "tool",
    [
        lambda clf: CalibratedClassifierCV(clf, cv=2),
        lambda clf: VotingClassifier([("a", clf), ("b", clf)], voting="soft"),
        lambda clf: StackingClassifier([("a", clf)], LogisticRegression(), cv=2),
        lambda clf: OneVsRestClassifier(clf),
    ],
    ids=["Calibrated", "Voting", "Stacking", "OneVsRest"],
)
def test_meta_estimators(tool):
    fitted = tool(quick()).fit(X, Y)
    assert fitted.score(X, Y) > 0.9
    assert fitted.predict_proba(X).shape == (24, 3)


def test_bagging_needs_flat_rows():
    flat = X.reshape(24, 16)
    bag = BaggingClassifier(quick(image_shape=(4, 4)), n_estimators=2, random_state=0)
    assert bag.fit(flat, Y).score(flat, Y) > 0.9


# -- copies ----------------------------------------------------------------------------


def full(**parameters):
    return classifier(
        linear,
        augmenter=ImageAugmenter(rotation_range=20, featurewise_center=True),
        class_augmenters={1: ImageAugmenter(horizontal_flip=True)},
        class_weight={0: 2.0},
        callbacks=keras.callbacks.EarlyStopping(monitor="val_loss"),
        validation_split=0.25,
        metrics=["accuracy"],
        optimizer__learning_rate=0.01,
        **parameters,
    )


def test_clones_and_pickles_of_an_unfitted_estimator_fit_the_same():
    fitted = full().fit(X, Y)
    for copied in (clone(fitted), pickle.loads(pickle.dumps(full())), copy.deepcopy(full())):
        assert not hasattr(copied, "model_")
        assert same_model(copied.fit(X, Y), fitted)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_copies_of_a_fitted_estimator_predict_the_same(duplicate):
    fitted = full().fit(X, Y)
    copied = duplicate(fitted)
    assert copied.model_ is not fitted.model_
    np.testing.assert_array_equal(copied.predict_proba(X), fitted.predict_proba(X))
    assert copied.history_ == fitted.history_
    assert same_model(copied.partial_fit(X, Y), fitted.partial_fit(X, Y))


# -- the history -----------------------------------------------------------------------


def test_the_history_is_lists_of_floats_by_name():
    clf = classifier(linear, metrics=["accuracy"], validation_split=0.25, epochs=2).fit(X, Y)
    assert set(clf.history_) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert all(isinstance(values, list) and len(values) == 2 for values in clf.history_.values())
    assert all(isinstance(value, float) for values in clf.history_.values() for value in values)


# -- the hold-out ----------------------------------------------------------------------


def test_the_hold_out_is_stratified_and_never_trains():
    clf = classifier(linear, validation_split=0.25, epochs=2).fit(X, Y)
    held = clf.validation_indices_
    assert np.bincount(Y[held]).tolist() == [2, 2, 2]
    assert sorted([*held, *clf.sample_indices_]) == list(range(24))


def test_the_hold_outs_loss_is_that_of_plain_rows():
    clf = classifier(
        linear, validation_split=0.25, augmenter=ImageAugmenter(rotation_range=90), metrics=["acc"]
    ).fit(X, Y)
    held = clf.validation_indices_
    loss, accuracy = clf.model_.evaluate(X[held], Y[held], verbose=0)
    assert clf.history_["val_loss"] == pytest.approx([loss], rel=1e-6)  # float32
    assert clf.history_["val_acc"] == pytest.approx([accuracy])


def test_class_weights_do_not_count_in_the_hold_outs_loss_but_sample_weights_do():
    def val_loss(**arguments):
        clf = classifier(linear, validation_split=0.25, optimizer__learning_rate=0.0)
        return clf.fit(X, Y, **arguments).history_["val_loss"][0]

    assert val_loss(class_weight={0: 7.0}) == val_loss()
    assert val_loss(sample_weight=np.where(Y == 0, 7.0, 1.0)) != pytest.approx(val_loss())


def test_groups_stay_on_one_side():
    groups = np.arange(24) // 2
    clf = classifier(linear, validation_split=0.25).fit(X, Y, groups=groups)
    assert not set(groups[clf.validation_indices_]) & set(groups[clf.sample_indices_])
    assert len(clf.validation_indices_) == 6


def test_validation_data_takes_the_place_of_the_split():
    other, labels = blobs(n=9, seed=1)
    clf = classifier(linear, validation_split=0.25)
    clf.fit(X, Y, validation_data=(other, labels))
    assert len(clf.validation_indices_) == 0
    assert len(clf.sample_indices_) == 24
    loss = clf.model_.evaluate(other, labels, verbose=0)
    assert clf.history_["val_loss"] == pytest.approx([loss], rel=1e-6)  # float32
    weights = np.arange(1.0, 10.0)
    clf.fit(X, Y, validation_data=[other, np.eye(3)[labels], weights])
    weighted = clf.model_.evaluate(other, labels, sample_weight=weights, verbose=0)
    assert clf.history_["val_loss"] == pytest.approx([weighted], rel=1e-6)


def test_one_early_stopping_serves_all_folds():
    stop = keras.callbacks.EarlyStopping(patience=0, min_delta=100)
    clf = classifier(linear, validation_split=0.25, epochs=9, callbacks=stop)
    folds = cross_validate(clf, X, Y, cv=3, return_estimator=True)["estimator"]
    assert [len(fold.history_["loss"]) for fold in folds] == [2, 2, 2]
    marks = [fold.callbacks_[0].best for fold in folds]
    assert marks == [fold.history_["val_loss"][0] for fold in folds]
    assert all(fold.callbacks_[0].model is fold.model_ for fold in folds)


def test_the_second_generator_transforms_the_hold_out_alone_and_alike_each_epoch():
    images = numbered(24)
    own, common = RecordingAugmenter(), RecordingAugmenter()
    clf = classifier(
        linear, augmenter=common, validation_augmenter=own, validation_split=0.25, epochs=3
    ).fit(images, Y)
    held = clf.validation_indices_.tolist()
    assert {row for row, _ in own.seen} == set(held)
    assert len(set(own.seen)) == len(held)  # each row always with the same number
    before = set(own.seen)
    clone(clf).fit(images, Y)
    assert set(own.seen) == before
    assert {row for row, _ in common.seen} == set(range(24)) - set(held)


def test_the_second_generators_effect_is_on_the_hold_outs_loss_alone():
    # Moved by a column, the bright pixels are those of another class.
    move = {"validation_augmenter": lambda image, rng: np.roll(image, 1, axis=1)}
    plain, moved = (quick(validation_split=0.25, **p).fit(X, Y) for p in ({}, move))
    assert same_model(plain, moved)
    assert moved.history_["val_loss"][0] > plain.history_["val_loss"][0]
    held = plain.validation_indices_
    loss = moved.model_.evaluate(np.roll(X[held], 1, axis=2), Y[held], verbose=0)
    assert moved.history_["val_loss"] == pytest.approx([loss], rel=1e-6)  # float32


# -- sampling and augmenters by class --------------------------------------------------

RARE = np.array([0] * 16 + [1] * 6 + [2] * 4)


def test_fifty_epochs_use_each_row_as_often_as_the_strategy_says():
    augmenter = RecordingAugmenter()
    clf = classifier(
        linear,
        augmenter=augmenter,
        sampling_strategy={2: 8, 1: 3},
        validation_split=0.2,
        epochs=50,
    ).fit(numbered(26), RARE)
    train = np.setdiff1d(np.arange(26), clf.validation_indices_)
    members = [train[RARE[train] == label] for label in range(3)]
    per_epoch = [len(members[0]), 3, 8]
    length = sum(per_epoch)
    assert len(augmenter.seen) == 50 * length
    epochs = [augmenter.seen[start : start + length] for start in range(0, 50 * length, length)]
    for epoch in epochs:
        rows = np.array([row for row, _ in epoch])
        assert np.bincount(RARE[rows]).tolist() == per_epoch
        for own, drawn in zip(members, per_epoch, strict=True):
            times = np.bincount(rows, minlength=26)[own]
            assert set(times) <= {drawn // len(own), -(-drawn // len(own))}
        # No two repeats were transformed alike.
        assert len({number for _, number in epoch}) == length
    used = np.bincount([row for row, _ in augmenter.seen], minlength=26)
    assert not used[clf.validation_indices_].any()
    assert (used[members[0]] == 50).all()
    for own, drawn in zip(members[1:], per_epoch[1:], strict=True):
        assert used[own].sum() == 50 * drawn
        # The extra rows are drawn evenly: 5 standard deviations of a hypergeometric draw.
        share = drawn / len(own) % 1
        spread = 5 * np.sqrt(50 * share * (1 - share))
        assert np.abs(used[own] - 50 * drawn / len(own)).max() <= spread
    assert [row for row, _ in epochs[-1]] == clf.sample_indices_.tolist()


def test_oversampling_raises_the_recall_of_the_rare_class():
    rng = np.random.default_rng(0)
    y = np.array([0] * 60 + [1] * 6)
    images = rng.normal(0.7 * y[:, None, None, None], 1, (66, 4, 4, 1)).astype(np.float32)
    recalls = [
        np.mean(quick(sampling_strategy=s, batch_size=8).fit(images, y).predict(images)[y == 1])
        for s in (None, "auto")
    ]
    assert recalls[1] > recalls[0]


def test_weights_follow_their_repeated_rows():
    weights = np.where(RARE == 2, 0.5, 1.0)
    images = blobs(26)[0]
    by_row = classifier(linear, sampling_strategy="auto").fit(images, RARE, weights)
    by_class = classifier(linear, sampling_strategy="auto").fit(
        images, RARE, class_weight={2: 0.5}
    )
    assert same_model(by_row, by_class)


def test_correcting_an_imbalance_twice_warns():
    clf = classifier(linear, sampling_strategy="auto", class_weight="balanced")
    with pytest.warns(DoubleCorrectionWarning, match="rare classes count twice"):
        clf.fit(blobs(26)[0], RARE)


def test_rows_of_a_class_go_through_the_augmenter_of_the_class():
    common, own = RecordingAugmenter(), RecordingAugmenter()
    names = np.array(["ant", "bee", "cat"])[RARE]
    classifier(linear, augmenter=common, class_augmenters={"cat": own, "dog": common}).fit(
        numbered(26), names
    )
    assert sorted(row for row, _ in own.seen) == [22, 23, 24, 25]
    assert sorted(row for row, _ in common.seen) == list(range(22))


@pytest.mark.parametrize("name", ["class_augmenters", "validation_augmenter"])
def test_a_second_augmenter_standardises_as_the_first_or_not_at_all(name):
    def fit(augmenter, first=None):
        given = {1: augmenter} if name == "class_augmenters" else augmenter
        return classifier(linear, augmenter=first, validation_split=0.25, **{name: given}).fit(
            X, Y
        )

    with pytest.raises(ValueError, match=r"standardises .* another way .* only on `augmenter`"):
        fit(ImageAugmenter(rescale=1 / 255))
    halves = ImageAugmenter(rescale=0.5)
    assert same_model(fit(ImageAugmenter(), halves), fit(halves, halves))
    with pytest.raises(ValueError, match=f"{name}.* mixes images"):
        fit(ImageAugmenter(mixup_alpha=0.2))


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("class_weight", 9.0),
        ("class_weight", 0),
        ("class_augmenters", ImageAugmenter()),
        ("sampling_strategy", 30),
    ],
)
def test_labels_that_no_row_has_warn_and_change_nothing(parameter, value):
    plain = classifier(linear).fit(X, Y)
    for label, why in [(7, "A fold may lack a class"), ("1", "A text never equals a number")]:
        clf = classifier(linear, **{parameter: {label: value}})
        words = rf"^{parameter} has no effect.* names \[{label!r}\], and y has \[.*{why}"
        with pytest.warns(LabelsNotFoundWarning, match=words):
            clf.fit(X, Y)
        assert same_model(clf, plain)
        clf.set_params(**{parameter: {label: value, 1: value}}).fit(X, Y)  # no warning


@pytest.mark.parametrize("parameter", ["class_weight", "class_augmenters", "sampling_strategy"])
def test_a_fold_that_lacks_the_one_class_that_is_named_is_fitted(parameter):
    y = np.where(np.arange(24) < 8, "rare", np.array(["a", "b", "c"])[Y])
    value = {"class_weight": 9.0, "sampling_strategy": 12}.get(parameter, ImageAugmenter())
    clf = classifier(linear, **{parameter: {"rare": value}})
    with pytest.warns(LabelsNotFoundWarning, match=rf"{parameter}.*\['rare'\].*'a', 'b', 'c'"):
        scores = cross_val_score(clf, X, y, cv=KFold(3), error_score="raise")
    assert np.isfinite(scores).all()


def test_a_batch_that_lacks_the_class_that_is_named_does_not_warn():
    clf = classifier(linear, class_weight={2: 3.0}, sampling_strategy={2: 3})
    clf.partial_fit(X, Y).partial_fit(X[Y < 2], Y[Y < 2])


def test_mixing_needs_targets_that_can_be_mixed():
    mixing = ImageAugmenter(mixup_alpha=0.2)
    fitted = classifier(linear, augmenter=mixing, **QUICK, epochs=2).fit(X, Y)
    assert fitted.score(X, Y) > 0.9
    assert type(fitted.model_.loss) is keras.losses.CategoricalCrossentropy
    by_class = {1: ImageAugmenter()}
    with pytest.raises(ValueError, match="class_augmenters cannot apply"):
        classifier(linear, augmenter=mixing, class_augmenters=by_class).fit(X, Y)
    with pytest.raises(ValueError, match="MixUp and CutMix mix labels"):
        classifier(linear, augmenter=mixing, loss="sparse_categorical_crossentropy").fit(X, Y)


def test_the_users_augmenter_is_never_fitted():
    augmenter = ImageAugmenter(featurewise_center=True)
    first = classifier(linear, augmenter=augmenter).fit(X, Y)
    second = classifier(linear, augmenter=augmenter).fit(X + 1, Y)
    assert not hasattr(augmenter, "mean_")
    # float32 sums in another order.
    np.testing.assert_allclose(second.augmenter_.mean_ - first.augmenter_.mean_, 1, rtol=1e-5)


def test_a_row_of_weight_0_is_as_if_it_were_not_there():
    log = Log()
    augmenter = ImageAugmenter(featurewise_center=True)
    clf = classifier(linear, augmenter=augmenter, callbacks=Recorder(log))
    clf.fit(X, Y, sample_weight=(np.arange(24) >= 6).astype(float))
    assert sorted(clf.sample_indices_) == list(range(6, 24))
    # float32 sums in another order.
    np.testing.assert_allclose(clf.augmenter_.mean_, X[6:].mean(), rtol=1e-5)


def test_without_shuffling_rows_train_in_their_order():
    assert classifier(linear, shuffle=False).fit(X, Y).sample_indices_.tolist() == list(range(24))


def test_an_error_of_a_callback_says_in_which_epoch():
    class Broken(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise ZeroDivisionError("mine")

    X, y = blobs(n=20)
    with pytest.raises(ZeroDivisionError, match="mine") as caught:
        classifier(dense, epochs=3, callbacks=[Broken()]).fit(X, y)
    assert "epoch 1" in caught.value.__notes__[0]


def test_parameters_of_an_augmenter_that_is_not_there():
    with pytest.raises(ValueError, match="augmenter__rotation_range needs an augmenter"):
        classifier(dense).set_params(augmenter__rotation_range=10)
    both = classifier(dense).set_params(augmenter=ImageAugmenter(), augmenter__rotation_range=10)
    assert both.augmenter.rotation_range == 10


# -- classes that are nearly not there ---------------------------------------------------


def with_rare_class(n_rare):
    X, y = blobs(n=60)
    rows = np.sort(np.r_[np.flatnonzero(y > 0), np.flatnonzero(y == 0)[:n_rare]])
    return X[rows], y[rows]


BALANCING = {
    "sampling_strategy": "auto",
    "class_augmenters": {0: ImageAugmenter(rotation_range=20)},
    "validation_split": 0.25,
}


def test_a_class_of_five_is_in_each_of_five_folds():
    X, y = with_rare_class(5)
    results = cross_validate(
        classifier(linear, augmenter=ImageAugmenter(horizontal_flip=True), **BALANCING),
        X,
        y,
        cv=StratifiedKFold(5),
        return_estimator=True,
        return_indices=True,
    )
    for est, train in zip(results["estimator"], results["indices"]["train"], strict=True):
        drawn = y[train][est.sample_indices_]
        # As often as the common classes, of which the hold-out took a quarter.
        assert np.ptp(np.unique(drawn, return_counts=True)[1]) == 0
        assert not set(est.sample_indices_) & set(est.validation_indices_)


def test_a_fold_without_a_class_is_fitted_on_the_others():
    X, y = with_rare_class(5)
    others = y > 0
    est = classifier(
        linear,
        sampling_strategy={0: 30, 1: 30},
        class_weight={0: 9.0, 2: 2.0},
        augmenter=ImageAugmenter(horizontal_flip=True),
        class_augmenters={0: ImageAugmenter(rotation_range=20), 1: ImageAugmenter()},
    ).fit(X[others], y[others])
    assert est.classes_.tolist() == [1, 2]
    assert est.class_weight_ == {1: 1.0, 2: 2.0}
    assert np.bincount(y[others][est.sample_indices_]).tolist() == [0, 30, 20]


def test_more_folds_than_members_warn_as_scikit_learn_does():
    X, y = with_rare_class(2)
    est = classifier(linear, augmenter=ImageAugmenter(horizontal_flip=True), **BALANCING)
    with pytest.warns(UserWarning, match="least populated class in y has only 2 members"):
        scores = cross_val_score(est, X, y, cv=StratifiedKFold(3))
    assert np.isfinite(scores).all()
