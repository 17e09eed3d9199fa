"""What another package has changed: the same numbers come another way, or an error says why.

``test_private_names`` takes each name away; here they mean something else, or the fits are
looked at.
"""

import functools
import importlib
import re
import sys
import types
import warnings

import keras
import numpy as np
import pytest
from builders import frozen, linear
from keras import layers

from skimgcv import AugmentedKerasClassifier, ImageAugmenter, clear_compiled_models
from skimgcv._batches.feed import Feed
from skimgcv._compiled.canary import models_share_steps
from skimgcv._compiled.run import fit_model, predict_model
from skimgcv._runtime import (
    graph_internals,
    keras_internals,
    other_internals,
    scikeras_internals,
    step_internals,
    versions,
)
from skimgcv._runtime.seeding import seeded
from skimgcv.augment import as_augmenter
from skimgcv.exceptions import UnsupportedVersionError, UnsupportedVersionWarning

RNG = np.random.default_rng(0)
IMAGES = RNG.random((20, 6, 6, 1), dtype="float32")
LABELS = np.arange(20) % 2
VERSION = re.escape(keras.__version__)


@pytest.fixture(autouse=True)
def _tried_anew():
    """What is tried once a process is tried in each of these tests, and after them."""
    versions.try_again()
    yield
    versions.try_again()


@pytest.fixture
def lacks(monkeypatch):
    """Let Keras lack something, for us alone: it goes on using it itself."""

    def lack(module, name):
        def private(at, wanted):
            if (at, wanted) == (module, name):
                raise AttributeError(f"module {at!r} has no attribute {name!r}")
            return getattr(importlib.import_module(f"keras.src.{at}"), wanted)

        monkeypatch.setattr(keras_internals, "private", private)
        monkeypatch.setattr(step_internals, "private", private)
        monkeypatch.setattr(graph_internals, "private", private)
        monkeypatch.setattr(step_internals, "_private", functools.cache(private))

    return lack


class Batches(keras.utils.PyDataset):
    """Arrays in their order, 8 rows a batch, the last one of fewer; each epoch other ones."""

    def __init__(self, *arrays):
        super().__init__()
        self.arrays = arrays
        self.epoch = 0  # the first is there before it begins

    @property
    def num_batches(self):
        return -(-len(self.arrays[0]) // 8)

    def __getitem__(self, index):
        x, *rest = (a[8 * index : 8 * index + 8] for a in self.arrays)
        return (x * max(self.epoch, 1), *rest)

    def on_epoch_begin(self):
        self.epoch += 1


def small():
    with seeded(0):
        model = keras.Sequential(
            [
                layers.Input((6, 6, 1)),
                layers.Dropout(0.25),
                layers.Flatten(),
                layers.Dense(1, activation="sigmoid"),
            ]
        )
        model.compile(keras.optimizers.AdamW(0.1, weight_decay=0.1), "binary_crossentropy")
    return model


def trained(model=None, **options):
    """Weights, losses and predictions of a fit."""
    model = model or small()
    data, validation = Batches(IMAGES, LABELS), Batches(IMAGES[:4], LABELS[:4])
    history = fit_model(model, small, data, epochs=2, validation=validation, **options)
    predicted = predict_model(model, Batches(IMAGES), batch_size=8)
    return [*model.get_weights(), *map(np.array, history.values()), predicted]


def classifier(**parameters):
    return AugmentedKerasClassifier(linear, random_state=0, **parameters)


def same(a, b):
    return len(a) == len(b) and all(map(np.array_equal, a, b))


@pytest.mark.parametrize(
    "name",
    [
        ("ops.node", "Node"),
        ("models.functional", "Functional"),
        ("backend.common.masking", "get_keras_mask"),
    ],
)
def test_a_graph_that_cannot_be_cut_is_run_whole(name, lacks):
    clf = AugmentedKerasClassifier(frozen, random_state=0)
    expected = clf.set_params(feature_cache=None).fit(IMAGES, LABELS).predict_proba(IMAGES)
    lacks(*name)
    clf.set_params(feature_cache="memory")
    given_up = f"keras {VERSION} does not support running frozen layers once"
    with pytest.warns(UnsupportedVersionWarning, match=given_up):
        found = clf.fit(IMAGES, LABELS).predict_proba(IMAGES)
    np.testing.assert_array_equal(found, expected)


# -- compile once ----------------------------------------------------------------------------


def _exchange_does_nothing(patch):
    """Let variables keep their values elsewhere than where we put others."""
    value = property(lambda self: vars(self).setdefault("_renamed", vars(self)["_value"]))
    patch.setattr(keras.Variable, "value", value)


def _optimizer_by_name(patch):
    """Let an optimizer keep something by variables' names that we do not know."""
    build = keras.optimizers.Optimizer.build

    def new(self, variables):
        build(self, variables)
        vars(self)["_rates_by_var_key"] = {v.path: 1.0 for v in variables}

    patch.setattr(keras.optimizers.Optimizer, "build", new)


STEP_CHANGES = {
    "values lie elsewhere": _exchange_does_nothing,
    "an optimizer with names": _optimizer_by_name,
}


@pytest.mark.parametrize("change", STEP_CHANGES)
def test_with_another_meaning_models_share_no_steps(change, monkeypatch):
    with monkeypatch.context() as patch:
        STEP_CHANGES[change](patch)
        with pytest.warns(UnsupportedVersionWarning, match=f"keras {VERSION} "):
            assert not models_share_steps()


def test_models_that_share_no_steps_are_fitted_to_the_same_bits(lacks):
    clear_compiled_models()
    expected = trained()
    clear_compiled_models()
    versions.try_again()
    lacks("utils.tracking", "Tracker")
    with pytest.warns(UnsupportedVersionWarning):
        assert same(trained(), expected)


def test_the_canary_draws_nobodys_numbers_and_leaves_no_name():
    # The fixture for all tests looks at the global generators.
    def numbers():
        names = keras.layers.Flatten().name, keras.optimizers.AdamW().name
        return np.array([int(re.sub(r"\D", "", name) or 0) for name in names])

    first, second = numbers(), numbers()  # Keras before 3.10 does not number optimizers
    assert models_share_steps()
    np.testing.assert_array_equal(numbers() - second, second - first)


def test_a_filter_that_makes_warnings_errors_does_not_count_as_a_change(monkeypatch):
    @versions.given_up("keras", "it", "it is not done")
    def check():
        warnings.warn("old", DeprecationWarning, stacklevel=2)
        return True

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DeprecationWarning, match="old"):
            check()
    with pytest.warns(DeprecationWarning, match="old"):
        assert check()


@pytest.mark.parametrize("name", ["_unreduced", "_kernel_cache"])
def test_memory_that_cannot_be_given_back_is_kept(name, monkeypatch, lacks):
    expected = trained()
    clear_compiled_models()
    versions.try_again()
    lacks("backend.tensorflow.optimizer", "filter_empty_gradients")
    from tensorflow.python.eager import context

    monkeypatch.delattr(context.Context, "clear_kernel_cache")
    check, package = getattr(step_internals, name), "keras" if name == "_unreduced" else "tensorf"
    with pytest.warns(UnsupportedVersionWarning, match=f"{package}.*memory"):
        assert check() is None
    if name == "_unreduced":
        assert same(trained(), expected)
    else:
        step_internals.drop_kernels()


def test_a_model_that_is_spread_and_would_be_built_again_is_refused(monkeypatch):
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        model = small()
    owner = next(kind for kind in keras.Model.__mro__ if "_maybe_symbolic_build" in vars(kind))
    monkeypatch.delattr(owner, "_maybe_symbolic_build")
    with pytest.raises(UnsupportedVersionError, match=f"keras {VERSION} .*spread over devices"):
        trained(model)


# -- Keras 3.16 ------------------------------------------------------------------------------


@pytest.fixture
def decay_by_name(monkeypatch):
    """Let optimizers keep which variables decay by the variables' names, as Keras 3.16 does."""
    build = keras.optimizers.Optimizer.build

    def new(self, variables):
        build(self, variables)
        vars(self)["_weight_decay_by_var_key"] = {self._var_key(v): True for v in variables}

    def uses(self, variable):
        return self._weight_decay_by_var_key[self._var_key(variable)]

    monkeypatch.setattr(keras.optimizers.Optimizer, "build", new)
    monkeypatch.setattr(keras.optimizers.Optimizer, "_use_weight_decay", uses)


class Steps(keras.callbacks.Callback):
    """Takes a step by itself after each epoch, by the model's own optimizer."""

    def on_epoch_end(self, epoch, logs=None):
        variables = self.model.trainable_variables
        self.model.optimizer.apply([keras.ops.ones(v.shape) for v in variables], variables)


def test_decay_by_names_is_no_difference_and_goes_with_the_variables(decay_by_name, caplog):
    clear_compiled_models()
    model = small()
    step_internals.trace_for_any_rows(model)
    alone = model.fit(
        Batches(IMAGES, LABELS),
        validation_data=Batches(IMAGES[:4], LABELS[:4]),
        epochs=2,
        shuffle=False,
        verbose=0,
        callbacks=[Steps()],
    )
    predicted = model.predict(Batches(IMAGES), verbose=0)
    expected = [*model.get_weights(), *map(np.array, alone.history.values()), predicted]
    caplog.set_level("DEBUG", "skimgcv")
    for _ in range(2):
        shared = small()
        assert same(trained(shared, callbacks=[Steps()]), expected)
        assert not [r for r in caplog.records if r.name == "skimgcv"]
        optimizer = shared.optimizer
        keys = [optimizer._var_key(v) for v in shared.trainable_variables]
        assert list(optimizer._weight_decay_by_var_key) == keys  # its own again


def test_logits_that_only_the_config_tells_are_seen(monkeypatch):
    from skimgcv._models.targets import ClassTargets

    # So are SparseCategoricalCrossentropy's in Keras 3.16.
    probable, loss = (
        keras.losses.CategoricalCrossentropy(from_logits=logits) for logits in (False, True)
    )
    configs = {id(it): it.get_config() for it in (probable, loss)}
    monkeypatch.setattr(type(loss), "get_config", lambda self: configs[id(self)])
    for it in (probable, loss):
        del it.from_logits
    with seeded(0):
        model = keras.Sequential([layers.Input((4,)), layers.Dense(3, "relu")])
    assert ClassTargets.of(model, loss, {"n_classes_": 3}).logits
    assert not ClassTargets.of(model, probable, {"n_classes_": 3}).logits


def test_metrics_in_a_dict_are_the_one_outputs():
    metrics = {"b": "accuracy", "a": "sparse_categorical_crossentropy"}
    clf = classifier(metrics=metrics).fit(IMAGES, LABELS)
    assert isinstance(keras_internals.compile_arguments(clf.model_)["metrics"], list)
    assert list(clf.history_) == ["accuracy", "loss", "sparse_categorical_crossentropy"]
    assert same(clf.model_.get_weights(), classifier().fit(IMAGES, LABELS).model_.get_weights())


# -- batches ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    [
        ("trainers.data_adapters.data_adapter", "DataAdapter"),
        ("trainers.data_adapters", "get_data_adapter"),
    ],
    ids=".".join,
)
def test_without_its_adapter_keras_takes_batches_its_own_way(place, lacks):
    clear_compiled_models()
    expected = trained()
    versions.try_again()
    lacks(*place)
    with pytest.warns(UnsupportedVersionWarning, match=f"keras {VERSION} .*batches"):
        assert isinstance(Feed(Batches(IMAGES)).for_keras(), keras.utils.PyDataset)
    assert same(trained(), expected)


@pytest.mark.parametrize("new", ["method", "argument"])
def test_an_adapter_that_keras_asks_more_of_is_given_up(new, monkeypatch):
    base = keras_internals.private("trainers.data_adapters.data_adapter", "DataAdapter")

    def asked(self, other=None):
        raise NotImplementedError

    name = "get_other_iterator" if new == "method" else "get_numpy_iterator"
    monkeypatch.setattr(base, name, asked, raising=False)
    with pytest.warns(UnsupportedVersionWarning, match="batches"):
        assert keras_internals.adapted(Feed(Batches(IMAGES))) is None


def test_an_error_in_the_data_is_itself_without_the_adapter(lacks):
    class Broken(Batches):
        def __getitem__(self, index):
            if index == 1:
                raise ZeroDivisionError("in the data")
            return super().__getitem__(index)

    lacks("trainers.data_adapters.data_adapter", "DataAdapter")
    model = small()
    with pytest.warns(UnsupportedVersionWarning), pytest.raises(ZeroDivisionError, match="data"):
        fit_model(model, None, Broken(IMAGES, LABELS), epochs=1)


# -- seeds -----------------------------------------------------------------------------------


def _elsewhere(patch):
    patch.setattr(keras_internals, "_GLOBAL_SEED_GENERATOR", "where_it_was")


def _not_from_random(patch):
    module = importlib.import_module("keras.src.random.seed_generator")
    patch.setattr(module, "make_default_seed", iter(range(1, 99)).__next__)


@pytest.mark.parametrize("change", [_elsewhere, _not_from_random])
def test_numbers_that_cannot_be_seeded_are_refused(change, monkeypatch):
    change(monkeypatch)
    with pytest.raises(UnsupportedVersionError, match=f"keras {VERSION} .*random numbers"):
        classifier().fit(IMAGES, LABELS)


def test_seeds_of_layers_are_found_whatever_their_variables_are_called(monkeypatch):
    def augmented():
        with seeded(0):
            steps = keras.Sequential([layers.RandomFlip(), layers.RandomZoom(0.3)])
        augmenter = as_augmenter(steps)
        table = augmenter.draw(np.random.default_rng(0), len(IMAGES), IMAGES.shape[1:])
        return augmenter.apply(IMAGES, table)

    expected = augmented()
    create = keras.random.SeedGenerator.__init__

    def renamed(self, *args, **kwargs):
        create(self, *args, **kwargs)
        vars(self.state)["_name"] = vars(self.state)["name"] = "state_of_numbers"

    monkeypatch.setattr(keras.random.SeedGenerator, "__init__", renamed)
    assert layers.RandomFlip(seed=0).variables[0].name == "state_of_numbers"
    assert np.array_equal(augmented(), expected)
    assert not np.array_equal(expected, IMAGES)


def test_a_random_layer_without_a_seed_is_refused(monkeypatch):
    flip = layers.RandomFlip.__init__

    def by_other_means(self, *args, **kwargs):
        flip(self, *args, **kwargs)
        for name, value in list(vars(self).items()):
            if isinstance(value, keras.random.SeedGenerator):
                del vars(self)[name]
        vars(self)["_seed_generators"] = []

    monkeypatch.setattr(layers.RandomFlip, "__init__", by_other_means)
    augmenter = as_augmenter(layers.RandomFlip(seed=0))
    with pytest.raises(UnsupportedVersionError, match=f"keras {VERSION} .*seed RandomFlip"):
        augmenter.prepare(IMAGES, np.zeros(len(IMAGES), [("seed", np.uint64)]))


# -- files, pickles, models ------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted():
    """A classifier with all that a file may hold, and its predictions."""
    augmenter = ImageAugmenter(rescale=0.5)
    clf = classifier(augmenter=augmenter, metrics="accuracy").fit(IMAGES, LABELS)
    return clf, clf.predict_proba(IMAGES)


def _only_itself(layer, *_, **__):
    return [layer]


def _lists_nothing(patch):
    patch.setattr(keras.Sequential, "_flatten_layers", _only_itself, raising=False)


def _seeds_nothing(patch):
    nothing = property(lambda self: [], lambda self, value: None)
    patch.setattr(keras.Layer, "_seed_generators", nothing, raising=False)


@pytest.mark.parametrize("change", [_lists_nothing, _seeds_nothing])
def test_what_a_file_could_lack_without_a_word_is_refused(change, fitted, monkeypatch):
    clf, _ = fitted
    change(monkeypatch)
    with pytest.raises(UnsupportedVersionError, match=f"keras {VERSION} .*layers inside"):
        keras_internals.layers_in(clf.model_)
    with pytest.raises(UnsupportedVersionError, match=f"keras {VERSION} "):
        keras_internals.seed_generators(clf.model_)


@pytest.mark.parametrize("config", [{}, None])
def test_a_model_is_not_compiled_by_less_than_it_was(config, fitted, monkeypatch):
    kept = property(lambda self: types.SimpleNamespace(config=config))
    monkeypatch.setattr(keras.Model, "_compile_config", kept, raising=False)
    with pytest.raises(UnsupportedVersionError, match=f"keras {VERSION} .*compiled"):
        keras_internals.compile_arguments(fitted[0].model_)


def test_without_its_schedule_no_optimizer_is_pickled(monkeypatch):
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    optimizer = keras.optimizers.SGD(schedule)
    assert keras_internals.learning_rate_of(optimizer) is schedule
    del optimizer._learning_rate
    with pytest.raises(UnsupportedVersionError, match="schedule"):
        keras_internals.learning_rate_of(optimizer)


def test_scores_are_not_taken_for_probabilities(monkeypatch):
    with seeded(0):
        model = keras.Sequential([layers.Input((4,)), layers.Dense(3)])
    output = types.SimpleNamespace(shape=(None, 3))
    operation, inputs, place = keras_internals.call_of(model.outputs[0])
    assert operation is model.layers[-1]
    assert inputs[0] is model.inputs[0]
    assert place == 0
    with pytest.raises(UnsupportedVersionError, match="which layer"):
        keras_internals.call_of(output)


def test_versions_are_the_modules_own(monkeypatch, tmp_path, fitted):
    import cv2

    import skimgcv
    from skimgcv._persistence.saving import package_versions

    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)  # as of keras-nightly

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(keras, "__version__", "3.99.0.dev1")
    found = package_versions()
    assert found["keras"] == "3.99.0.dev1"
    assert (found["opencv"], found["skimgcv"]) == (cv2.__version__, skimgcv.__version__)
    fitted[0].save(tmp_path / "clf")


# -- SciKeras, scikit-learn, joblib, Dask ----------------------------------------------------


@pytest.mark.parametrize("method", scikeras_internals._READS)
def test_a_hook_that_scikeras_no_longer_calls_is_an_error(method, monkeypatch):
    wrapper = scikeras_internals.BaseWrapper
    monkeypatch.setattr(wrapper, method, lambda self: None)
    with pytest.raises(UnsupportedVersionError, match=r"scikeras .*build a model"):
        classifier().fit(IMAGES, LABELS)
    if method == "get_params":  # scikit-learn's, which it inherits
        return
    versions.try_again()
    monkeypatch.delattr(wrapper, method)
    with pytest.raises(UnsupportedVersionError, match=r"scikeras .*build a model"):
        classifier().fit(IMAGES, LABELS)


@pytest.mark.parametrize(
    "name", ["HasMethods", "Interval", "StrOptions", "validate_parameter_constraints"]
)
def test_without_its_words_no_parameter_is_checked(name, monkeypatch):
    names = importlib.import_module("sklearn.utils._param_validation")
    with monkeypatch.context() as patch:
        patch.delattr(names, name)
        patch.delitem(sys.modules, other_internals.__name__)
        with pytest.raises(UnsupportedVersionError, match=r"sklearn .*check parameters"):
            importlib.import_module(other_internals.__name__)


def test_callbacks_that_scikit_learn_keeps_elsewhere_are_not_passed_over():
    class Estimator:
        def set_callbacks(self, *callbacks):
            self._callbacks = callbacks

    with pytest.raises(UnsupportedVersionError, match=r"sklearn .*callbacks"):
        other_internals.listens_to_callbacks(Estimator())
    assert not other_internals.listens_to_callbacks(object())
    assert not other_internals.listens_to_callbacks(classifier())


@pytest.mark.parametrize("package", ["joblib", "distributed"])
def test_workers_that_are_not_known_are_said_to_be(package, monkeypatch):
    module = {"joblib": other_internals._LOKY, "distributed": "distributed.worker"}[package]
    fake = types.SimpleNamespace(Worker=type("Worker", (), {}))
    monkeypatch.setitem(sys.modules, module, fake)
    monkeypatch.setitem(sys.modules, package, types.SimpleNamespace(__version__="99"))
    with pytest.warns(UnsupportedVersionWarning, match=f"{package} 99 .*workers"):
        found = (
            other_internals.is_loky_worker()
            if package == "joblib"
            else other_internals.dask_workers()
        )
    assert not found


def test_a_hold_out_that_cannot_be_read_is_an_error():
    with pytest.raises(UnsupportedVersionError, match="validation_split"):
        other_internals.validation_split_of(object())
