"""Subclasses with parameters of their own fit, search, copy and save as the class does."""

import copy
import pickle

import keras
import pytest
from builders import dense, linear
from samples import blobs, same_model
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skimgcv import AugmentedKerasClassifier, ImageAugmenter

X, Y = blobs()


class Own(AugmentedKerasClassifier):
    """Has one parameter more, and passes the rest on."""

    def __init__(self, model, *, extra=1, epochs=2, **others):
        super().__init__(model, epochs=epochs, **others)
        self.extra = extra


class Mlp(Own):
    """As SciKeras' documentation has it: the builder is a method that reads parameters."""

    def __init__(self, model=None, units=3, **others):
        super().__init__(model, **others)
        self.units = units

    def _keras_build_fn(self, meta, compile_kwargs):
        model = dense(meta, self.units)
        model.compile(**compile_kwargs)
        return model


class Fixed(AugmentedKerasClassifier):
    """Has few parameters, and fixes all the others."""

    def __init__(self, units=3, random_state=0):
        augmenter = ImageAugmenter(rotation_range=9)
        super().__init__(dense, augmenter=augmenter, random_state=random_state, fit__epochs=3)
        self.units = units


MADE = {
    Own: lambda **p: Own(dense, random_state=0, **p),
    Mlp: lambda **p: Mlp(random_state=0, **p),
    Fixed: Fixed,
}


@pytest.mark.parametrize("kind", MADE)
def test_a_subclass_is_fitted_copied_and_saved_as_the_class_is(kind, tmp_path):
    clf = MADE[kind]().fit(X, Y)
    again = clone(clf)
    assert again.get_params(deep=False).keys() == clf.get_params(deep=False).keys()
    assert type(again) is kind
    assert same_model(again.fit(X, Y), clf)
    for other in (pickle.loads(pickle.dumps(clf)), copy.deepcopy(clf)):
        assert same_model(other, clf)
        assert same_model(clone(other).fit(X, Y), clf)
    clf.save(tmp_path / "clf")
    loaded = kind.load(tmp_path / "clf", custom_objects={"dense": dense})
    assert same_model(loaded, clf)
    assert same_model(clone(loaded).fit(X, Y), clf)


def test_parameters_that_are_passed_on_are_a_subclasss_own():
    clf = MADE[Mlp](augmenter=ImageAugmenter(), model__units=4, batch_size=7)
    expected = AugmentedKerasClassifier(dense, model__units=4).get_params(deep=False)
    assert clf.get_params(deep=False).keys() == expected.keys() | {"extra", "units"}
    clf.set_params(extra=5, units=6, batch_size=8, augmenter__rotation_range=9)
    copied = clone(clf)
    assert (copied.extra, copied.units, copied.batch_size) == (5, 6, 8)
    assert copied.augmenter.rotation_range == 9
    assert copied.epochs == 2  # the subclass's default


def test_a_subclass_that_fixes_parameters_has_its_own_alone():
    clf = Fixed()
    assert set(clf.get_params()) == {"units", "random_state"}
    assert len(clf.fit(X, Y).history_["loss"]) == 3
    assert clf.augmenter_.rotation_range == 9
    with pytest.raises(ValueError, match="Invalid parameter 'model"):
        clf.set_params(model__units=4)


@pytest.mark.parametrize("kind", [Mlp, Fixed])
def test_a_search_over_a_subclasss_parameter_fits_different_models(kind):
    search = GridSearchCV(MADE[kind](), {"units": [2, 5]}, cv=2).fit(X, Y)
    fitted = [clone(search.estimator).set_params(**p) for p in search.cv_results_["params"]]
    assert [clf.fit(X, Y).model_.layers[1].units for clf in fitted] == [2, 5]


def test_a_builder_may_ask_for_a_subclasss_parameter():
    def build(meta, extra):
        return dense(meta, extra)

    assert Own(build, extra=4).fit(X, Y).model_.layers[1].units == 4
    assert Own(build, extra=4, model__extra=5).fit(X, Y).model_.layers[1].units == 5


def test_a_subclasss_errors_name_it():
    with pytest.raises(
        TypeError, match=r"Neither Own nor the builder dense .* 'exra'; is 'extra'"
    ):
        Own(dense, exra=3).fit(X, Y)
    with pytest.raises(ValueError, match=r"^Mlp builds by its _keras_build_fn, and model="):
        Mlp(dense).fit(X, Y)


@pytest.mark.parametrize("hook", ["target_encoder", "feature_encoder", "dataset_transformer"])
def test_what_only_scikeras_would_call_is_refused(hook):
    kind = type("Hooked", (Own,), {hook: property(lambda self: None)})
    with pytest.raises(TypeError, match=f"Hooked has {hook}, which SciKeras would call"):
        kind(linear).fit(X, Y)


def test_an_overridden_method_is_called():
    class Compiling(Own):
        def predict(self, X):
            return super().predict(X) + 10

    clf = Compiling(linear).fit(X, Y)
    assert set(clf.predict(X)) <= {10, 11, 12}
    assert clf.score(X, Y + 10) == AugmentedKerasClassifier.score(clf, X, Y + 10)
    assert isinstance(clf.model_, keras.Model)


def test_what_a_subclass_changes_before_it_is_trained_further():
    clf = MADE[Mlp](warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match=r"^units was 3 and now is 5"):
        clf.set_params(units=5).fit(X, Y)
    own = MADE[Own](warm_start=True).fit(X, Y)
    own.set_params(extra=5).fit(X, Y)  # the builder does not ask for it
