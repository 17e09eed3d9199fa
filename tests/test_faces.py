"""What holds for one class a row, for several labels and for numbers alike."""

import pickle

import keras
import numpy as np
import pytest
from builders import linear
from samples import Log, RecordingAugmenter, numbered, same_model
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skimgcv import (
    AugmentedKerasClassifier,
    AugmentedKerasRegressor,
    ImageAugmenter,
    clear_compiled_models,
    clear_features,
)
from skimgcv._features import trunk
from skimgcv.models import pretrained

N = 24
RNG = np.random.default_rng(0)
X = RNG.random((N, 4, 4, 1)).astype(np.float32)
LABELS = (RNG.random((N, 3)) < 0.5).astype(int)
FACES = {
    "classes": (AugmentedKerasClassifier, {"class_weight": "balanced"}, np.arange(N) % 3),
    "labels": (AugmentedKerasClassifier, {"multilabel": True, "class_weight": "balanced"}, LABELS),
    "numbers": (AugmentedKerasRegressor, {}, RNG.random(N)),
}
FOLD = np.arange(8, N), np.arange(8)


@pytest.fixture(name="face", params=FACES)
def of_each_kind(request):
    kind, own, y = FACES[request.param]
    return lambda **parameters: kind(linear, random_state=0, **own | parameters), y


def test_a_fold_trains_on_its_own_rows_and_scores_plain_ones(face):
    make, y = face
    recorder = RecordingAugmenter()
    est = make(augmenter=recorder, validation_split=0.25, epochs=2)
    result = cross_validate(est, numbered(N), y, cv=[FOLD], return_estimator=True)
    train, fitted = FOLD[0], result["estimator"][0]
    held = train[fitted.validation_indices_]
    assert len(held) == pytest.approx(4, abs=1)
    assert {row for row, _ in recorder.seen} == set(train) - set(held)
    before = len(recorder.seen)
    fitted.predict(numbered(N))
    fitted.score(numbered(N), y)
    assert len(recorder.seen) == before


def test_an_interrupted_fit_has_the_bits_of_a_whole_one(face, tmp_path, pending):
    make, y = face
    est = make(augmenter=ImageAugmenter(rotation_range=30), validation_split=0.25, epochs=3)
    whole = est.fit(X, y)
    again = make(augmenter=ImageAugmenter(rotation_range=30), validation_split=0.25, epochs=3)
    pending.append(1)
    with pytest.raises(KeyboardInterrupt):
        again.fit(X, y, checkpoint_dir=tmp_path)
    assert same_model(again.fit(X, y, checkpoint_dir=tmp_path), whole)
    assert again.history_ == whole.history_


def test_an_image_has_its_transforms_in_any_order_and_company(face):
    make, y = face

    def drawn(rows):
        recorder = RecordingAugmenter()
        make(augmenter=recorder, epochs=2).fit(numbered(N)[rows], y[rows])
        return sorted(recorder.seen)

    whole = drawn(np.arange(N))
    assert drawn(RNG.permutation(N)) == whole
    some = FOLD[0]
    assert drawn(some) == [(row, number) for row, number in whole if row in some]


def test_copies_and_a_second_fit_have_the_same_bits(face):
    make, y = face
    settings = {"augmenter": ImageAugmenter(rotation_range=30), "epochs": 2, "batch_size": 5}
    est = make(**settings).fit(X, y)
    output = "predict_proba" if hasattr(est, "classes_") else "predict"
    for other in (
        make(**settings).fit(X, y),
        clone(est).fit(X, y),
        pickle.loads(pickle.dumps(est)),
    ):
        assert same_model(other, est)
        np.testing.assert_array_equal(getattr(other, output)(X), getattr(est, output)(X))


@pytest.mark.slow
def test_folds_in_other_processes_have_the_same_bits():
    for kind, own, y in FACES.values():
        est = kind(linear, augmenter=ImageAugmenter(rotation_range=30), random_state=0, **own)
        one, two = (cross_val_predict(est, X, y, cv=KFold(2), n_jobs=n) for n in (1, 2))
        np.testing.assert_array_equal(one, two)
        one, two = (cross_val_score(est, X, y, cv=KFold(2), n_jobs=n) for n in (1, 2))
        np.testing.assert_array_equal(one, two)


def test_predictions_are_averaged_over_transformed_versions(face):
    make, y = face
    est = make(augmenter=ImageAugmenter(horizontal_flip=True), epochs=2).fit(X, y)
    output = "predict_proba" if hasattr(est, "classes_") else "predict"
    plain, flipped = (getattr(est, output)(part) for part in (X, X[:, :, ::-1]))
    averaged = getattr(est.set_params(tta_rounds=4), output)(X)
    # Each of the four versions is flipped, or it is not; with this seed some are.
    means = [plain + n / 5 * (flipped - plain) for n in (1, 2, 3, 4)]
    assert any(np.allclose(averaged, mean, rtol=1e-6) for mean in means)  # sums of float32


def test_rows_of_weight_0_are_as_if_they_were_not_in_x(face):
    make, y = face
    weight = np.r_[np.zeros(6), RNG.random(N - 6) + 0.5]
    result = cross_validate(
        make(), X, y, cv=[(np.arange(N), FOLD[1])], params={"sample_weight": weight},
        return_estimator=True,
    )  # fmt: skip
    assert same_model(make().fit(X[6:], y[6:], sample_weight=weight[6:]), result["estimator"][0])
    assert not same_model(make().fit(X[6:], y[6:]), result["estimator"][0])


def test_folds_share_a_compiled_model(face, traces):
    make, y = face
    clear_compiled_models()
    cross_val_score(make(epochs=2), X, y, cv=KFold(3))
    assert traces == {"train_step": 1, "test_step": 0, "predict_step": 1}


@pytest.mark.usefixtures("own_random")  # of the bare Keras model
@pytest.mark.parametrize("kind", FACES)
def test_a_pretrained_trunk_runs_once(kind, monkeypatch):
    base, own, y = FACES[kind]
    backbone = keras.Sequential([keras.layers.Input((4, 4, 3)), keras.layers.Conv2D(4, 3)])
    settings = {"model": pretrained(backbone, dropout=0.0), "random_state": 0, "epochs": 3}
    plain = base(feature_cache=None, **settings, **own).fit(X, y)
    clear_features()
    counts, run = [], trunk.Trunk.features
    monkeypatch.setattr(
        trunk.Trunk, "features", lambda self, x: counts.append(len(x)) or run(self, x)
    )
    kept = base(**settings, **own).fit(X, y)
    assert sum(counts) == N
    # Images that run together in other numbers may be rounded otherwise, in float32.
    name = "predict" if kind == "numbers" else "predict_proba"
    outputs = [getattr(fitted, name)(X) for fitted in (plain, kept)]
    np.testing.assert_allclose(*outputs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["labels", "numbers"])
def test_weights_of_rows_reach_every_fit(kind):
    arrived = Log()
    base, own, y = FACES[kind]
    folds = [FOLD, FOLD[::-1]]
    weight = np.arange(N) + 1.0

    class Noting(base):
        def fit(self, X, y, sample_weight=None):
            arrived.append(sample_weight)
            return super().fit(X, y, sample_weight)

    est = Noting(linear, random_state=0, **own)
    step = make_pipeline(FunctionTransformer(), est)
    name = f"{step.steps[-1][0]}__sample_weight"
    given = {"sample_weight": weight}
    in_folds = [weight[train].tolist() for train, _ in folds]

    def seen(call):
        arrived.clear()
        call()
        return [w.tolist() for w in arrived]

    assert seen(lambda: cross_val_score(est, X, y, cv=folds, params=given)) == in_folds
    assert seen(lambda: cross_val_score(step, X, y, cv=folds, params={name: weight})) == in_folds
    search = GridSearchCV(est, {"batch_size": [8]}, cv=folds)
    assert seen(lambda: search.fit(X, y, **given)) == [*in_folds, weight.tolist()]
    with config_context(enable_metadata_routing=True):
        asking = clone(est).set_fit_request(sample_weight=True)
        step = make_pipeline(FunctionTransformer(), asking)
        assert seen(lambda: step.fit(X, y, **given)) == [weight.tolist()]
        # The score of a pipeline takes no weights in scikit-learn 1.6.
        asking.set_score_request(sample_weight=True)
        assert seen(lambda: cross_val_score(asking, X, y, cv=folds, params=given)) == in_folds
