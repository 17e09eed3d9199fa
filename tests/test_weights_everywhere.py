"""A class weight reaches every fit, through each of scikit-learn's tools: the README's table."""

import numpy as np
import pytest
import sklearn
from builders import linear
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.model_selection import (
    GridSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    permutation_test_score,
    validation_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skimgcv import AugmentedKerasClassifier, ImageAugmenter

WEIGHT = {"cat": 4.0, "lynx": 0.5}
X = np.random.default_rng(0).integers(0, 256, (24, 4, 4, 1)).astype(np.uint8)
y = np.array(["cat", "dog", "lynx"] * 8)
ENCODED = {0: 4.0, 2: 0.5}
STEP = "noting__class_weight"

given: list[dict] = []


class Noting(AugmentedKerasClassifier):
    def fit(
        self,
        X,
        y,
        sample_weight=None,
        class_weight=None,
        groups=None,
        validation_data=None,
    ):
        super().fit(X, y, sample_weight, class_weight, groups, validation_data)
        given.append(self.class_weight_)
        return self


@pytest.fixture
def est():
    given.clear()
    return Noting(linear, augmenter=ImageAugmenter(horizontal_flip=True), random_state=0)


PLAIN = {
    "cross_val_score": lambda e: cross_val_score(e, X, y, cv=2, params={"class_weight": WEIGHT}),
    "cross_validate": lambda e: cross_validate(e, X, y, cv=2, params={"class_weight": WEIGHT}),
    "cross_val_predict": lambda e: cross_val_predict(
        e, X, y, cv=2, params={"class_weight": WEIGHT}
    ),
    "GridSearchCV": lambda e: GridSearchCV(e, {"batch_size": [8]}, cv=2).fit(
        X, y, class_weight=WEIGHT
    ),
    "learning_curve": lambda e: learning_curve(
        e, X, y, cv=2, train_sizes=[1.0], params={"class_weight": WEIGHT}
    ),
    "validation_curve": lambda e: validation_curve(
        e,
        X,
        y,
        param_name="batch_size",
        param_range=[8],
        cv=2,
        params={"class_weight": WEIGHT},
    ),
    "permutation_test_score": lambda e: permutation_test_score(
        e, X, y, cv=2, n_permutations=1, params={"class_weight": WEIGHT}
    ),
    "CalibratedClassifierCV": lambda e: CalibratedClassifierCV(e, cv=2).fit(
        X, y, class_weight=WEIGHT
    ),
}


def pipeline(e):
    return make_pipeline(FunctionTransformer(), e)


WITHOUT_ROUTING = PLAIN | {
    "Pipeline": lambda e: pipeline(e).fit(X, y, **{STEP: WEIGHT}),
    "Pipeline in cross_validate": lambda e: cross_validate(
        pipeline(e), X, y, cv=2, params={STEP: WEIGHT}
    ),
}
WITH_ROUTING = PLAIN | {
    "Pipeline": lambda e: pipeline(e).fit(X, y, class_weight=WEIGHT),
    "Pipeline in cross_validate": lambda e: cross_validate(
        pipeline(e), X, y, cv=2, params={"class_weight": WEIGHT}
    ),
    # It encodes the labels before it fits: 0, 1, 2 in sorted order.
    "VotingClassifier": lambda e: VotingClassifier([("a", e)]).fit(X, y, class_weight=ENCODED),
}


@pytest.mark.parametrize("tool", WITHOUT_ROUTING)
def test_without_metadata_routing(est, tool):
    WITHOUT_ROUTING[tool](est)
    assert given
    assert all(list(weight.values()) == [4.0, 1.0, 0.5] for weight in given)


@pytest.mark.parametrize("tool", WITH_ROUTING)
def test_with_metadata_routing(est, tool):
    with sklearn.config_context(enable_metadata_routing=True):
        est.set_fit_request(class_weight=True)
        # learning_curve asks about partial_fit as well.
        WITH_ROUTING[tool](est.set_partial_fit_request(class_weight=True))
    assert given
    assert all(list(weight.values()) == [4.0, 1.0, 0.5] for weight in given)


@pytest.mark.parametrize(
    "make",
    [
        lambda e: VotingClassifier([("a", e)]),
        lambda e: StackingClassifier([("a", e)], cv=2),
        lambda e: OneVsRestClassifier(e),
    ],
)
def test_the_constructor_reaches_where_fit_params_do_not(est, make):
    # One-vs-rest and the ensembles encode the labels: 0 and 1, or 0 to k - 1.
    make(est.set_params(class_weight="balanced")).fit(X, y)
    assert given
    for weight in given:
        np.testing.assert_allclose(
            list(weight.values()), [1.0] * 3 if len(weight) == 3 else [0.75, 1.5]
        )
