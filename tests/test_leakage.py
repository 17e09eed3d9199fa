"""Canaries: images that carry their row number, and augmenters that write down what they see."""

from collections import Counter

import cv2
import keras
import numpy as np
import pytest
from builders import cnn, frozen, linear
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skimgcv import AugmentedKerasClassifier, ImageAugmenter, ImageFiles, clear_features
from skimgcv._batches.batches import Batches

EPOCHS = 2
N = 60
X = np.repeat(np.arange(N, dtype=np.float32), 16).reshape(N, 4, 4, 1)
y = np.arange(N) % 2
CV = StratifiedKFold(3)

seen_by_transform: list[int] = []
seen_by_preprocessing: list[int] = []
fits: list[dict] = []
predictions: list[dict] = []


def write_down(image, rng):
    """Augment: changes nothing, and tells which row it got."""
    seen_by_transform.append(int(image.flat[0]))
    return image


def write_down_preprocessed(image):
    seen_by_preprocessing.append(int(image.flat[0]))
    return image


class Watched(AugmentedKerasClassifier):
    """Notes for every fit and prediction which rows came, and which were seen where."""

    def fit(self, X, y, **arguments):
        seen_by_transform.clear(), seen_by_preprocessing.clear()
        super().fit(X, y, **arguments)
        fits.append(self._note(X))
        return self

    def predict_proba(self, X):
        seen_by_transform.clear(), seen_by_preprocessing.clear()
        result = super().predict_proba(X)
        predictions.append(self._note(X))
        return result

    @staticmethod
    def _note(X):
        return {
            "rows": X[:, 0, 0, 0].astype(int).tolist(),
            "transformed": list(seen_by_transform),
            "preprocessed": list(seen_by_preprocessing),
        }


@pytest.fixture(autouse=True)
def _empty_notes():
    fits.clear(), predictions.clear()


def watched(augmenter):
    return Watched(linear, augmenter=augmenter, epochs=EPOCHS, random_state=0)


def run_cross_val_score(est):
    cross_val_score(est, X, y, cv=CV)
    return [train for train, _ in CV.split(X, y)]


def run_cross_val_predict(est):
    cross_val_predict(est, X, y, cv=CV, method="predict_proba")
    return [train for train, _ in CV.split(X, y)]


def run_grid_search(est):
    GridSearchCV(est, {"batch_size": [16, 32]}, cv=CV).fit(X, y)
    return [train for train, _ in CV.split(X, y)] * 2 + [np.arange(N)]


def run_pipeline(est):
    cross_val_score(make_pipeline(FunctionTransformer(), est), X, y, cv=CV)
    return [train for train, _ in CV.split(X, y)]


def run_calibration(est):
    CalibratedClassifierCV(est, cv=CV, ensemble=True).fit(X, y)
    return [train for train, _ in CV.split(X, y)]


def run_stacking(est):
    StackingClassifier([("a", est)], cv=CV).fit(X, y)
    return [np.arange(N)] + [train for train, _ in CV.split(X, y)]


TOOLS = [
    run_cross_val_score,
    run_cross_val_predict,
    run_grid_search,
    run_pipeline,
    run_calibration,
    run_stacking,
]


@pytest.mark.parametrize("run", TOOLS)
def test_the_random_half_sees_each_training_row_once_an_epoch_and_no_other(run):
    train_folds = run(watched(write_down))
    assert [f["rows"] for f in fits] == [train.tolist() for train in train_folds]
    for fit in fits:
        # The first three are tried before, to see whether it is random at all.
        assert Counter(fit["transformed"]) == Counter(fit["rows"] * EPOCHS + fit["rows"][:3])
    assert predictions
    for prediction in predictions:
        assert prediction["transformed"] == []


@pytest.mark.parametrize("run", TOOLS)
def test_the_deterministic_half_sees_the_rows_of_the_call_and_no_other(run):
    train_folds = run(watched(ImageAugmenter(preprocessing_function=write_down_preprocessed)))
    assert [f["rows"] for f in fits] == [train.tolist() for train in train_folds]
    for fit in fits:
        assert set(fit["preprocessed"]) == set(fit["rows"])
    for prediction in predictions:
        assert set(prediction["preprocessed"]) == set(prediction["rows"])


@pytest.mark.parametrize("run", [run_cross_val_score, run_grid_search])
def test_a_frozen_part_is_run_on_images_of_the_call_alone(run, monkeypatch):
    clear_features()
    prepared = []
    prepare = Batches.prepare

    def watched_prepare(batches, at):
        images = prepare(batches, at)
        prepared.extend(zip(batches.epoch.rows[at].tolist(), images[:, 0, 0, 0], strict=True))
        return images

    monkeypatch.setattr(Batches, "prepare", watched_prepare)
    augmenter = ImageAugmenter(brightness_range=(0.5, 0.9))
    est = Watched(frozen, augmenter=augmenter, epochs=EPOCHS, random_state=0)
    # What is seen in a fold's call is written down before the next one clears it.
    note = Watched._note

    def with_prepared(X):
        own = [(int(X[row, 0, 0, 0]), float(value)) for row, value in prepared]
        prepared.clear()
        return note(X) | {"prepared": own}

    monkeypatch.setattr(Watched, "_note", staticmethod(with_prepared))
    run(est)
    seen = Counter()
    for fit in fits:
        seen.update(row for row, _ in fit["prepared"])
        assert {row for row, _ in fit["prepared"]} <= set(fit["rows"])
        assert all(value < row for row, value in fit["prepared"] if row)
    for prediction in predictions:
        assert {row for row, _ in prediction["prepared"]} <= set(prediction["rows"])
        assert all(value == row for row, value in prediction["prepared"])
    if keras.backend.backend() != "tensorflow":
        return  # the whole model is run in each fit
    # Once an epoch over all folds, of which each sees other rows; and two to try the model on.
    assert set(seen.values()) <= {EPOCHS, EPOCHS + 1}
    assert sum(seen.values()) == N * EPOCHS + 2


@pytest.mark.parametrize("run", [run_cross_val_score, run_grid_search, run_stacking])
def test_files_are_seen_as_the_array_is(run, tmp_path, monkeypatch):
    paths = [tmp_path / f"{row}.png" for row in range(N)]
    for path, image in zip(paths, X, strict=True):
        cv2.imwrite(str(path), image.astype(np.uint8))
    files = ImageFiles(paths, (4, 4), color_mode="grayscale", cache=tmp_path / "decoded")
    monkeypatch.setitem(globals(), "X", files)
    test_the_random_half_sees_each_training_row_once_an_epoch_and_no_other(run)


def test_an_inner_hold_out_is_not_augmented_nor_learned_from():
    augmenter = ImageAugmenter(featurewise_center=True)
    est = Watched(
        linear, augmenter=write_down, validation_split=0.25, epochs=EPOCHS, random_state=0
    ).fit(X, y)
    held = set(est.validation_indices_.tolist())
    assert len(held) == N // 4
    assert set(fits[0]["transformed"]) == set(range(N)) - held
    est.set_params(augmenter=augmenter).fit(X, y)
    trained = np.setdiff1d(np.arange(N), est.validation_indices_)
    # The mean of float32 images is a float32: its own rounding is all that may differ.
    np.testing.assert_allclose(est.augmenter_.mean_.ravel(), X[trained].mean(), rtol=1e-6)


def test_the_model_is_fed_plain_images_at_prediction(digits):
    images, labels = digits
    augmenter = ImageAugmenter(
        rotation_range=180, horizontal_flip=True, brightness_range=(0.1, 3), rescale=1 / 255
    )
    est = AugmentedKerasClassifier(cnn, augmenter=augmenter, random_state=0).fit(images, labels)
    plain = est.model_.predict(images.astype(np.float32) / 255, verbose=0)
    # Same network, another batch size: sums in another order, of float32.
    np.testing.assert_allclose(est.predict_proba(images), plain, atol=1e-5)


def test_statistics_are_those_of_the_folds_training_rows(digits):
    images, labels = digits
    est = AugmentedKerasClassifier(
        linear,
        augmenter=ImageAugmenter(
            featurewise_center=True, featurewise_std_normalization=True, rotation_range=90
        ),
        random_state=0,
    )
    folds = StratifiedKFold(3)
    fitted = cross_validate(est, images, labels, cv=folds, return_estimator=True)["estimator"]
    for one, (train, _) in zip(fitted, folds.split(images, labels), strict=True):
        rows = images[train].astype(np.float64)
        # float32 statistics of 200 x 64 values: seven digits.
        np.testing.assert_allclose(one.augmenter_.mean_.ravel(), rows.mean(), rtol=1e-6)
        np.testing.assert_allclose(one.augmenter_.std_.ravel(), rows.std(), rtol=1e-5)


def test_whitening_is_learned_from_the_folds_training_rows():
    images = np.random.default_rng(0).integers(0, 256, (90, 4, 4, 1)).astype(np.uint8)
    images[:, 1] = images[:, 0] // 2 + images[:, 1] // 2  # something to whiten
    labels = np.arange(90) % 2
    est = AugmentedKerasClassifier(
        linear, augmenter=ImageAugmenter(featurewise_center=True, zca_whitening=True)
    )
    folds = StratifiedKFold(3)
    fitted = cross_validate(est, images, labels, cv=folds, return_estimator=True)["estimator"]
    for one, (train, _) in zip(fitted, folds.split(images, labels), strict=True):
        centred = images[train].reshape(len(train), -1) - images[train].mean()
        _, s, vt = np.linalg.svd(centred, full_matrices=False)
        expected = (vt.T * (np.sqrt(len(train)) / s)) @ vt
        # float32 in the engine; the epsilon of 1e-6 is far below the values of s.
        np.testing.assert_allclose(
            one.augmenter_.zca_whitening_matrix_, expected, rtol=1e-3, atol=1e-5
        )


def memorise(meta):
    model = linear(meta)
    model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy")
    return model


def test_random_labels_are_at_chance_unless_one_augments_before_the_split():
    rng = np.random.default_rng(0)
    # More pixels than images: a linear model learns any labels by heart.
    noise = rng.integers(0, 256, (80, 12, 12, 3)).astype(np.uint8)
    labels = rng.permutation(np.repeat([0, 1], 40))
    augmenter = ImageAugmenter(horizontal_flip=True, samplewise_center=True, rescale=1 / 128)
    est = AugmentedKerasClassifier(memorise, augmenter=augmenter, epochs=20, random_state=0)
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    honest = cross_val_score(est, noise, labels, cv=folds)
    # Three standard deviations of a fair coin thrown 80 times.
    assert abs(honest.mean() - 0.5) < 3 * 0.5 / np.sqrt(80)

    before_the_split = np.concatenate([noise, noise[:, :, ::-1]] * 2)
    leaking = cross_val_score(est, before_the_split, np.tile(labels, 4), cv=folds)
    assert leaking.mean() > 0.9
