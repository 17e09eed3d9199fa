"""The figure of augmented images: what the model gets, in values that one can see."""

import builders
import numpy as np
import pytest
from samples import classifier

from skimgcv import AugmentedKerasRegressor, ImageAugmenter
from skimgcv.display import AugmentationDisplay


def shown(display):
    """What is drawn: originals and draws."""
    arrays = np.array([[np.asarray(a.get_array()) for a in row] for row in display.images_])
    return arrays[:, 0], arrays[:, 1:]


def images_like(n=4, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 8, 6, channels), dtype=np.uint8)


class Brighter:
    """An augmenter of the protocol that adds the same to each image; no randomness to mind."""

    def __init__(self, amount):
        self.amount = amount

    def fit(self, images):
        return self

    def draw(self, rng, n, image_shape):
        return np.zeros(n, [("row", int)])

    def apply(self, images, table):
        return (images + self.amount).astype(images.dtype)

    def standardize(self, images):
        return images.astype(np.float32)

    def prepare(self, images, table=None):
        return self.standardize(images if table is None else self.apply(images, table))


STANDARDISING = {
    "none": {},
    "rescale": {"rescale": 1 / 127.5},
    "featurewise": {"featurewise_center": True, "featurewise_std_normalization": True},
    "a function": {"preprocessing_function": lambda image: image[..., ::-1] / 100 - 1},
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("how", STANDARDISING)
def test_draws_what_the_model_gets_mapped_back(how, channels):
    X = images_like(channels=channels)
    augmenter = ImageAugmenter(horizontal_flip=True, rotation_range=30, **STANDARDISING[how])
    display = AugmentationDisplay.from_estimator(augmenter, X, n_draws=3, random_state=1)
    originals, draws = shown(display)
    table = augmenter.draw(np.random.default_rng(1), 12, (8, 6, channels))
    expected = augmenter.apply(np.repeat(X, 3, axis=0), table).reshape(4, 3, 8, 6, channels) / 255
    squeezed = expected if channels == 3 else expected[..., 0]
    np.testing.assert_allclose(originals, (X if channels == 3 else X[..., 0]) / 255, rtol=1e-6)
    # Half a grey level: the fused path of `prepare` need not round as `apply` does.
    np.testing.assert_allclose(draws, squeezed, atol=0.5 / 255)
    assert display.mapped_back
    assert not hasattr(augmenter, "mean_")


def test_what_no_line_maps_back_has_the_originals_mean_and_deviation():
    X = images_like(6) // 2 + 64
    augmenter = ImageAugmenter(samplewise_center=True, samplewise_std_normalization=True)
    display = AugmentationDisplay.from_estimator(
        ImageAugmenter(zca_whitening=True).fit(X), X, n_draws=1
    )
    originals, draws = shown(display)
    assert not display.mapped_back
    assert draws.mean() == pytest.approx(originals.mean(), abs=0.01)
    assert AugmentationDisplay.from_estimator(augmenter, X, n_draws=1).draws.shape == (
        6,
        1,
        8,
        6,
        3,
    )


def test_rare_classes_come_first_and_have_their_own_augmenter():
    X, y = images_like(9, channels=1) // 4, np.array([2, 2, 2, 2, 1, 1, 1, 7, 7])
    estimator = classifier(
        builders.linear, augmenter=Brighter(10), class_augmenters={7: Brighter(50)}
    )
    display = AugmentationDisplay.from_estimator(estimator, X, y, n_images=4, n_draws=2)
    assert display.labels == ["7\n(own augmenter)", "7\n(own augmenter)", "1", "2"]
    originals, draws = shown(display)
    np.testing.assert_allclose(originals, X[[7, 8, 4, 0], ..., 0] / 255, rtol=1e-6)
    added = (draws - originals[:, None]) * 255
    expected = np.array([50, 50, 10, 10]).reshape(4, 1, 1, 1)
    np.testing.assert_allclose(added, np.broadcast_to(expected, added.shape), atol=0.01)


@pytest.mark.parametrize(("own", "added"), [(Brighter(30), 30), (None, 0)])
def test_held_out_images_go_through_the_validation_augmenter(own, added):
    X = images_like(channels=1) // 4
    estimator = classifier(
        builders.linear,
        augmenter=Brighter(10),
        validation_augmenter=own,
        class_augmenters={0: None},
    )
    display = AugmentationDisplay.from_estimator(
        estimator, X, [0, 0, 1, 1], n_draws=1, subset="validation"
    )
    originals, draws = shown(display)
    np.testing.assert_allclose((draws[:, 0] - originals) * 255, added, atol=0.01)


def test_a_regressor_shows_its_augmenter():
    X = images_like(channels=1) // 4
    regressor = AugmentedKerasRegressor(builders.linear, augmenter=Brighter(10))
    originals, draws = shown(AugmentationDisplay.from_estimator(regressor, X, n_draws=1))
    np.testing.assert_allclose((draws[:, 0] - originals) * 255, 10, atol=0.01)


def test_a_fitted_classifier_standardises_as_it_learned(digits):
    X, y = digits
    standard = ImageAugmenter(zca_whitening=True)
    estimator = classifier(builders.linear, augmenter=standard, epochs=1).fit(X[:100], y[:100])
    rows = [3, 150]
    fitted = AugmentationDisplay.from_estimator(estimator, X, rows=rows, n_draws=1)
    seen = standard.fit(X[:100]).standardize(X[rows])[..., 0]
    drawn = shown(fitted)[1][:, 0]
    inside = (drawn > 0) & (drawn < 1)  # the rest is clipped
    assert inside.mean() > 0.5
    assert np.corrcoef(seen[inside], drawn[inside])[0, 1] > 0.999999
    assert fitted.labels == ["row 3", "row 150"]


def test_mixes_images_among_those_shown():
    X = np.stack([np.full((8, 8, 1), value, np.uint8) for value in (0, 200)])
    mixing = ImageAugmenter(cutmix_alpha=1.0)
    display = AugmentationDisplay.from_estimator(mixing, X, n_draws=8)
    values = np.unique(np.round(shown(display)[1] * 255))
    assert values.tolist() == [0, 200]
    assert any(len(np.unique(image)) == 2 for image in shown(display)[1].reshape(-1, 8, 8))


def test_channels_may_come_first():
    X = np.moveaxis(images_like(), -1, 1)
    augmenter = ImageAugmenter(data_format="channels_first", rescale=1 / 255)
    originals, draws = shown(AugmentationDisplay.from_estimator(augmenter, X, n_draws=1))
    np.testing.assert_allclose(originals, images_like() / 255, rtol=1e-6)
    np.testing.assert_allclose(draws[:, 0], originals, atol=1e-5)


def test_flat_rows_and_an_axes_of_the_users(axes, digits):
    X = digits[0].reshape(-1, 64) / 16.0  # 0 to 15: neither bytes nor shares
    estimator = classifier(builders.linear, image_shape=(8, 8, 1))
    display = AugmentationDisplay.from_estimator(estimator, X, n_images=2, ax=axes)
    assert display.ax_ is axes
    originals, _ = shown(display)
    two = X[:2].reshape(2, 8, 8)
    np.testing.assert_allclose(originals, (two - two.min()) / np.ptp(two), atol=1e-6)


def test_a_function_is_an_augmenter():
    def one_grey(image, rng):
        return np.full_like(image, rng.integers(256))

    originals, draws = shown(
        AugmentationDisplay.from_estimator(one_grey, images_like(1), n_draws=8)
    )
    greys = draws[:, :, 0, 0, 0]
    np.testing.assert_array_equal(
        draws, np.broadcast_to(greys[:, :, None, None, None], draws.shape)
    )
    assert len(np.unique(greys)) > 4
    assert originals.std() > 0


def test_images_are_drawn_as_matplotlib_is_told():
    display = AugmentationDisplay.from_estimator(
        ImageAugmenter(), images_like(channels=1), n_draws=1, im_kw={"cmap": "viridis"}
    )
    assert {image.get_cmap().name for image in display.images_.ravel()} == {"viridis"}


def test_errors_say_what_is_needed():
    X = images_like()
    with pytest.raises(ValueError, match='"training" or "validation"'):
        AugmentationDisplay.from_estimator(ImageAugmenter(), X, subset="test")
    with pytest.raises(ValueError, match=r"\(4,\), it has \(3,\)"):
        AugmentationDisplay.from_estimator(ImageAugmenter(), X, [0, 1, 2])
    with pytest.raises(ValueError, match="at least 1"):
        AugmentationDisplay.from_estimator(ImageAugmenter(), X, n_draws=0)
    with pytest.raises(TypeError, match="an augmenter needs to be one of"):
        AugmentationDisplay.from_estimator(42, X)
