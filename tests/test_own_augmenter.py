"""Somebody else's augmenter, known by its methods alone, does all that ours do."""

import copy
import pickle

import keras
import matplotlib as mpl
import numpy as np
import pytest
from builders import linear
from samples import classifier, same_model

from skimgcv import AugmentedKerasClassifier, ImageAugmenter
from skimgcv._persistence.encoding import Decoder, Encoder
from skimgcv.augment import (
    Augmenter,
    ExportableAugmenter,
    MixingAugmenter,
    SavableAugmenter,
    as_augmenter,
)
from skimgcv.display import AugmentationDisplay
from skimgcv.exceptions import SavedFileError

X = np.random.default_rng(0).integers(0, 200, (24, 6, 6, 1), dtype=np.uint8)
Y = np.arange(24) % 3
load = AugmentedKerasClassifier.load


class Spots:
    """Thirty lines: spots at random, and values over the greatest that trained."""

    def __init__(self, share=0.2, function=None):
        self.share = share
        self.function = function

    def fit(self, images):
        self.white = float(np.max(images[:]))
        return self

    def draw(self, rng, n, image_shape):
        return rng.integers(2**32, size=n, dtype=np.uint32)

    def apply(self, images, table):
        masks = [np.random.default_rng(seed).random(images.shape[1:]) for seed in table]
        return np.where(np.stack(masks) < self.share, images.dtype.type(0), images)

    def standardize(self, images):
        return images.astype(np.float32) / np.float32(self.white)

    def prepare(self, images, table=None):
        return self.standardize(images if table is None else self.apply(images, table))

    def to_config(self):
        learned = {name: value for name, value in vars(self).items() if name == "white"}
        return {"share": self.share, "function": self.function, "learned": learned}

    @classmethod
    def from_config(cls, config):
        augmenter = cls(config["share"], config["function"])
        augmenter.__dict__.update(config["learned"])
        return augmenter

    def to_layers(self):
        return [keras.layers.Rescaling(1 / self.white)]


class Averaging(Spots):
    """It mixes besides, with the next image of the epoch."""

    mixes = True

    def draw(self, rng, n, image_shape):
        table = np.zeros(n, [("partner", np.intp)])
        table["partner"] = (np.arange(n) + 1) % n
        return table

    def apply(self, images, table):
        return images

    def mix(self, images, partners, table):
        return (images + partners) / 2, np.full(len(images), 0.5, np.float32)


def brighten(image):
    return image


@pytest.fixture(scope="module")
def fitted():
    return classifier(linear, augmenter=Spots(), epochs=2).fit(X, Y)


def test_it_is_known_by_its_methods():
    assert isinstance(Spots(), Augmenter | SavableAugmenter | ExportableAugmenter)
    assert not isinstance(Spots(), MixingAugmenter)
    assert isinstance(Averaging(), MixingAugmenter)
    assert isinstance(ImageAugmenter(), MixingAugmenter)


def test_it_trains_and_its_deterministic_half_runs_at_prediction(fitted):
    white = X.max()
    assert fitted.augmenter_.white == white
    proba = fitted.model_.predict(X / np.float32(white), verbose=0)
    np.testing.assert_allclose(fitted.predict_proba(X), proba, atol=1e-6)
    # The random half has an effect on what was trained, and none on prediction.
    plain = classifier(linear, augmenter=ImageAugmenter(rescale=1 / white), epochs=2).fit(X, Y)
    assert not np.allclose(plain.predict_proba(X), proba, atol=1e-4)


def test_it_mixes():
    clf = classifier(linear, augmenter=Averaging(), shuffle=False, epochs=2).fit(X, Y)
    plain = classifier(linear, augmenter=Spots(share=0), shuffle=False, epochs=2).fit(X, Y)
    assert not same_model(clf, plain)
    assert np.isfinite(clf.history_["loss"]).all()


def test_copies_and_pickles_predict_the_same(fitted):
    for other in (copy.deepcopy(fitted), pickle.loads(pickle.dumps(fitted))):
        np.testing.assert_array_equal(other.predict_proba(X), fitted.predict_proba(X))


def test_it_is_saved_and_loaded(fitted, tmp_path):
    fitted.save(tmp_path / "a")
    loaded = load(tmp_path / "a", {"Spots": Spots, "linear": linear})
    assert type(loaded.augmenter_) is Spots
    assert vars(loaded.augmenter_) == vars(fitted.augmenter_)
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
    assert same_model(loaded.partial_fit(X, Y), copy.deepcopy(fitted).partial_fit(X, Y))


def test_a_file_finds_its_class_in_custom_objects_alone(fitted, tmp_path):
    fitted.save(tmp_path / "a")
    with pytest.raises(SavedFileError, match=r"'Spots' \(.*test_own_augmenter.Spots\) is code"):
        load(tmp_path / "a")


@pytest.mark.parametrize("other", [keras.layers.Dense, Spots(), print, dict])
def test_what_is_no_class_of_an_augmenter_is_refused(fitted, tmp_path, other):
    fitted.save(tmp_path / "a")
    with pytest.raises(SavedFileError, match="needs to be the class of an augmenter"):
        load(tmp_path / "a", {"Spots": other})


def test_a_function_that_it_holds_has_to_be_given(tmp_path):
    clf = classifier(linear, augmenter=Spots(function=brighten)).fit(X, Y)
    clf.save(tmp_path / "a")
    with pytest.raises(SavedFileError, match="'brighten'"):
        load(tmp_path / "a", {"Spots": Spots})
    given = {"Spots": Spots, "brighten": brighten, "linear": linear}
    assert load(tmp_path / "a", given).augmenter_.function is brighten


def test_without_a_configuration_the_file_asks_for_the_whole(fitted, tmp_path):
    class Bare(Spots):
        to_config = None

    clf = classifier(linear, augmenter=Bare()).fit(X, Y)
    clf.save(tmp_path / "a")
    with pytest.raises(SavedFileError, match="'augmenter'"):
        load(tmp_path / "a")
    loaded = load(tmp_path / "a", {"augmenter": clf.augmenter_, "linear": linear})
    np.testing.assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))


def test_it_goes_into_a_keras_model(fitted):
    model = fitted.to_keras()
    np.testing.assert_allclose(model.predict(X, verbose=0), fitted.predict_proba(X), atol=1e-6)


def test_one_that_cannot_is_told():
    class Bare(Spots):
        to_layers = None

    clf = classifier(linear, augmenter=Bare()).fit(X, Y)
    with pytest.raises(ValueError, match=r"(?s)what a Bare does at prediction.*to_layers"):
        clf.to_keras()


def test_it_is_displayed(fitted):
    mpl.use("Agg")
    for estimator in (fitted, Spots(), Averaging()):
        display = AugmentationDisplay.from_estimator(estimator, X, n_images=2, n_draws=3)
        assert display.images_.shape == (2, 4)
        assert display.mapped_back


# What files of the first version say, word for word: they stay readable.
OLD = {
    "nothing": ({"type": "Plain"}, None),
    "a function": (
        {
            "type": "CallableAugmenter",
            "function": {"type": "reference", "name": "turn", "kind": "somewhere.turn"},
        },
        lambda image, rng: np.rot90(image, rng.integers(4)),
    ),
    "an ImageAugmenter": (
        {
            "type": "ImageAugmenter",
            "parameters": {"rotation_range": 9, "featurewise_center": True},
            "fitted": {"mean_": {"type": "array", "number": 0}, "std_": None},
        },
        ImageAugmenter(rotation_range=9, featurewise_center=True),
    ),
    "Keras layers": (
        {
            "type": "LayerAugmenter",
            "layer": {
                "type": "Keras layer",
                "config": {
                    "module": "keras",
                    "class_name": "Sequential",
                    "config": {
                        "name": "sequential",
                        "layers": [
                            {
                                "module": "keras.layers",
                                "class_name": "Rescaling",
                                "config": {"name": "rescaling", "scale": 0.5, "offset": 0.0},
                                "registered_name": None,
                                "build_config": {"input_shape": [None, 6, 6, 1]},
                            }
                        ],
                    },
                    "registered_name": None,
                    "compile_config": {},
                },
                "layers": [],
                "seeds": [],
                "optimizer": [],
            },
        },
        keras.Sequential([keras.layers.Rescaling(0.5)]),
    ),
}


@pytest.mark.parametrize("case", OLD)
def test_files_of_the_first_version_stay_readable(case):
    described, original = OLD[case]
    mean = np.array([70.5])
    augmenter = Decoder([mean], {"turn": original}).decode(described)
    expected = as_augmenter(original)
    if case == "an ImageAugmenter":
        expected.mean_, expected.std_ = mean, None
    table = expected.draw(np.random.default_rng(0), len(X), X.shape[1:])
    np.testing.assert_array_equal(augmenter.prepare(X, table), expected.prepare(X, table))
    np.testing.assert_array_equal(augmenter.standardize(X), expected.standardize(X))
    # And what is written now is read as well.
    encoder = Encoder()
    written = encoder.encode(augmenter, "augmenter")
    again = Decoder(encoder.arrays, {"augmenter": original}).decode(written)
    np.testing.assert_array_equal(again.prepare(X, table), expected.prepare(X, table))
