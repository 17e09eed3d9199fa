"""What is given to ``fit`` reaches every fit, through each of scikit-learn's tools."""

import numpy as np
import pytest
from builders import linear
from samples import Log, classifier
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
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

from skimgcv import AugmentedKerasClassifier

WEIGHT = {"cat": 4.0, "lynx": 0.5}
COMPLETE = {"cat": 4.0, "dog": 1.0, "lynx": 0.5}
# Ensembles encode the labels before they fit, in sorted order: 0, 1, 2. One against the rest
# fits on 0 and 1.
ENCODED = {0: 4.0, 2: 0.5}
ONE_OR_REST = {0: 4.0, 1: 0.5}
X = np.random.default_rng(0).integers(0, 256, (24, 4, 4, 1)).astype(np.uint8)
Y = np.array(["cat", "dog", "lynx"] * 8)


class Spy(AugmentedKerasClassifier):
    """Notes what arrives in ``fit``, and which weights the classes had."""

    arrived = Log()

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
        self.arrived.append(
            {
                "sample_weight": sample_weight,
                "class_weight": class_weight,
                "groups": groups,
                "validation_data": validation_data,
                "class_weight_": self.class_weight_,
            }
        )
        return self


@pytest.fixture
def spy():
    Spy.arrived.clear()
    return Spy(linear, random_state=0)


def pipeline(clf):
    return make_pipeline(FunctionTransformer(), clf)


PLAIN = {
    "cross_validate": lambda clf, p: cross_validate(clf, X, Y, cv=2, params=p),
    "cross_val_score": lambda clf, p: cross_val_score(clf, X, Y, cv=2, params=p),
    "cross_val_predict": lambda clf, p: cross_val_predict(clf, X, Y, cv=2, params=p),
    "learning_curve": lambda clf, p: learning_curve(clf, X, Y, cv=2, train_sizes=[1.0], params=p),
    "validation_curve": lambda clf, p: validation_curve(
        clf, X, Y, cv=2, param_name="batch_size", param_range=[8], params=p
    ),
    "permutation_test_score": lambda clf, p: permutation_test_score(
        clf, X, Y, cv=2, n_permutations=1, params=p
    ),
    "GridSearchCV": lambda clf, p: GridSearchCV(clf, {"batch_size": [8]}, cv=2).fit(X, Y, **p),
    "CalibratedClassifierCV": lambda clf, p: CalibratedClassifierCV(clf, cv=2).fit(X, Y, **p),
}
PIPELINES = {
    "Pipeline": lambda clf, p: pipeline(clf).fit(X, Y, **p),
    "Pipeline in cross_validate": lambda clf, p: cross_validate(
        pipeline(clf), X, Y, cv=2, params=p
    ),
}
ENSEMBLES = {
    "VotingClassifier": (lambda clf: VotingClassifier([("a", clf)]), ENCODED),
    # Stacking hands fit parameters to its final estimator too, wanted or not.
    "StackingClassifier": (
        lambda clf: StackingClassifier([("a", clf)], clone(clf), cv=2),
        ENCODED,
    ),
    "OneVsRestClassifier": (OneVsRestClassifier, ONE_OR_REST),
}


def assert_each_fit_had(weight, complete):
    assert Spy.arrived
    for call in Spy.arrived:
        assert call["class_weight"] == weight
        assert call["class_weight_"] == complete


@pytest.mark.parametrize("tool", PLAIN | PIPELINES)
def test_class_weight_without_routing(tool, spy):
    # A pipeline takes the step's name.
    name = "class_weight" if tool in PLAIN else "spy__class_weight"
    (PLAIN | PIPELINES)[tool](spy, {name: WEIGHT})
    assert_each_fit_had(WEIGHT, COMPLETE)


@pytest.mark.parametrize("tool", PLAIN | PIPELINES)
def test_class_weight_with_routing(tool, spy):
    with config_context(enable_metadata_routing=True):
        # learning_curve asks about partial_fit as well.
        spy.set_fit_request(class_weight=True).set_partial_fit_request(class_weight=True)
        (PLAIN | PIPELINES)[tool](spy, {"class_weight": WEIGHT})
    assert_each_fit_had(WEIGHT, COMPLETE)


@pytest.mark.parametrize("tool", ENSEMBLES)
def test_class_weight_is_routed_by_ensembles(tool, spy):
    make, weight = ENSEMBLES[tool]
    with config_context(enable_metadata_routing=True):
        make(spy.set_fit_request(class_weight=True)).fit(X, Y, class_weight=weight)
    assert_each_fit_had(weight, ONE_OR_REST if weight is ONE_OR_REST else {**ENCODED, 1: 1.0})


@pytest.mark.parametrize("tool", ENSEMBLES)
def test_the_constructor_reaches_where_fit_params_do_not(tool, spy):
    make, _ = ENSEMBLES[tool]
    make(spy.set_params(class_weight="balanced")).fit(X, Y)
    assert Spy.arrived
    for call in Spy.arrived:
        weights = list(call["class_weight_"].values())
        np.testing.assert_allclose(weights, [1.0] * 3 if len(weights) == 3 else [0.75, 1.5])


@pytest.mark.parametrize("routing", [False, True])
def test_rows_of_sample_weight_and_groups_are_those_of_the_fold(routing, spy):
    weights, groups = 1.0 + np.arange(24), np.arange(24) // 2
    splits = list(GroupKFold(3).split(X, Y, groups))
    params = {"sample_weight": weights, "groups": groups, "validation_data": (X[:3], Y[:3])}
    with config_context(enable_metadata_routing=routing):
        if routing:
            spy.set_fit_request(sample_weight=True, groups=True, validation_data=True)
            spy.set_score_request(sample_weight=False)
        cross_validate(spy, X, Y, cv=splits, params=params, error_score="raise")
    for call, (train, _) in zip(Spy.arrived, splits, strict=True):
        np.testing.assert_array_equal(call["sample_weight"], weights[train])
        np.testing.assert_array_equal(call["groups"], groups[train])
        np.testing.assert_array_equal(call["validation_data"][0], X[:3])


def test_a_fit_param_beats_the_parameter():
    clf = classifier(linear, class_weight={"cat": 9.0}).fit(X, Y, class_weight=WEIGHT)
    assert clf.class_weight_ == COMPLETE
    assert clf.class_weight == {"cat": 9.0}
