"""One Keras model of raw images gives what predict_proba does, here and in onnxruntime."""

import albumentations
import keras
import numpy as np
import pytest
from builders import cnn, linear
from samples import classifier, same_weights

from skimgcv import ImageAugmenter

rng = np.random.default_rng(0)
Y = np.arange(30) % 3
X = rng.integers(0, 256, (30, 6, 5, 3)).astype(np.uint8)
X[np.arange(30), :, :, Y] |= 128

# float32 here, float64 sums there; probabilities are at most 1.
CLOSE = {"rtol": 1e-4, "atol": 2e-6}


def one_unit(meta):
    return keras.Sequential(
        [*linear({**meta, "n_classes_": 1}).layers[:-1], keras.layers.Dense(1)]
    )


def logits(meta):
    return keras.Sequential([*linear(meta).layers[:-1], keras.layers.Dense(meta["n_classes_"])])


def independent(meta):
    last = keras.layers.Dense(meta["n_classes_"], activation="sigmoid")
    return keras.Sequential([*linear(meta).layers[:-1], last])


def dead(meta):
    """Give nothing but zeros: no class is likelier than another."""
    last = keras.layers.Dense(meta["n_classes_"], activation="relu", kernel_initializer="zeros")
    return keras.Sequential([*linear(meta).layers[:-1], last])


AUGMENTERS = {
    "nothing": {},
    "rescale": {"augmenter": ImageAugmenter(rescale=1 / 255, rotation_range=20)},
    "samplewise": {
        "augmenter": ImageAugmenter(
            rescale=0.5, samplewise_center=True, samplewise_std_normalization=True
        )
    },
    "featurewise": {"augmenter": ImageAugmenter(rescale=0.5, featurewise_std_normalization=True)},
    "all of them": {
        "augmenter": ImageAugmenter(
            rescale=0.5, samplewise_center=True, featurewise_center=True, zca_whitening=True
        )
    },
    "half precision": {"augmenter": ImageAugmenter(featurewise_center=True, dtype="float16")},
    "channels first": {
        "augmenter": ImageAugmenter(data_format="channels_first", featurewise_center=True)
    },
    "as for a network of keras.applications": {
        "augmenter": ImageAugmenter(
            preprocessing_function=keras.applications.resnet50.preprocess_input
        )
    },
    "Keras layers": {
        "augmenter": keras.Sequential(
            [keras.layers.RandomFlip(), keras.layers.Rescaling(1 / 255, offset=-0.5)]
        )
    },
    "a function": {"augmenter": lambda image, rng: np.rot90(image, 2 * rng.integers(2))},
    "Albumentations": {"augmenter": albumentations.HorizontalFlip()},
}
MODELS = {
    "batch norm and dropout": {"model": cnn},
    "logits": {"model": logits},
    "independent sigmoids": {"model": independent, "loss": "binary_crossentropy"},
    "zeros": {"model": dead, "loss": "mse"},
}
CASES = {**AUGMENTERS, **MODELS}


def fit(*, model=linear, y=Y, **parameters):
    return classifier(model, **parameters).fit(X, y)


@pytest.mark.parametrize("case", CASES)
def test_it_predicts_as_the_classifier_does(case):
    clf = fit(**CASES[case])
    model = clf.to_keras()
    expected = clf.predict_proba(X)
    for images in (X, X.astype(np.float32)):
        np.testing.assert_allclose(model.predict(images, verbose=0), expected, **CLOSE)


@pytest.mark.parametrize("loss", ["auto", "hinge"])
def test_two_classes_in_one_unit(loss):
    clf = fit(model=one_unit, y=Y == 1, loss=loss)
    proba = clf.to_keras().predict(X, verbose=0)
    assert proba.shape == (30, 2)
    np.testing.assert_allclose(proba, clf.predict_proba(X), **CLOSE)


def test_flat_rows_and_grey_images():
    grey = X[..., 0]
    rows = grey.reshape(30, -1)
    flat = classifier(linear, image_shape=(6, 5)).fit(rows, Y)
    model = flat.to_keras()
    assert model.input_shape == (None, 30)
    np.testing.assert_allclose(model.predict(rows, verbose=0), flat.predict_proba(rows), **CLOSE)
    # Keras adds a last axis of one channel itself.
    clf = classifier(linear).fit(grey, Y)
    found = clf.to_keras().predict(grey, verbose=0)
    np.testing.assert_allclose(found, clf.predict_proba(grey), **CLOSE)


def test_it_is_saved_and_loaded_by_keras_alone(tmp_path, own_random):
    clf = fit(**CASES["all of them"])
    model = clf.to_keras()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))


def test_it_shares_nothing_with_the_classifier():
    clf = fit()
    model = clf.to_keras()
    weights = model.get_weights()
    clf.partial_fit(X, Y)
    assert same_weights(weights, model.get_weights())


def halve(image):
    return image / 2


def turn(image, rng):
    return image[::-1]


# Keras 3.8 has no such layer yet.
INVERT = []
if hasattr(keras.layers, "RandomInvert"):
    INVERT.append((keras.layers.RandomInvert((1.0, 1.0)), "RandomInvert"))


@pytest.mark.parametrize(
    ("augmenter", "message"),
    [
        (ImageAugmenter(preprocessing_function=halve), "preprocessing_function=.*halve"),
        (albumentations.Compose([albumentations.Normalize()]), "Normalize"),
        (turn, "turn"),
        *INVERT,
    ],
)
def test_what_keras_cannot_do_is_named(augmenter, message):
    clf = fit(augmenter=augmenter)
    with pytest.raises(ValueError, match=message):
        clf.to_keras()


def test_rounds_at_random_are_refused():
    clf = fit(augmenter=ImageAugmenter(horizontal_flip=True), tta_rounds=2)
    with pytest.raises(ValueError, match="tta_rounds=2"):
        clf.to_keras()


# tf2onnx asks NumPy for names that it no longer has.
@pytest.mark.filterwarnings("ignore:In the future `np.object`:FutureWarning")
@pytest.mark.parametrize("case", ["all of them", "Keras layers", "batch norm and dropout"])
def test_it_runs_in_onnxruntime(case, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    clf = fit(**CASES[case])
    path = str(tmp_path / "model.onnx")
    clf.to_keras().export(path, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(path)
    (entrance,) = session.get_inputs()
    for n in (30, 1):
        (found,) = session.run(None, {entrance.name: X[:n].astype(np.float32)})
        np.testing.assert_allclose(found, clf.predict_proba(X[:n]), **CLOSE)
