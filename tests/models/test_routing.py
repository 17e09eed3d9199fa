"""Parameters by any legal name arrive, or are refused in words."""

import copy
import pickle

import keras
import numpy as np
import pytest
from builders import dense, linear
from samples import blobs, classifier, same_model
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.utils.validation import check_is_fitted

from skimgcv import AugmentedKerasClassifier

X, Y = blobs()
NAMES = [
    "lambda_",
    "_units",
    "__units",
    "units__",
    "a__b",
    "_",
    "__a__b_",
    "größe",
    "fit",
    "meta_",
]


def build(meta, **parameters):
    """Build with as many units as the one parameter says."""
    parameters.pop("compile_kwargs")
    parameters.pop("params")
    (units,) = parameters.values()
    return dense(meta, units)


@pytest.mark.parametrize("name", NAMES)
def test_a_builders_parameter_may_have_any_name(name, tmp_path):
    seen = []

    def noting(meta, compile_kwargs, params, **parameters):
        seen.append((parameters, params[f"model__{name}"], [n for n in meta if "model" in n]))
        return dense(meta, parameters[name])

    routed = f"model__{name}"
    clf = classifier(noting, **{routed: 7})
    assert clf.get_params()[routed] == getattr(clf, routed) == 7
    assert clone(clf).get_params() == clf.get_params()
    clf.fit(X, Y)
    assert seen[0] == ({name: 7}, 7, [])
    assert clf.fit(X, Y).get_params()[routed] == 7  # a second fit replaces fitted attributes
    for other in (clone(clf), copy.copy(clf), copy.deepcopy(clf), saved(clf, tmp_path)):
        assert other.get_params()[routed] == 7


def saved(clf, folder):
    clf.save(folder / "clf")
    return AugmentedKerasClassifier.load(folder / "clf")


@pytest.mark.parametrize("name", ["lambda_", "_units", "a__b"])
def test_a_grid_over_any_name_fits_different_models(name):
    clf = pickle.loads(pickle.dumps(classifier(build, **{f"model__{name}": 1})))
    search = GridSearchCV(clf, {f"model__{name}": [2, 5]}, cv=2).fit(X, Y)
    models = [clone(clf).set_params(**p).fit(X, Y).model_ for p in search.cv_results_["params"]]
    assert [model.layers[1].units for model in models] == [2, 5]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("lambda_", "begin or end with _"),
        ("classes_", "begin or end with _"),
        ("_seed", "begin or end with _"),
        ("__dict__", "is an attribute of"),
        ("predict", "is an attribute of"),
        ("set_fit_request", "is an attribute of"),
        ("model__", "begin or end with _"),
    ],
)
def test_a_name_without_prefix_that_would_hide_another_is_refused(name, why):
    with pytest.raises(TypeError, match=rf"parameter {name!r}.*{why}.*write model__{name}=\.\.\."):
        classifier(dense, **{name: 3})


@pytest.mark.parametrize("name", ["meta", "model__meta", "compile_kwargs", "model__params"])
def test_what_a_builder_is_given_anyway_cannot_be_set(name):
    with pytest.raises(TypeError, match=f"^{name} cannot be set"):
        classifier(linear, **{name: 3}).fit(X, Y)


def test_a_parameters_name_makes_no_estimator_fitted():
    clf = classifier(build, model__lambda_=4)
    with pytest.raises(NotFittedError):
        check_is_fitted(clf)
    check_is_fitted(clf.fit(X, Y))


@pytest.mark.parametrize(
    "parameters",
    [
        {"callbacks__patience": 3},
        {"callbacks": [keras.callbacks.EarlyStopping], "callbacks__1__monitor": "loss"},
        {"callbacks": {"stop": keras.callbacks.EarlyStopping}, "callbacks__stpo__monitor": "loss"},
        {"fit__callbacks__0__monitor": "loss"},
        {"predict__callbacks__0__monitor": "loss"},
        {"fit__batch__size": 3},
        {"predict__batch__size": 3},
        {"optimizer__learning_rate__decay": 0.1},
        {"metrics": [keras.metrics.Recall], "metrics__1__name": "r"},
        {"metrics__name": "r"},
        {"loss": keras.losses.CategoricalCrossentropy, "loss__inner__value": 3},
    ],
    ids=lambda parameters: list(parameters)[-1],
)
def test_a_name_that_leads_nowhere_is_refused(parameters):
    name = list(parameters)[-1]
    with pytest.raises(ValueError, match=f"^{name} has no effect"):
        classifier(linear, **parameters).fit(X, Y).predict(X)


def test_names_that_lead_somewhere_arrive():
    clf = classifier(
        linear,
        metrics={"a": [keras.metrics.CategoricalAccuracy], "b": "accuracy"},
        metrics__a__0__name="own",
        callbacks={"stop": [keras.callbacks.EarlyStopping]},
        callbacks__stop__0__monitor="loss",
        callbacks__stop__0__patience=7,
    )
    assert clf.fit(X, Y).callbacks_[0].patience == 7
    assert np.isfinite(clf.predict_proba(X)).all()
    assert same_model(clf, clone(clf).fit(X, Y))
