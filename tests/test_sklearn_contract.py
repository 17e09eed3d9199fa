"""scikit-learn's own checks, and what its tools take a classifier to be."""

import keras
import numpy as np
from builders import compiled_dense, linear
from sklearn.base import is_classifier, is_regressor
from sklearn.model_selection import KFold, StratifiedKFold, check_cv, cross_val_predict
from sklearn.utils.estimator_checks import parametrize_with_checks

from skimgcv import AugmentedKerasClassifier, AugmentedKerasRegressor

EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": (
        "Minibatch training: a row of weight 2 is in one batch, two rows of weight 1 are in two. "
        "scikit-learn's own MLPClassifier and SGDClassifier list it for the same reason."
    ),
}


class Builder:
    """Builds, and is called the same in each process: a function's address would differ."""

    def __init__(self, build):
        self.build = build

    def __call__(self, meta, compile_kwargs):
        model = self.build(meta)
        if not model.compiled:
            model.compile(**compile_kwargs | {"optimizer": keras.optimizers.Adam(0.1)})
        return model

    def __repr__(self):
        return self.build.__name__


estimator = AugmentedKerasClassifier(Builder(compiled_dense), epochs=20, random_state=0)
regressor = AugmentedKerasRegressor(Builder(linear), epochs=5, random_state=0)


@parametrize_with_checks(
    [estimator, regressor], expected_failed_checks=lambda _: EXPECTED_FAILURES
)
def test_check(estimator, check, own_random):  # some checks draw from NumPy's global numbers
    check(estimator)


def test_it_is_a_classifier_whose_folds_are_stratified():
    assert is_classifier(estimator)
    y = np.repeat([0, 1, 2], 20)
    assert isinstance(check_cv(5, y, classifier=is_classifier(estimator)), StratifiedKFold)


def test_sorted_labels_are_no_trap():
    # With a plain KFold each fold's class would be missing from its training rows.
    y = np.repeat(["a", "b", "c"], 20)
    X = np.random.default_rng(0).normal(np.repeat([0, 4, 8], 20)[:, None], 1, (60, 4))
    assert np.mean(cross_val_predict(estimator, X, y, cv=3) == y) > 0.5


def test_the_other_is_a_regressor_of_several_numbers():
    assert is_regressor(regressor)
    assert regressor.__sklearn_tags__().target_tags.multi_output
    assert isinstance(check_cv(5, np.arange(20.0), classifier=is_classifier(regressor)), KFold)
