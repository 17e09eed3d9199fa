"""Objects are known by what they are made of, in any process; what is not made so is refused."""

import builtins
import collections
import dataclasses
import datetime
import enum
import fractions
import functools
import importlib.metadata
import logging
import os
import pathlib
import random
import re
import threading
import time
import types
from random import randint

import cv2
import keras
import numpy as np
import pytest
from keras import layers
from sklearn.decomposition import PCA

from skimgcv._compiled.content import content_digest
from skimgcv._compiled.values import UnprovableError
from skimgcv._runtime.libraries import package_of, versions_of
from skimgcv._runtime.seeding import seeded
from skimgcv.augment import as_augmenter

ROWS = np.random.default_rng(0).random((16, 8))


@pytest.fixture(autouse=True)
def _own_numbers(own_random):
    # Layers draw their seeds from them.
    random.seed()


@dataclasses.dataclass(frozen=True)
class Settings:
    by: float = 2.0
    names: tuple = ("a", "b")


class Mode(enum.Enum):
    FAST = 1
    SLOW = 2


class Slots:
    __slots__ = ("by",)

    def __init__(self, by):
        self.by = by


class Items(list):
    """More than a list."""

    def __init__(self, *items, by=1):
        super().__init__(items)
        self.by = by


def cached(factor):
    @functools.lru_cache
    def helper(x):
        return x * factor

    return lambda image, rng: image * helper(2)


def network(seed):
    with seeded(seed):
        return keras.Sequential([layers.Input((2,)), layers.Dense(2)])


def augmenters(*makers):
    return [lambda make=make: as_augmenter(make()) for make in makers]


def tf_constant(value):
    import tensorflow as tf

    return tf.constant(value)


def tf_variable():
    import tensorflow as tf

    return tf.Variable(1.0)


def transform(**options):
    import albumentations

    return albumentations.Compose([albumentations.RandomBrightnessContrast(**options)])


def own_transform(by):
    import albumentations

    class Scale(albumentations.ImageOnlyTransform):
        def apply(self, img, **params):
            return img * by

    return Scale(p=0.5)


def generator(by, kind=None):
    from tensorflow.keras.preprocessing.image import ImageDataGenerator

    class Own(ImageDataGenerator):
        def standardize(self, x):
            return x / by

    return Own() if kind else ImageDataGenerator(rotation_range=by)


# Pairs of things that differ: each equals itself, made anew, and not the other.
KNOWN = {
    "dataclass": (lambda: Settings(2.0), lambda: Settings(3.0)),
    "enum": (lambda: Mode.FAST, lambda: Mode.SLOW),
    "slots": (lambda: Slots(1), lambda: Slots(2)),
    "own list": (lambda: Items(1, by=1), lambda: Items(1, by=2)),
    "own list's items": (lambda: Items(1), lambda: Items(2)),
    "path": (lambda: pathlib.Path("a"), lambda: pathlib.Path("b")),
    "date": (lambda: datetime.date(2026, 1, 1), lambda: datetime.date(2026, 1, 2)),
    "fraction": (lambda: fractions.Fraction(1, 2), lambda: fractions.Fraction(1, 3)),
    "pattern": (lambda: re.compile("a"), lambda: re.compile("a", re.IGNORECASE)),
    "set": (lambda: {"a", "b", ("c", 1.5)}, lambda: {"a", "b", ("c", 2.5)}),
    "ordered dict": (lambda: collections.OrderedDict(a=1), lambda: collections.OrderedDict(a=2)),
    "default of a dict": (
        lambda: collections.defaultdict(int, a=1),
        lambda: collections.defaultdict(float, a=1),
    ),
    "length of a deque": (lambda: collections.deque([1], 3), lambda: collections.deque([1], 4)),
    "fields": [lambda n=n: np.zeros(2, dtype=[(n, "f4")]) for n in ("a", "b")],
    "array of objects": (
        lambda: np.array(["a", None], object),
        lambda: np.array(["b", None], object),
    ),
    "mask": (lambda: np.ma.array([1, 2], mask=[0, 1]), lambda: np.ma.array([1, 3], mask=[1, 1])),
    "large number": (lambda: 10**5000, lambda: 10**5000 + 1),
    "sign of zero": (lambda: 0.0, lambda: -0.0),
    "ufunc": (lambda: np.add, lambda: np.multiply),
    "logger": (lambda: logging.getLogger("a"), lambda: logging.getLogger("b")),
    "method of C": (lambda: "abc".find, lambda: "abd".find),
    "function of a package": (lambda: cv2.GaussianBlur, lambda: cv2.medianBlur),
    "estimator": (lambda: PCA(2).fit(ROWS), lambda: PCA(2).fit(ROWS[:, ::2])),
    "model": [lambda s=s: network(s) for s in (0, 1)],
    "tensor": (lambda: tf_constant(1.0), lambda: tf_constant(2.0)),
    "cached helper": augmenters(lambda: cached(2), lambda: cached(3)),
    "transform": augmenters(*(lambda p=p: transform(p=p) for p in (0.5, 0.6))),
    "own transform": augmenters(lambda: own_transform(2), lambda: own_transform(3)),
    "generator": augmenters(lambda: generator(20), lambda: generator(21)),
    "own generator": augmenters(lambda: generator(2, "own"), lambda: generator(3, "own")),
}


@pytest.mark.parametrize("pair", KNOWN.values(), ids=KNOWN)
def test_objects_are_known_by_what_they_are_made_of(pair):
    first, second = pair
    assert content_digest([first()]) == content_digest([first()])
    assert content_digest([first()]) != content_digest([second()])


def typed(text, **names):
    """Run a user's text, and return what it calls ``it``."""
    space = {"__name__": "typed", **names}
    exec(text, space)
    return space["it"]


def test_two_copies_of_a_helper_are_as_good_as_one():
    # A pickle has two where the loss and the metrics, say, travel apart.
    def pair(shared):
        helper = typed("def it(x):\n    return it(x - 1) if x else 0")
        other = helper if shared else typed("def it(x):\n    return it(x - 1) if x else 0")
        return [
            typed("def it(x):\n    return helper(x) + 1", helper=helper),
            typed("def it(x):\n    return helper(x) + 2", helper=other),
        ]

    assert content_digest(pair(shared=True)) == content_digest(pair(shared=False))


def test_one_list_in_two_places_is_not_two_lists():
    one = [1]
    assert content_digest([one, one]) != content_digest([one, [1]])


def test_what_is_known_by_its_name_brings_its_packages_version():
    ((name, version, content),) = versions_of({"albumentations"})
    assert (name, version) == ("albumentations", importlib.metadata.version("albumentations"))
    assert name in content_digest(transform(p=0.5))
    # Installed again, one version may have other code.
    assert len(content) == 32


@pytest.mark.parametrize(
    ("module", "file", "package"),
    [
        ("statistics", None, "python"),
        ("statistics", "/elsewhere/statistics.py", None),
        ("keras.src.ops", None, "keras"),
        ("cv2", None, "cv2"),
        ("__main__", "/elsewhere/train.py", None),
        ("not_there", None, None),
    ],
)
def test_packages_are_told_from_the_users_files(module, file, package):
    assert package_of(module, file) == package


def test_a_file_that_is_set_for_builtins_changes_no_trust(monkeypatch):
    # As a gallery does, to give examples a `__file__`.
    monkeypatch.setattr(builtins, "__file__", "/tmp/mine.py", raising=False)
    assert package_of("builtins") == "python"


def counting():
    count = 0

    def augment(image, rng):
        nonlocal count
        count += 1
        return image

    return augment


def of_the_clock(image, rng):
    return image * time.time()


def of_numpys_numbers(image, rng):
    return image * np.random.normal()  # noqa: NPY002


def of_pythons_numbers(image, rng):
    return image * randint(0, 1)


def of_the_surroundings(image, rng):
    return image * len(os.environ)


def of_a_global(image, rng):
    global COUNT
    COUNT += 1
    return image


COUNT = 0


def of_a_file(image, rng):
    with open("factor.txt") as file:
        return image * float(file.read())


UNKNOWN = {
    "open file": (lambda: open(__file__), r"^part\.value: a TextIOWrapper"),  # noqa: SIM115
    "lock": (threading.Lock, r"^part\.value: an object of _thread\.lock"),
    "generator of numbers": (
        lambda: [np.random.default_rng(0)],
        r"^part\.value\[0\]: a Generator",
    ),
    "random.Random": (lambda: random.Random(0), "a Random"),
    "method of random's": (lambda: random.shuffle, "a Random"),
    "iterator": (lambda: iter([1, 2]), "list_iterator, which moves on"),
    "generator": (lambda: (i for i in "ab"), "generator, which moves on"),
    "module": (lambda: os, "the module os"),
    "counter": (counting, "count, which no checkpoint keeps"),
    "counter in a global": (lambda: of_a_global, "COUNT, which no checkpoint keeps"),
    "clock": (lambda: of_the_clock, "of_the_clock uses the module time"),
    "NumPy's numbers": (lambda: of_numpys_numbers, "of_numpys_numbers uses numpy and random"),
    "Python's numbers": (lambda: of_pythons_numbers, "a Random"),
    "environment": (lambda: of_the_surroundings, "of_the_surroundings uses the module os"),
    "file that is opened": (lambda: of_a_file, r"of_a_file uses open\(\)"),
    "set of objects": (lambda: {types.SimpleNamespace}, "a set of more"),
    "memory view": (lambda: memoryview(b"a"), "memoryview"),
    "a variable of TensorFlow's": (lambda: tf_variable(), "a variable that is not Keras'"),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(("make", "said"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_cannot_be_known_is_named(make, said):
    with pytest.raises(UnprovableError, match=said):
        content_digest({"part": types.SimpleNamespace(value=make())})
