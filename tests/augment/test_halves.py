"""Which steps run at prediction: those that do the same to an image whatever the seed."""

import pickle
import warnings

import albumentations
import keras
import matplotlib as mpl
import numpy as np
import pytest
from builders import linear
from numpy.testing import assert_array_equal
from samples import classifier
from tensorflow.keras.preprocessing.image import ImageDataGenerator

from skimgcv import AugmentedKerasClassifier, ImageAugmenter
from skimgcv._runtime.random_streams import stream
from skimgcv.augment import SteppedAugmenter, as_augmenter
from skimgcv.display import AugmentationDisplay
from skimgcv.exceptions import AugmenterStepWarning

A = albumentations

pytestmark = pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")

SHARPEN = {"alpha": (0.5, 0.5), "lightness": (1.0, 1.0)}


def invert(image, rng):
    return 255 - image


def invert_by_chance(image, rng):
    return 255 - image if rng.random() < 1.0 else image


def dim(image, rng):
    return (image * rng.uniform(0.3, 1)).astype(image.dtype)


class Inverting(ImageDataGenerator):
    def apply_transform(self, x, transform_parameters):
        return 255 - super().apply_transform(x, transform_parameters)


def nested(*steps):
    return A.Compose([A.Sequential([A.Compose([*steps[:1]]), *steps[1:]], p=1)])


def layers(*steps):
    return keras.Sequential([keras.layers.Pipeline(list(steps[:1])), *steps[1:]])


L = keras.layers


# The object, its deterministic steps, and its random ones.
def inverting_layers():
    """Keras has such a layer from 3.10 on."""
    if not hasattr(L, "RandomInvert"):
        return []
    always = (1.0, 1.0)
    return [
        L.RandomInvert(always),
        keras.Sequential([L.RandomInvert(always), L.Rescaling(1 / 255)]),
    ]


def test_a_layer_that_always_inverts_does_so_at_prediction(small_photos, own_random):
    for layer, white in zip(inverting_layers(), (1, 255), strict=False):
        expected = (255 - small_photos) / np.float32(white)
        standardized = as_augmenter(layer).standardize(small_photos)
        np.testing.assert_allclose(standardized, expected, rtol=1e-6)


CASES = {
    "InvertImg": (lambda: A.InvertImg(p=1), ["InvertImg"], []),
    "InvertImg by chance": (lambda: A.InvertImg(p=0.5), [], ["InvertImg"]),
    "ToGray": (lambda: A.ToGray(p=1), ["ToGray"], []),
    "Equalize": (lambda: A.Equalize(p=1), ["Equalize"], []),
    "Sharpen as given": (lambda: A.Sharpen(**SHARPEN, p=1), ["Sharpen"], []),
    "Sharpen in a range": (lambda: A.Sharpen(p=1), [], ["Sharpen"]),
    "a sequence": (
        lambda: A.Sequential([A.HorizontalFlip(), A.Normalize()], p=1),
        ["Normalize"],
        ["HorizontalFlip"],
    ),
    "a nested one": (
        lambda: nested(A.CLAHE(clip_limit=(2, 2), p=1), A.Rotate(), A.ToFloat()),
        ["CLAHE", "ToFloat"],
        ["Rotate"],
    ),
    "a sequence by chance": (lambda: A.Sequential([A.InvertImg(p=1)]), [], ["Sequential"]),
    "one of one": (lambda: A.OneOf([A.InvertImg(p=1)], p=1), ["OneOf"], []),
    "one of two": (lambda: A.OneOf([A.InvertImg(), A.ToGray()], p=1), [], ["OneOf"]),
    "what changes nothing": (lambda: A.PadIfNeeded(4, 4, p=1), [], ["PadIfNeeded"]),
    "rare": (lambda: A.PixelDropout(dropout_prob=1e-5, p=1), [], ["PixelDropout"]),
    "Rescaling": (lambda: L.Rescaling(1 / 255), ["Rescaling"], []),
    "RandomGrayscale, always": (
        lambda: layers(L.RandomGrayscale(factor=1.0)),
        ["RandomGrayscale"],
        [],
    ),
    "RandomGrayscale": (
        lambda: layers(L.RandomGrayscale(factor=0.5)),
        [],
        ["RandomGrayscale"],
    ),
    "nested layers": (
        lambda: layers(L.RandomFlip(), L.RandomGrayscale(factor=1.0), L.Rescaling(2.0)),
        ["RandomGrayscale", "Rescaling"],
        ["RandomFlip"],
    ),
    "a function": (lambda: dim, [], ["dim"]),
    "one that ignores rng": (lambda: invert, ["invert"], []),
    "one that asks rng in vain": (lambda: invert_by_chance, ["invert_by_chance"], []),
    "a generator": (
        lambda: Inverting(rotation_range=30),
        ["standardize"],
        ["apply_transform"],
    ),
    "a generator that is always alike": (Inverting, ["apply_transform", "standardize"], []),
}


@pytest.mark.parametrize("case", CASES)
def test_steps_are_told_apart_by_what_they_do(case, small_photos, own_random):
    make, fixed, random_ones = CASES[case]
    augmenter = as_augmenter(make()).fit(small_photos)
    assert isinstance(augmenter, SteppedAugmenter)
    assert (augmenter.fixed_steps, augmenter.random_steps) == (fixed, random_ones)
    assert f"fixed_steps={fixed}" in repr(augmenter)
    # The deterministic half is; both halves together are all of it.
    once = augmenter.standardize(small_photos)
    assert_array_equal(augmenter.standardize(small_photos), once)
    table = augmenter.draw(stream(0, "augment"), 24, small_photos.shape[1:])
    if not random_ones:
        assert_array_equal(augmenter.apply(small_photos, table), small_photos)
        assert_array_equal(augmenter.prepare(small_photos, table), once)
    if not fixed:
        assert_array_equal(once, small_photos.astype(np.float32))
    copied = pickle.loads(pickle.dumps(augmenter))
    assert copied.fixed_steps == fixed
    assert_array_equal(copied.prepare(small_photos, table), augmenter.prepare(small_photos, table))


def test_the_deterministic_half_is_what_the_package_does(small_photos, own_random):
    originals = [A.InvertImg(p=1), A.ToGray(p=1), A.Equalize(p=1), A.Sharpen(**SHARPEN, p=1)]
    expected = [A.Compose(originals)(image=image)["image"] for image in small_photos]
    augmenter = as_augmenter(nested(originals[0], A.VerticalFlip(p=0.3), *originals[1:]))
    assert_array_equal(augmenter.standardize(small_photos), np.array(expected, np.float32))
    assert_array_equal(as_augmenter(invert).standardize(small_photos), 255.0 - small_photos)
    assert_array_equal(as_augmenter(Inverting()).standardize(small_photos), 255.0 - small_photos)


@pytest.mark.parametrize(
    "augmenter",
    [
        A.InvertImg(p=1),
        A.Sequential([A.Sequential([A.InvertImg(p=1)], p=1), A.ToFloat(p=1)], p=1),
        *inverting_layers(),
        invert,
        ImageAugmenter(preprocessing_function=lambda image: 255 - image, rescale=1 / 255),
        Inverting(rescale=1 / 255),
    ],
)
def test_a_model_of_inverted_digits_scores_on_plain_ones(augmenter, digits, own_random):
    """What was trained on inverted digits knew no plain ones: it scored 0.0."""
    X, y = digits
    fit, held = slice(0, 200), slice(200, 300)
    clf = classifier(
        linear, augmenter=augmenter, epochs=30, optimizer__learning_rate=0.01, loss="auto"
    )
    assert clf.fit(X[fit], y[fit]).score(X[held], y[held]) > 0.7


def test_the_users_own_order_is_kept_in_training(small_photos):
    holes = A.CoarseDropout((4, 4), (3, 3), (3, 3), fill=0, p=1)
    augmenter = as_augmenter(A.Compose([A.Normalize(), holes])).fit(small_photos)
    assert (augmenter.fixed_steps, augmenter.random_steps) == (["Normalize"], ["CoarseDropout"])
    table = augmenter.draw(stream(0, "augment"), 24, small_photos.shape[1:])
    changed = augmenter.prepare(small_photos, table) != augmenter.standardize(small_photos)
    assert 0.1 < changed.mean() < 0.3
    # Holes of 0 in values that are normalised already.
    assert_array_equal(augmenter.prepare(small_photos, table)[changed], 0)


LEVELS = {"noise_std": 0.05, "jpeg_quality_range": (50, 90), "policy": "RandAugment"}
RANGES = {
    "12 bits in 16": (lambda x: (x * 16).astype("uint16"), True),
    "large integers": (lambda x: x.astype("int64") * 100, True),
    "standardised": (lambda x: (x - x.mean()) / x.std(), True),
    "-1 to 1": (lambda x: x / 127.5 - 1, True),
    "above 1": (lambda x: x / 250, True),
    "16 bits": (lambda x: (x * 257).astype("uint16"), False),
    "8 bits in 16": (lambda x: x.astype("uint16"), False),
    "0 to 1": (lambda x: x / 255, False),
    "0 to 255": (lambda x: x, False),
}


@pytest.mark.parametrize("name", LEVELS)
@pytest.mark.parametrize("kind", RANGES)
def test_parameters_that_need_to_know_white_warn_where_it_is_a_guess(name, kind):
    convert, warned = RANGES[kind]
    X = convert(np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3)).astype("float32"))
    clf = classifier(linear, augmenter=ImageAugmenter(**{name: LEVELS[name]}))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clf.fit(X, np.arange(12) % 2)
    said = [str(w.message) for w in caught if issubclass(w.category, AugmenterStepWarning)]
    assert len(said) == warned
    assert all(f"uses {name}, for which white is" in text for text in said)


def test_a_random_half_alone_warns_where_the_order_matters():
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8), np.arange(12) % 2
    holes = A.Compose([A.Normalize(), A.CoarseDropout(fill=0, p=1)])
    clf = classifier(linear, augmenter=A.Normalize(), class_augmenters={0: holes})
    expected = r"class_augmenters\[0\].*Normalize.*CoarseDropout"
    with pytest.warns(AugmenterStepWarning, match=expected):
        clf.fit(X, y)
    # Flips do not care.
    flips = A.Compose([A.Normalize(), A.HorizontalFlip()])
    clf.set_params(class_augmenters={0: flips}).fit(X, y)


@pytest.mark.parametrize(
    "transform",
    [
        A.OneOf([A.Normalize(), A.ToFloat()], p=1),
        A.Sequential([A.Normalize()]),
        A.Compose([A.HorizontalFlip(), A.Normalize(p=0.1)]),
        A.Compose([A.ToFloat()], p=0.5),
    ],
)
def test_a_random_step_that_changes_the_range_is_refused(transform, small_photos):
    with pytest.raises(ValueError, match=r"is random, and turns uint8 images into float32"):
        as_augmenter(transform).fit(small_photos)


def test_a_choice_that_always_came_out_alike_warns(small_photos):
    chosen = A.OneOf([A.InvertImg(p=1), A.ToGray(p=1e-9)], p=1)
    with pytest.warns(AugmenterStepWarning, match="OneOf chooses among steps"):
        augmenter = as_augmenter(chosen).fit(small_photos)
    assert augmenter.random_steps == ["OneOf"]


def test_randomness_from_elsewhere_warns(small_photos, own_random):
    def noisy(image, rng):
        return image + np.random.normal(size=image.shape)  # noqa: NPY002

    with pytest.warns(AugmenterStepWarning, match="noisy uses random numbers that"):
        augmenter = as_augmenter(noisy).fit(small_photos)
    assert augmenter.random_steps == ["noisy"]


class Noisy(keras.layers.Layer):
    def call(self, images):
        return images + np.random.normal(size=images.shape)  # noqa: NPY002


def test_a_layer_without_a_seed_warns(small_photos, own_random):
    with pytest.warns(AugmenterStepWarning, match="Noisy uses random numbers that"):
        as_augmenter(Noisy()).fit(small_photos)


def test_what_was_alike_in_trials_alone_is_an_error(small_photos):
    def sometimes(image, rng):
        return image + rng.integers(9) if image[0, 0, 0] == 77 else image // 2

    images = small_photos.copy()
    images[:, 0, 0, 0] = 3
    augmenter = as_augmenter(sometimes).fit(images)
    assert augmenter.fixed_steps == ["sometimes"]
    images[9, 0, 0, 0] = 77
    with pytest.raises(ValueError, match="sometimes gave the same result for every seed"):
        augmenter.standardize(images)


@pytest.mark.parametrize("function", [np.fliplr, lambda image: 255 - image])
def test_a_function_of_the_image_alone_is_told_what_to_be(function):
    with pytest.raises(TypeError, match=r"needs to be f\(image, rng\).*preprocessing_function"):
        as_augmenter(function)


# -- beside an augmenter that standardises -----------------------------------------------------


def mirrored(image, rng):
    return image[:, ::-1]


@pytest.mark.parametrize("mirror", [A.HorizontalFlip(p=1), mirrored])
def test_rounds_may_do_the_same_to_every_image(mirror, digits):
    X, y = digits
    clf = classifier(linear, augmenter=ImageAugmenter(rescale=1 / 255), epochs=3).fit(X, y)
    both = (clf.predict_proba(X) + clf.predict_proba(X[:, :, ::-1])) / 2
    rounds = clf.set_params(tta_rounds=1, tta_augmenter=mirror).predict_proba(X)
    np.testing.assert_allclose(rounds, both, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "standardizing",
    [A.Normalize(), A.Compose([A.HorizontalFlip(), A.ToFloat()]), L.Rescaling(1 / 255)],
)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_rounds_must_not_standardise_otherwise(standardizing, dtype, digits):
    X, y = digits
    X = (X if dtype == "uint8" else X / 255).repeat(3, axis=3).astype(dtype)
    if dtype == "float32" and not isinstance(standardizing, A.Normalize):
        standardizing = A.Compose([A.VerticalFlip(), A.Normalize()])
    clf = classifier(linear, tta_rounds=1, tta_augmenter=standardizing).fit(X, y)
    with pytest.raises(ValueError, match="tta_augmenter standardises images in another way"):
        clf.predict(X)


def test_a_display_shows_what_a_hold_out_goes_through(digits):
    mpl.use("Agg")
    X, _ = digits
    clf = classifier(linear, validation_augmenter=A.HorizontalFlip(p=1))
    display = AugmentationDisplay.from_estimator(
        clf, X[..., 0], n_images=2, n_draws=1, subset="validation", image_shape=(8, 8)
    )
    np.testing.assert_allclose(display.draws[:, 0], display.originals[:, :, ::-1], atol=1e-6)


def test_the_same_to_all_images_of_a_class_warns(digits):
    X, y = digits
    clf = classifier(linear, class_augmenters={0: mirrored})
    with pytest.warns(AugmenterStepWarning, match=r"of its class in the same way \(mirrored"):
        clf.fit(X, y)


# -- ImageAugmenter, and what of a generator becomes one ----------------------------------------

X = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 1), dtype=np.uint8)
Y = np.arange(12) % 2


def erase(image):
    image[2:4, 2:4] = np.random.uniform(0, 255)  # noqa: NPY002
    return image


def by_chance(image):
    """Do something one time in a million, which a second call would not show."""
    return image * 0 if np.random.random() < 1e-6 else image  # noqa: NPY002


@pytest.mark.parametrize("function", [erase, by_chance])
@pytest.mark.parametrize("kind", [ImageAugmenter, ImageDataGenerator])
def test_a_random_preprocessing_function_is_refused(kind, function, own_random):
    clf = classifier(linear, augmenter=kind(preprocessing_function=function))
    with pytest.raises(
        ValueError, match=r"(?s)preprocessing_function=.* is random.*f\(image, rng"
    ):
        clf.fit(X, Y)


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"brightness_range": (0.5, 0.5)}, "brightness"),
        ({"zoom_range": (0.8, 0.8)}, "zx, zy"),
        ({"width_shift_range": [0.25]}, "tx"),
        ({"contrast_range": (2.0, 2.0)}, "contrast"),
        ({"jpeg_quality_range": (5, 5)}, "jpeg_quality"),
    ],
)
@pytest.mark.parametrize("where", ["augmenter", "class_augmenters"])
def test_a_range_of_one_value_warns(where, parameters, named):
    augmenter = ImageAugmenter(**parameters)
    given = {0: augmenter} if where == "class_augmenters" else augmenter
    clf = classifier(linear, **{where: given})
    with pytest.warns(
        AugmenterStepWarning, match=f"every training image in the same way in {named}, but"
    ):
        clf.fit(X, Y)
    augmenter.set_params(p=0.5)
    clf.fit(X, Y)


# -- what is decided is kept --------------------------------------------------------------------


@pytest.mark.parametrize("augmenter", [invert, A.InvertImg(p=1), *inverting_layers()[:1]])
def test_a_file_keeps_what_was_decided(augmenter, tmp_path):
    clf = classifier(linear, augmenter=augmenter).fit(X, Y)
    clf.save(tmp_path / "a")
    given = {"augmenter": augmenter, "invert": invert}
    loaded = AugmentedKerasClassifier.load(tmp_path / "a", given)
    assert loaded.augmenter_.fixed_steps == clf.augmenter_.fixed_steps != []
    assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))


def test_another_transform_than_the_files_is_refused(tmp_path):
    clf = classifier(linear, augmenter=A.InvertImg(p=1)).fit(X, Y)
    clf.save(tmp_path / "a")
    two = A.Compose([A.InvertImg(p=1), A.HorizontalFlip()])
    with pytest.raises(Exception, match=r"has the steps \['InvertImg', 'HorizontalFlip'\]"):
        AugmentedKerasClassifier.load(tmp_path / "a", {"augmenter": two})


# -- the shape stays --------------------------------------------------------------------------


class Halving:
    def fit(self, images):
        return self

    def draw(self, rng, n, image_shape):
        return np.zeros(n)

    def apply(self, images, table):
        return images

    def standardize(self, images):
        return images[:, ::2, ::2].astype(np.float32)

    def prepare(self, images, table=None):
        return self.standardize(images)


@pytest.mark.parametrize(
    "augmenter",
    [
        A.Resize(4, 4),
        A.Compose([A.HorizontalFlip(), A.Sequential([A.Resize(4, 4)], p=1)]),
        A.RandomCrop(4, 4),
        A.CenterCrop(4, 4),
        L.Resizing(4, 4),
        keras.Sequential([L.RandomCrop(4, 4)]),
        lambda image, rng: image[::2, ::2],
        lambda image, rng: image[rng.integers(2) :][:7],
        Halving(),
    ],
)
def test_another_shape_is_an_error_before_training(augmenter, traces):
    clf = classifier(linear, augmenter=augmenter)
    with pytest.raises(ValueError, match=r"(?s)\(8, 8, 1\).*load_images\(folder, image_shape\)"):
        clf.fit(X, Y)
    assert traces["train_step"] == 0


def test_cropping_and_resizing_back_is_none(small_photos):
    own = A.Compose([A.RandomCrop(8, 8), A.Resize(12, 12)])
    augmenter = as_augmenter(own).fit(small_photos)
    table = augmenter.draw(stream(0, "augment"), 24, small_photos.shape[1:])
    assert augmenter.prepare(small_photos, table).shape == small_photos.shape
    assert_array_equal(augmenter.standardize(small_photos), small_photos)
