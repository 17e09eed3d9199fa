"""Numbers instead of labels: as SciKeras' and scikit-learn's regressors."""

import pickle

import keras
import numpy as np
import pytest
from builders import linear
from samples import same_model
from scikeras.wrappers import KerasRegressor
from sklearn.compose import TransformedTargetRegressor
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.preprocessing import StandardScaler

from skimgcv import AugmentedKerasClassifier, AugmentedKerasRegressor, ImageAugmenter
from skimgcv.exceptions import SkimgcvWarning

RNG = np.random.default_rng(0)
X = RNG.random((40, 4, 4, 1)).astype(np.float32)
TABLE = X.reshape(40, -1)[:, :2] * [1, 3] + RNG.normal(0, 0.05, (40, 2))
Y = TABLE[:, 0]


def regressor(model=linear, **parameters):
    settings = {"random_state": 0, "optimizer__learning_rate": 0.1}
    return AugmentedKerasRegressor(model, **settings | parameters)


def mlp(meta):
    """Build the same network each time."""
    glorot = keras.initializers.GlorotUniform
    return keras.Sequential(
        [
            keras.layers.Input((16,)),
            keras.layers.Dense(8, activation="relu", kernel_initializer=glorot(seed=1)),
            keras.layers.Dense(meta["n_outputs_"], kernel_initializer=glorot(seed=2)),
        ]
    )


@pytest.mark.parametrize("y", [Y, TABLE], ids=["one", "two"])
@pytest.mark.parametrize("sample_weight", [None, RNG.random(40)], ids=["", "weighted"])
def test_without_augmentation_it_is_scikeras_regressor(y, sample_weight):
    flat = X.reshape(40, 16)
    training = {"optimizer": "sgd", "epochs": 5, "batch_size": 8, "shuffle": False}
    ours = AugmentedKerasRegressor(mlp, random_state=0, **training)
    ours.fit(flat, y, sample_weight=sample_weight)
    theirs = KerasRegressor(mlp, loss="mse", verbose=0, **training)
    theirs.fit(flat, y, sample_weight=sample_weight)
    # The same steps in float32.
    np.testing.assert_allclose(ours.predict(flat), theirs.predict(flat), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.history_["loss"], theirs.history_["loss"], rtol=1e-5)
    assert ours.score(flat, y) == pytest.approx(r2_score(y, ours.predict(flat)))


@pytest.mark.parametrize("shape", [(40,), (40, 1), (40, 2)])
def test_predictions_have_the_shape_of_y(shape, tmp_path):
    y = np.resize(TABLE, shape)
    reg = regressor(tta_rounds=0).fit(X, y)
    assert reg.predict(X).shape == shape
    assert reg.predict(X[:1]).dtype == np.float64
    reg.save(tmp_path / "reg")
    loaded = AugmentedKerasRegressor.load(tmp_path / "reg", {"linear": linear})
    for other in (loaded, pickle.loads(pickle.dumps(reg))):
        np.testing.assert_array_equal(other.predict(X), reg.predict(X))
    outputs = reg.to_keras().predict(X, verbose=0)
    np.testing.assert_allclose(outputs, reg.predict(X).reshape(40, -1), atol=1e-6)
    loaded.partial_fit(X, y)
    assert same_model(loaded, reg.partial_fit(X, y))
    with pytest.raises(ValueError, match="pass it in that shape"):
        reg.partial_fit(X, np.resize(TABLE, (40, 3)))
    with pytest.raises(ValueError, match="skimgcv classifier"):
        AugmentedKerasClassifier.load(tmp_path / "reg")


def test_test_time_rounds_are_averaged():
    reg = regressor(tta_rounds=2, augmenter=ImageAugmenter(horizontal_flip=True)).fit(X, Y)
    plain, flipped = (reg.set_params(tta_rounds=0).predict(part) for part in (X, X[:, :, ::-1]))
    averaged = reg.set_params(tta_rounds=2).predict(X)
    # Each round flips all images, or none.
    flips = (averaged - plain) / (flipped - plain) * 3
    np.testing.assert_allclose(flips, np.round(flips[0]), atol=1e-3)


def test_scikit_learn_scales_targets_in_each_fold():
    far = 1000 + 200 * Y
    reg = regressor(epochs=10, batch_size=8)
    scaled = TransformedTargetRegressor(reg, transformer=StandardScaler())
    train, test = np.arange(20), np.arange(20, 40)
    score = cross_val_score(scaled, X, far, cv=[(train, test)])[0]
    scaler = StandardScaler().fit(far[train, None])
    by_hand = reg.fit(X[train], scaler.transform(far[train, None])[:, 0]).predict(X[test])
    expected = scaler.inverse_transform(by_hand[:, None])[:, 0]
    assert score == pytest.approx(r2_score(far[test], expected))
    assert score > 0.1


def test_the_hold_out_has_its_share_of_small_and_of_large_numbers():
    y = np.sort(RNG.exponential(size=40))
    held = regressor(validation_split=0.25).fit(X, y).validation_indices_
    # Each tenth of the numbers gives a quarter of its four.
    assert (np.bincount(held // 4, minlength=10) == 1).all()
    groups = np.arange(40) % 8
    reg = regressor(validation_split=0.25).fit(X, y, groups=groups)
    assert set(groups[reg.validation_indices_]).isdisjoint(groups[reg.sample_indices_])
    two = regressor(validation_split=0.25).fit(X, np.c_[y, y[::-1]]).validation_indices_
    assert len(two) == pytest.approx(10, abs=1)
    assert np.ptp(np.bincount(two // 20)) <= 1


def test_a_mixture_has_mixed_numbers():
    seen = []

    def loss(y_true, y_pred):
        seen.append((np.asarray(y_true), np.asarray(y_pred)))
        return keras.losses.mean_squared_error(y_true, y_pred)

    def mean(meta):
        """Build what gives the grey level of an image, and stays so."""
        layers = keras.layers
        pooling = [layers.Input(meta["image_shape_"]), layers.GlobalAveragePooling2D()]
        return keras.Sequential([*pooling, layers.Dense(1, kernel_initializer="ones")])

    # An image of one grey level says what its number is.
    grey = np.broadcast_to(Y[:, None, None, None], X.shape).copy()
    mixed = {"augmenter": ImageAugmenter(mixup_alpha=1.0), "optimizer__learning_rate": 0.0}
    regressor(mean, loss=loss, compile__run_eagerly=True, **mixed).fit(grey, Y)
    targets, images = (np.concatenate([np.ravel(part[i]) for part in seen]) for i in (0, 1))
    assert len(set(targets.round(6)) - set(Y.astype(np.float32).round(6))) > 20
    np.testing.assert_allclose(targets, images, rtol=1e-5)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed"),
        (np.where(Y > 0.5, Y, np.nan), "contains NaN"),
        (np.full((40, 2, 2), 1.0), r"shape \(n,\) or \(n, outputs\)"),
        (Y * 1e39, "must fit float32.*TransformedTargetRegressor"),
        (Y[:30], "X has 40, y has 30"),
        (["old"] * 40, "could not convert"),
    ],
)
def test_a_y_that_is_not_of_numbers_is_refused(y, message):
    with pytest.raises(ValueError, match=message):
        regressor().fit(X, y)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"metrics": ["accuracy"]}, "is of classes, and y has numbers"),
        ({"metrics": [keras.metrics.AUC()]}, "is of classes, and y has numbers"),
        ({"loss": "sparse_categorical_crossentropy"}, "is for classes, and y has numbers"),
    ],
)
def test_what_is_of_classes_is_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        regressor(**parameters).fit(X, Y)


@pytest.mark.parametrize("name", ["class_weight", "sampling_strategy", "class_augmenters"])
def test_parameters_of_classes_are_none_of_its_own(name):
    assert name not in regressor().get_params()
    with pytest.raises(TypeError, match=name):
        regressor(**{name: {0: 1}})


def test_metrics_of_keras_are_those_of_the_predictions():
    metrics = ["mae", keras.metrics.R2Score(name="r2"), "mean_absolute_percentage_error"]
    reg = regressor(metrics=metrics).fit(X, TABLE, validation_data=(X, TABLE))
    predicted, history = reg.predict(X), reg.history_
    assert history["val_mae"][0] == pytest.approx(np.abs(predicted - TABLE).mean(), rel=1e-5)
    assert history["val_r2"][0] == pytest.approx(r2_score(TABLE, predicted), rel=1e-4, abs=1e-5)


def test_a_search_and_a_model_of_keras():
    search = GridSearchCV(regressor(), {"epochs": [1, 8]}, cv=2).fit(X, Y)
    assert search.best_params_ == {"epochs": 8}
    trained = search.best_estimator_.model_
    adopted = AugmentedKerasRegressor.from_keras(trained)
    np.testing.assert_array_equal(adopted.predict(X), search.predict(X))


def test_validation_data_of_another_scale_is_told_before_training():
    ages = 40 + 10 * TABLE[:, 0]
    scaled = TransformedTargetRegressor(regressor(), transformer=StandardScaler())
    with pytest.warns(SkimgcvWarning, match="more than 10 standard deviations apart"):
        scaled.fit(X, ages, validation_data=(X, ages))
    regressor().fit(X, ages, validation_data=(X, ages))
    regressor().fit(X, ages.astype(int) * 0 + 1.0, validation_data=(X, ages))
