"""The names that users import, and what importing them does."""

import inspect
import re
import subprocess
import sys

import pytest

import skimgcv
from skimgcv import AugmentedKerasClassifier, AugmentedKerasRegressor, ImageAugmenter

CONSTRUCTOR = [
    ("model", inspect.Parameter.empty),
    ("augmenter", None),
    ("class_augmenters", None),
    ("validation_augmenter", None),
    ("validation_split", 0.0),
    ("sampling_strategy", None),
    ("class_weight", None),
    ("multilabel", False),
    ("tta_rounds", 0),
    ("tta_augmenter", None),
    ("image_shape", None),
    ("augmentation_views", None),
    ("feature_cache", "memory"),
    ("optimizer", "adam"),
    ("loss", "auto"),
    ("metrics", None),
    ("batch_size", 32),
    ("epochs", 1),
    ("fine_tune_epochs", 0),
    ("fine_tune_layers", "all"),
    ("fine_tune_learning_rate", 1e-5),
    ("shuffle", True),
    ("callbacks", None),
    ("verbose", 0),
    ("random_state", None),
    ("warm_start", False),
]


OF_CLASSES = {"class_augmenters", "sampling_strategy", "class_weight", "multilabel"}


def parameters(function):
    return list(inspect.signature(function).parameters.values())


def test_the_constructor_is_what_users_wrote_down():
    *named, routed = parameters(AugmentedKerasClassifier)
    assert [(p.name, p.default) for p in named] == CONSTRUCTOR
    assert routed.kind is inspect.Parameter.VAR_KEYWORD
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in named[1:])


def test_the_regressor_has_all_that_is_not_of_classes():
    named = [(p.name, p.default) for p in parameters(AugmentedKerasRegressor)[:-1]]
    assert named == [(name, default) for name, default in CONSTRUCTOR if name not in OF_CLASSES]
    doc = inspect.getdoc(AugmentedKerasRegressor)  # Python 3.13 takes the indent away itself
    assert all(re.search(rf"^(\w+, )*{name}\b", doc, re.MULTILINE) for name, _ in named)


def test_fit_names_what_metadata_routing_must_know():
    names = [p.name for p in parameters(AugmentedKerasClassifier.fit)]
    assert names == [
        "self",
        "X",
        "y",
        "sample_weight",
        "class_weight",
        "groups",
        "validation_data",
        "checkpoint_dir",
    ]


def test_all_is_all():
    assert all(hasattr(skimgcv, name) for name in skimgcv.__all__)
    public = {n for n in dir(skimgcv) if n != "__version__"}
    modules = {n for n in public if inspect.ismodule(getattr(skimgcv, n))}
    assert set(skimgcv.__all__) == public - modules
    public_modules = {
        *("augment", "cluster", "display", "exceptions", "model_selection", "models", "report")
    }
    assert modules <= public_modules
    # help() opens with the docstring, whose list names what is there.
    listed = re.findall(r"^([A-Za-z_., ]+)$(?=\n    )", skimgcv.__doc__, re.MULTILINE)
    names = [name.removeprefix("skimgcv.") for line in listed for name in line.split(", ")]
    assert len(names) > 10
    assert set(names) <= public | public_modules


@pytest.mark.parametrize(
    "item", [AugmentedKerasClassifier, AugmentedKerasRegressor, ImageAugmenter]
)
def test_everything_public_is_documented(item):
    for name, member in inspect.getmembers(item, inspect.isfunction):
        if not name.startswith("_") and member.__module__.startswith("skimgcv"):
            doc = inspect.getdoc(member) or ""
            assert doc, name
            for parameter in parameters(member)[1:]:
                assert parameter.name in doc, f"{name}: {parameter.name}"


def test_names_that_need_no_keras_wait_for_none():
    script = """
import sys
import skimgcv
assert {"AugmentedKerasClassifier", "ImageFiles"} <= set(dir(skimgcv))
skimgcv.ImageFiles([], (8, 8)).verify(progress=False)
assert not {"keras", "tensorflow"} & set(sys.modules)
skimgcv.AugmentedKerasClassifier
assert "keras" in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_importing_starts_no_runtime_and_changes_no_generator():
    script = """
import random, sys
import keras, numpy, scikeras.wrappers  # whose imports have effects of their own
before = random.getstate(), numpy.random.get_state()[1].tolist()
from skimgcv import *
assert before == (random.getstate(), numpy.random.get_state()[1].tolist())
from tensorflow.python.eager import context
assert context._context is None or not context._context._initialized
assert not {"albumentations", "jinja2", "skimgcv.report"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_report_is_documented():
    from skimgcv.report import CrossValidationReport

    assert "Examples\n" in inspect.getdoc(CrossValidationReport)
    test_everything_public_is_documented(CrossValidationReport)


def test_displays_are_there_and_documented():
    from skimgcv import display

    for name in display.__all__:
        item = getattr(display, name)
        assert "Examples\n" in inspect.getdoc(item), name
        test_everything_public_is_documented(item)
        assert parameters(item.plot)[1].name == "ax", name
