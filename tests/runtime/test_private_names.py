"""Each private name in the door is taken away in turn: the same numbers, or an error.

A name is renamed in the door's own code. So it is to us as if the other package had renamed it,
while that package itself goes on. The names are read from the door's files: one that is new and
has no line here fails.
"""

import ast
import pickle
import re
import sys
import types
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from samples import classifier

from skimgcv import AugmentedKerasClassifier, ImageAugmenter, clear_compiled_models
from skimgcv._batches.feed import Feed
from skimgcv._compiled.canary import models_share_steps
from skimgcv._compiled.run import fit_model
from skimgcv._runtime import (
    keras_internals,
    other_internals,
    scikeras_internals,
    step_internals,
    versions,
)
from skimgcv._runtime.seeding import seeded
from skimgcv.exceptions import UnsupportedVersionError, UnsupportedVersionWarning

RNG = np.random.default_rng(0)
IMAGES = RNG.random((20, 6, 6, 1), dtype="float32")
LABELS = np.arange(20) % 2
DOOR = (keras_internals, step_internals, scikeras_internals, other_internals)
# Names that look public, of things that are not.
OTHERS = {
    "LokyProcess",
    "Worker",
    "clear_kernel_cache",
    "device_name",
    "disable_op_determinism",
    "enable_op_determinism",
    "flash_attention",
    "get_next_as_optional",
    "global_seed_generator",
    "is_op_determinism_enabled",
    "object_name_uids",
    "one_step_on_data",
    "uninitialized_variables",
}

PUBLIC_TOO = {"load_model", "save_model"}

# -- which names there are -------------------------------------------------------------------


def names_in(module):
    """Private names that a file of the door reads, writes or asks for by their places."""
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    own = {n.name for n in tree.body if hasattr(n, "name")} | {"_function"}  # part of a name
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
            if isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
                own.add(node.attr)
        elif isinstance(node, ast.ImportFrom) and re.search(
            r"^sklearn.*\._|\.python\.", node.module
        ):
            found |= {f"{alias.name}!" for alias in node.names if alias.name != "config"}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("private", "_private"):
            found |= {f"{a.value}!" for a in node.args[1:] if isinstance(a, ast.Constant)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    known = {n.rstrip("!") for n in found if n.endswith("!")}
    private = {n for n in found if re.fullmatch(r"_[a-z]\w*", n)}
    return known | (private - own) | (found & OTHERS)


# -- how one is taken away -------------------------------------------------------------------


def renamed(it, old, new, space):
    """A constant, or code with all its constants, in which one name is another."""
    if isinstance(it, types.CodeType):
        return it.replace(
            # Not where it is a name of our own, or a public one.
            co_names=tuple(
                new if n == old and n not in space and n not in PUBLIC_TOO else n
                for n in it.co_names
            ),
            co_consts=tuple(renamed(c, old, new, space) for c in it.co_consts),
        )
    if isinstance(it, (tuple, set, frozenset)):
        return type(it)(renamed(item, old, new, space) for item in it)
    return new if isinstance(it, str) and it == old else it


def functions_in(module):
    """All functions that a file defines, behind decorators too."""
    waiting, known = list(vars(module).values()), set()
    while waiting:
        it = waiting.pop()
        if id(it) in known:
            continue
        known.add(id(it))
        if isinstance(it, type) and it.__module__ == module.__name__:
            waiting += [getattr(member, "fget", member) for member in vars(it).values()]
        waiting.append(getattr(it, "__wrapped__", None))
        if isinstance(it, types.FunctionType):
            waiting += [cell.cell_contents for cell in it.__closure__ or ()]
            if it.__code__.co_filename == module.__file__:
                yield it


@pytest.fixture
def take_away(monkeypatch):
    """Rename something in a file of the door, until the test ends."""
    changed = []

    def rename(module, name):
        new, space = f"{name}_of_yore", vars(module)
        for function in list(functions_in(module)):
            monkeypatch.setattr(function, "__code__", renamed(function.__code__, name, new, space))
        for own, value in list(space.items()):
            if isinstance(value, set) and name in value:  # which other files may have imported
                changed.append((value, name, new))
                value ^= {name, new}
            elif isinstance(value, (str, tuple)) and not own.startswith("__"):
                monkeypatch.setattr(module, own, renamed(value, name, new, space))
            elif isinstance(value, dict) and not own.startswith("__"):
                monkeypatch.setattr(
                    module,
                    own,
                    dict(renamed(item, name, new, space) for item in value.items()),
                )
        versions.try_again()

    versions.try_again()
    yield rename
    for value, name, new in changed:
        value ^= {name, new}
    monkeypatch.undo()
    versions.try_again()


# -- what then happens -----------------------------------------------------------------------


def build(meta=None):
    with seeded(0):
        model = keras.Sequential(
            [layers.Input((6, 6, 1)), layers.Dropout(0.25), layers.Flatten(), layers.Dense(2)]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.AdamW(0.1), loss, metrics=["accuracy"])
    return model


class Batches(keras.utils.PyDataset):
    num_batches = 3

    def __getitem__(self, index):
        rows = slice(8 * index, 8 * index + 8)
        return IMAGES[rows], LABELS[rows]


def trained():
    model = build()
    history = fit_model(model, build, Batches(), epochs=1, validation=Batches())
    return [*model.get_weights(), *map(np.array, history.values())]


@pytest.fixture(autouse=True)
def _switch_goes_back():
    before = keras_internals.op_determinism()
    yield
    keras_internals.set_op_determinism(before)


@pytest.fixture(scope="module")
def expected():
    clear_compiled_models()
    return trained()


@pytest.fixture(scope="module")
def fitted():
    """A classifier with all that a file may hold."""
    augmenter = ImageAugmenter(rescale=0.5)
    return classifier(build, augmenter=augmenter, epochs=1).fit(IMAGES, LABELS)


def same(a, b):
    return len(a) == len(b) and all(map(np.array_equal, a, b))


def draws(fitted, path):
    with seeded(0):
        keras.random.uniform(())


def saves(fitted, path):
    fitted.save(path)
    AugmentedKerasClassifier.load(path)


def spares(fitted, path):
    keras_internals.spares_variables(keras.optimizers.SGD())


def decays(fitted, path):
    model = fitted.model_
    keras_internals.decays(model.optimizer, model.trainable_variables[0])


def is_spread(fitted, path):
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        model = build()
    with step_internals.built_once(model):
        pass


def builds(fitted, path):
    classifier(build).fit(IMAGES, LABELS)


def splits(fitted, path):
    generator = keras_internals.private("legacy.preprocessing.image", "ImageDataGenerator")(
        validation_split=0.25
    )
    assert other_internals.validation_split_of(generator) == 0.25


def feeds():
    return Feed(Batches()).for_keras()


class Listens:
    """An estimator with a callback, where scikit-learn 1.9 keeps it."""

    def __init__(self):
        self._skl_callbacks = []

    def set_callbacks(self):
        return self._skl_callbacks

    def _init_callback_context(self, max_subtasks):
        return max_subtasks


# Which error tells of each: that the name is missing.
REFUSED = {
    keras_internals: {
        "ObjectSharingScope": saves,
        "SafeModeScope": saves,
        "_compile_config": lambda f, _: keras_internals.compile_arguments(f.model_),
        "_exclude_from_weight_decay": spares,
        "_exclude_from_weight_decay_pattern": spares,
        "_flatten_layers": lambda f, _: keras_internals.layers_in(f.model_),
        "_inbound_nodes": lambda f, _: keras_internals.call_of(f.model_.outputs[0]),
        "_keras_history": lambda f, _: keras_internals.call_of(f.model_.outputs[0]),
        "_learning_rate": lambda f, _: keras_internals.learning_rate_of(f.model_.optimizer),
        "_seed_generators": lambda f, _: keras_internals.seed_generators(f.model_),
        "_use_weight_decay": decays,
        "disable_op_determinism": lambda *_: keras_internals.set_op_determinism(False),
        "dtype_size": saves,
        "enable_op_determinism": lambda *_: keras_internals.set_op_determinism(True),
        "flash_attention": lambda *_: keras_internals.flash_attention(),
        "get_global_attribute": draws,
        "get_name_from_symbol": saves,
        "get_symbol_from_name": saves,
        "global_seed_generator": draws,
        "initialize_all_variables": saves,
        "is_op_determinism_enabled": lambda *_: keras_internals.op_determinism(),
        "object_name_uids": builds,
        "set_global_attribute": draws,
        "to_snake_case": builds,
        "uninitialized_variables": saves,
    },
    step_internals: {"_maybe_symbolic_build": is_spread},
    scikeras_internals: {
        "_fit_callbacks": builds,
        "_get_compile_kwargs": builds,
        "_get_param_names": builds,
        "_initialize_callbacks": builds,
        "_predict_callbacks": builds,
        "get_params": builds,
    },
    other_internals: {
        "_init_callback_context": lambda *_: other_internals.begin_task(Listens(), 1),
        "_skl_callbacks": lambda *_: other_internals.listens_to_callbacks(Listens()),
        "_validation_split": splits,
    },
}
# What is done another way, and a warning says so.
GIVEN_UP = {
    keras_internals: {"DataAdapter": feeds, "get_data_adapter": feeds},
    step_internals: {
        "_all_reduce_sum_gradients": lambda: step_internals.reduce_nothing([]),
        "clear_kernel_cache": step_internals.drop_kernels,
        "filter_empty_gradients": lambda: step_internals.reduce_nothing([]),
    },
    other_internals: {
        "LokyProcess": other_internals.is_loky_worker,
        "Worker": other_internals.dask_workers,
        "_instances": other_internals.dask_workers,
    },
}
# Pickles are made and read another way, and are the same.
OTHER_WAY = {"load_model", "save_model"}
# Only a fit that was interrupted in another process could see it: it would begin anew.
ELSEWHERE = {"_weight_decay_by_var_key"}
if hasattr(keras.optimizers.Optimizer, "_is_excluded_from_weight_decay"):  # Keras 3.16
    # Each stands in for the other.
    del REFUSED[keras_internals]["_use_weight_decay"]
    ELSEWHERE |= {"_use_weight_decay"}
ELSEWHERE |= {"_is_excluded_from_weight_decay"}
# Without these no models share steps. Without the others of that file they do, or they do not.
ESSENTIAL = {
    "CompileLoss",
    "SymbolicArguments",
    "Tracker",
    "_aggregation",
    "_autocast",
    "_compile_loss",
    "_compile_metrics",
    "_compute_loss",
    "_constraint",
    "_dtype",
    "_overwrite_with_gradient",
    "_post_build",
    "_regularizer",
    "_shape",
    "_symbolic_build",
    "_trainable",
    "_trainable_variables_indices",
    "_value",
    "compute_output_spec",
    "context",
    "device_name",
}
# What two models may differ in.
LEFT_OUT = {
    name
    for names in vars(step_internals).values()
    if isinstance(names, set)
    for name in names & names_in(step_internals)
}
# Imported with their file: test_keras_internals has them.
IMPORTED = {"HasMethods", "Interval", "StrOptions", "validate_parameter_constraints"}


def cases(table):
    return [
        pytest.param(module, name, use, id=f"{module.__name__.rpartition('.')[2]}-{name}")
        for module, names in table.items()
        for name, use in names.items()
    ]


@pytest.mark.parametrize("module", DOOR, ids=lambda module: module.__name__)
def test_no_name_is_without_a_test(module):
    found = names_in(module)
    assert found
    if module is not step_internals:  # of which all are tried below
        tested = OTHER_WAY | ELSEWHERE | IMPORTED
        assert found <= tested | set(REFUSED[module]) | set(GIVEN_UP.get(module, ()))
    assert set(GIVEN_UP.get(module, ())) <= found


@pytest.mark.parametrize(("module", "name", "use"), cases(REFUSED))
def test_an_error_says_what_is_missing(module, name, use, fitted, take_away, tmp_path):
    use(fitted, tmp_path / "before")
    take_away(module, name)
    with pytest.raises(UnsupportedVersionError, match="lacks something that skimgcv needs to"):
        use(fitted, tmp_path / "after")


@pytest.mark.parametrize(("module", "name", "use"), cases(GIVEN_UP))
def test_a_warning_says_what_is_done_another_way(module, name, use, take_away, monkeypatch):
    class Process:
        _instances = ()

    loaded = types.SimpleNamespace(LokyProcess=Process, Worker=Process, __version__="99")
    for place in ("joblib.externals.loky.backend.process", "distributed.worker", "distributed"):
        if module is other_internals:
            monkeypatch.setitem(sys.modules, place, loaded)
    use()
    take_away(module, name)
    with pytest.warns(UnsupportedVersionWarning, match="does not support"):
        use()


@pytest.mark.parametrize("name", sorted(names_in(step_internals)))
def test_steps_are_the_same_or_not_shared(name, expected, take_away):
    take_away(step_internals, name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UnsupportedVersionWarning)
        shared = models_share_steps()
        assert shared or name in ESSENTIAL or "compiled for itself" in str(caught[-1].message)
        if shared:
            assert name not in ESSENTIAL
            # What is no longer left out of a comparison can only make models look different.
            assert name in LEFT_OUT or same(trained(), expected)


@pytest.mark.parametrize("names", [LEFT_OUT, {"CompileLoss"}], ids=["all left out", "one name"])
def test_steps_that_are_not_shared_are_the_same(names, expected, take_away):
    for name in sorted(names):
        take_away(step_internals, name)
    with pytest.warns(UnsupportedVersionWarning, match="each model is compiled for itself"):
        assert same(trained(), expected)


@pytest.mark.parametrize("name", sorted(OTHER_WAY))
def test_pickles_are_the_same(name, fitted, take_away):
    expected = fitted.predict_proba(IMAGES)
    take_away(keras_internals, name)
    copied = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copied.predict_proba(IMAGES), expected)


def test_every_use_says_which_versions_it_was_seen_in():
    for module in DOOR:
        text = Path(module.__file__).read_text(encoding="utf-8")
        parts = re.split(r"\n\n\n", text)
        for part in parts:
            try:
                tree = ast.parse(part)
            except SyntaxError:
                continue
            named = any(
                isinstance(node, ast.FunctionDef)
                and not node.name.startswith("_")
                and node.name != "private"
                and re.search(r"private\(|\.python\.|\._[a-z]", ast.unparse(node))
                for node in tree.body
            )
            assert not named or "Seen in" in part, part[:300]
