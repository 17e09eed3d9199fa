"""Every parameter is checked in fit, and the error names it."""

import numpy as np
import pytest
from builders import linear
from samples import blobs, classifier
from sklearn.utils.estimator_checks import check_param_validation

from skimgcv import AugmentedKerasClassifier, ImageAugmenter

X, Y = blobs()


class Strange:
    """Fits nowhere."""


def test_scikit_learns_own_check_of_wrong_types_and_values(own_random):
    check_param_validation("AugmentedKerasClassifier", classifier(linear))


@pytest.mark.parametrize("name", AugmentedKerasClassifier(linear).get_params(deep=False))
@pytest.mark.parametrize("value", [Strange(), [Strange()], {0: Strange()}], ids=type)
def test_what_a_parameter_cannot_be_is_refused_by_its_name(name, value):
    clf = classifier(linear, tta_rounds=1, validation_split=0.25).set_params(**{name: value})
    with pytest.raises((TypeError, ValueError)) as info:
        clf.fit(X, Y).predict(X)
    # Keras speaks of one "metric".
    assert name.removesuffix("s") in str(info.value)


@pytest.mark.parametrize("name", ImageAugmenter().get_params())
@pytest.mark.parametrize(
    "value", [Strange(), "no", [], [[1], [1, 2]], {}, np.array(0.5), np.full(2, "x"), -1 + 0j]
)
def test_what_an_augmenters_parameter_cannot_be_is_refused_by_its_name(name, value):
    augmenter = ImageAugmenter(**{name: value})
    with pytest.raises(ValueError, match=f"`{name}` needs"):
        augmenter.fit(X)
    with pytest.raises(ValueError, match=f"`{name}` needs"):
        augmenter.draw(np.random.default_rng(0), 2, (4, 4, 1))


def test_flags_may_be_numpys_and_numbers():
    for true in (True, np.True_, 1):
        table = ImageAugmenter(horizontal_flip=true).draw(np.random.default_rng(0), 9, (4, 4, 1))
        assert table["flip_horizontal"].any()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fit__batch_size", 0),
        ("fit__epochs", 1.5),
        ("fit__initial_epoch", -1),
        ("fit__validation_freq", 0),
        ("fit__verbose", "loud"),
        ("predict__batch_size", "32"),
        ("predict__verbose", None),
    ],
)
def test_routed_options_are_checked_as_well(name, value):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of AugmentedKerasClassifier"):
        classifier(linear, **{name: value}).fit(X, Y)
