"""What fuzzed calls are made of: forms that are right, and everything that is not."""

import datetime
import decimal
import fractions
import types

import keras
import numpy as np
import pandas as pd
import polars as pl
from scipy import sparse

from skimgcv import ImageAugmenter


class OwnArray(np.ndarray):
    pass


# -- images: (n, height, width, channels) ------------------------------------------------------

SHAPES = [(4, 4, 1), (4, 4, 1), (3, 5, 3), (1, 1, 1), (1, 5000, 1), (5000, 1, 1), (3, 2, 512)]
DTYPES = ["u1", "i1", "u2", "i2", "i4", "u8", "i8", "f2", "f4", "f8", "?", "longdouble"]


def images(rng, n, shape, dtype):
    return rng.integers(0, 120, (n, *shape)).astype(dtype)


def as_pixels(images):
    """What a model gets of plain images."""
    return np.array(images, dtype=np.float32)


def _strided(images):
    doubled = np.repeat(images, 2, axis=2)
    return doubled[:, :, ::2]


def _objects(images):
    out = np.empty(len(images), object)
    out[:] = list(images)
    return out


FORMS = {
    "as they are": lambda a: a,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "little-endian": lambda a: a.astype(a.dtype.newbyteorder("<")),
    "Fortran order": np.asfortranarray,
    "strided": _strided,
    "reversed": lambda a: a[::-1].copy()[::-1],
    "transposed": lambda a: np.ascontiguousarray(a.transpose(3, 1, 2, 0)).transpose(3, 1, 2, 0),
    "unaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
    "a subclass": lambda a: a.view(OwnArray),
    "a list of images": list,
    "a tuple of images": tuple,
    "nested lists": lambda a: a.tolist() if a.size < 999 else list(a),
    "an array of images": _objects,
    "no last axis": lambda a: a[..., 0] if a.shape[3] == 1 else a,
    "flat": lambda a: a.reshape(len(a), -1),
    "a data frame": lambda a: (
        pd.DataFrame(a.astype("f4").reshape(len(a), -1)[:, :])
        if a.shape[1] * a.shape[2] < 99
        else a
    ),
}


def _with(value):
    def put(images):
        changed = images.astype(np.float64)
        changed[len(changed) // 2].flat[-1] = value
        return changed

    return put


WRONG_X = {
    "no rows": lambda a: a[:0],
    "no height": lambda a: a[:, :0],
    "no width": lambda a: a[:, :, :0],
    "no channels": lambda a: a[..., :0],
    "1-D": lambda a: a[:, 0, 0, 0],
    "5-D": lambda a: a[None],
    "NaN": _with(np.nan),
    "infinity": _with(-np.inf),
    "too large for float32": _with(1e39),
    "complex": lambda a: a.astype(complex),
    "text": lambda a: a.astype(str),
    "bytes": lambda a: a.astype("S8"),
    "objects": lambda a: a.astype(object),
    "dates": lambda a: a.astype("M8[s]"),
    "durations": lambda a: a.astype("m8[s]"),
    "void": lambda a: np.zeros(len(a), "V5"),
    "a record": lambda a: np.zeros((len(a), 3, 3, 1), [("a", "f4"), ("b", "i4")]),
    "masked": lambda a: np.ma.masked_less(a, 3),
    "masked images": lambda a: [np.ma.masked_less(i, 3) for i in a],
    "sparse": lambda a: sparse.csr_array(a.reshape(len(a), -1).astype("f8")),
    "ragged": lambda a: [*a[:-1], a[-1][:, :0]],
    "images of two sizes": lambda a: [*a[:-1], np.zeros((9, 9, 1))],
    "a list of None": lambda a: [None] * len(a),
    "an image missing": lambda a: [*a[:-1], None],
    "an image as text": lambda a: [*a[:-1], "image.png"],
    "paths": lambda a: [f"{i}.png" for i in range(len(a))],
    "None": lambda a: None,
    "a number": lambda a: 3.5,
    "a text": lambda a: "images",
    "a dict": lambda a: {"images": a},
    "a set": lambda a: {1, 2, 3},
    "a function": lambda a: lambda: a,
    "a class": lambda a: np.ndarray,
    "deep lists": lambda a: [[[[[[1]]]]]],
}


# -- labels ------------------------------------------------------------------------------------

LABELS = {
    "numbers": [0, 1, 2],
    "negative numbers": [-5, 0, 17],
    "large numbers": [-(2**63), 2**63 - 2, 2**63 - 1],
    "larger numbers": [2**63, 2**63 + 1, 2**64 - 1],
    "whole floats": [0.0, 1.0, -3.0],
    "truth": [False, True],
    "words": ["ant", "bee", "cow"],
    "long words": ["a" * 1000, "a" * 999 + "b", "b"],
    "words of all scripts": ["ä", "日本", "😀", ""],
}


def _sorted(labels):
    return sorted(set(labels))


for _name in LABELS:
    LABELS[_name] = _sorted(LABELS[_name])


def _numpy(labels):
    return np.array(labels, dtype=None if not isinstance(labels[0], int) else _fitting(labels))


def _fitting(labels):
    if isinstance(labels[0], bool):
        return bool
    return np.uint64 if max(labels) > 2**63 - 1 else np.int64


Y_FORMS = {
    "array": _numpy,
    "list": list,
    "tuple": tuple,
    # scikit-learn takes texts alone as objects.
    "objects": lambda y: np.array([*y, None], object)[:-1] if isinstance(y[0], str) else y,
    "read-only": lambda y: np.frombuffer(_numpy(y).tobytes(), _numpy(y).dtype),
    "strided": lambda y: np.repeat(_numpy(y), 2)[::2],
    "big-endian": lambda y: _numpy(y).astype(_numpy(y).dtype.newbyteorder(">")),
    "subclass": lambda y: _numpy(y).view(OwnArray),
    "column": lambda y: _numpy(y).reshape(-1, 1),
    "pandas": pd.Series,
    "pandas, shuffled index": lambda y: pd.Series(y, index=range(len(y), 0, -1)),
    "pandas, categorical": lambda y: pd.Series(y).astype("category"),
    "pandas, nullable": lambda y: pd.Series(_numpy(y)).convert_dtypes(),
    "polars": lambda y: pl.Series(_numpy(y)),
    "polars, categorical": lambda y: (
        pl.Series(y, dtype=pl.Categorical) if isinstance(y[0], str) else pl.Series(_numpy(y))
    ),
}

WRONG_Y = {
    "None": lambda y: None,
    "one class": lambda y: [y[0]] * len(y),
    "short": lambda y: y[:-1],
    "long": lambda y: [*y, y[0]],
    "empty": lambda y: [],
    "NaN": lambda y: [float("nan"), *range(len(y) - 1)],
    "a label missing": lambda y: [None, *map(str, y[1:])],
    "missing in pandas": lambda y: pd.Series([pd.NA, *map(str, y[1:])]),
    "missing in a category": lambda y: pd.Series([None, *map(str, y[1:])], dtype="category"),
    "missing in polars": lambda y: pl.Series([None, *map(str, y[1:])]),
    "mixed types": lambda y: [1, "1"] * (len(y) // 2) + [1] * (len(y) % 2),
    "mixed types in objects": lambda y: np.array([1, "1"] * len(y), object)[: len(y)],
    "continuous": lambda y: np.arange(len(y)) / 7,
    "infinite": lambda y: [np.inf, *range(len(y) - 1)],
    "complex": lambda y: np.arange(len(y)) + 0j,
    "bytes": lambda y: [b"a"] + [b"b"] * (len(y) - 1),
    "masked": lambda y: np.ma.masked_equal(np.arange(len(y)) % 2, 0),
    "3-D": lambda y: np.zeros((len(y), 1, 1)),
    "ragged": lambda y: [[1], [1, 2]] * len(y),
    "several labels": lambda y: np.ones((len(y), 3), int),
    "shares": lambda y: np.full((len(y), 3), 1 / 3),
    "a frame": lambda y: pd.DataFrame({"a": range(len(y)), "b": range(len(y))}),
    "a number": lambda y: 3,
    "a text": lambda y: "labels",
    "a dict": lambda y: {0: 1},
    "a set": lambda y: set(range(len(y))),
    "functions": lambda y: [len] * len(y),
    "lists": lambda y: [[str(i)] for i in range(len(y) - 1)],
}

# -- weights and groups ------------------------------------------------------------------------

WEIGHT_FORMS = {
    "array": lambda w: w,
    "list": lambda w: w.tolist(),
    "tuple": lambda w: tuple(w.tolist()),
    "float16": lambda w: w.astype("f2"),
    "big-endian": lambda w: w.astype(">f8"),
    "whole": lambda w: np.ceil(w).astype("i4"),
    "truth": lambda w: w > 0,
    "pandas": pd.Series,
    "polars": pl.Series,
    "objects": lambda w: w.astype(object),
    "strided": lambda w: np.repeat(w, 2)[::2],
}


def as_weights(weights):
    return np.array(list(weights), dtype=np.float64)


WRONG_WEIGHTS = {
    "negative": lambda w: -w,
    "NaN": lambda w: w * np.nan,
    "infinite": lambda w: w * np.inf,
    "too large for float32": lambda w: w * 1e300,
    "zero": lambda w: w * 0,
    "short": lambda w: w[:-1],
    "long": lambda w: [*w, 1],
    "empty": lambda w: [],
    "2-D": lambda w: w[:, None],
    "a number": lambda w: 2.0,
    "a text": lambda w: "balanced",
    "texts": lambda w: ["heavy"] * len(w),
    "None inside": lambda w: [None, *w[1:]],
    "complex": lambda w: w + 1j,
    "dates": lambda w: w.astype("M8[s]"),
    "masked": lambda w: np.ma.masked_less(w, 1),
    "missing in pandas": lambda w: pd.Series([pd.NA, *w[1:]]),
    "missing in polars": lambda w: pl.Series([None, *w[1:]]),
    "a dict": lambda w: dict(enumerate(w)),
    "a set": lambda w: set(w),
    "ragged": lambda w: [[1], [1, 2]] * len(w),
    "sparse": lambda w: sparse.csr_array(w[None]),
    "a function": lambda w: len,
}
WRONG_CLASS_WEIGHTS = {
    name: lambda _, value=value: value
    for name, value in {
        "a word": "balance",
        "a list": [1, 2, 3],
        "an array": np.ones(3),
        "a number": 2.0,
        "true": True,
        "negative": {0: -1.0},
        "NaN": {0: np.nan},
        "infinite": {0: np.inf},
        "text": {0: "heavy"},
        "none": {0: None},
        "complex": {0: 1j},
        "lists": {0: [1]},
        "a set": {1, 2},
        "a function": len,
    }.items()
}
WRONG_GROUPS = {
    "short": lambda a: np.zeros(len(a) - 1),
    "2-D": lambda a: np.zeros((len(a), 2)),
    "a number": lambda a: 3,
    "a text": lambda a: "patient",
    "a dict": lambda a: {0: 1},
    "ragged": lambda a: [[1], [1, 2]] * len(a),
    "one group": lambda a: [7] * len(a),
    "masked": lambda a: np.ma.masked_equal(np.arange(len(a)), 0),
    "missing": lambda a: [None, *range(len(a) - 1)],
    "NaN": lambda a: [np.nan, *range(len(a) - 1)],
}
WRONG_VALIDATION_DATA = {
    "X alone": lambda a: (a,),
    "an array": lambda a: a,
    "a share": lambda a: 0.2,
    "a text": lambda a: "ab",
    "four": lambda a: (a, 1, 2, 3),
    "no labels": lambda a: (a, None),
    "a dict": lambda a: {"X": a, "y": 1},
    "others' labels": lambda a: (a, ["nobody", "none"] * len(a)),
    "short labels": lambda a: (a, [0, 1]),
    "a function": lambda a: len,
}

WRONG = {
    "X": WRONG_X,
    "y": WRONG_Y,
    "sample_weight": WRONG_WEIGHTS,
    "class_weight": WRONG_CLASS_WEIGHTS,
    "groups": WRONG_GROUPS,
    "validation_data": WRONG_VALIDATION_DATA,
}

# -- anything ----------------------------------------------------------------------------------

ANYTHING = [
    *(None, True, False, np.True_, 0, 1, 2, 3, -1, 7.5, 0.3, -0.25, 10**400, 1 << 64),
    *(np.nan, np.inf, -np.inf, 1e308, np.float16(0.5), np.int8(-3), np.uint64(2), 1 + 2j),
    *("", "auto", "adam", "mse", "balanced", "x", "1", "all", "wrap", "constant", "x" * 1000),
    *(b"bytes", bytearray(b"x"), (), [], {}, set(), frozenset([1])),
    *((0.5, 1.5), (1, 2), [0.2, 0.8], (2, 1), (1, 2, 3), [None], ["mse"], ["x"], [[1], [1, 2]]),
    *({0: 2}, {0: 0.5, 1: 2.0}, {"a": 1}, {0: None}, {None: 1}, types.MappingProxyType({0: 3})),
    *(np.array(3), np.zeros(0), np.ones(3), np.ones((2, 2)), np.array(["a"]), np.array([None])),
    *(len, print, int, object, object(), lambda x: x, lambda image, rng: image, range(3), ...),
    *(ImageAugmenter(), ImageAugmenter, ImageAugmenter(p=2), keras.layers.RandomFlip()),
    *(keras.optimizers.SGD(), keras.optimizers.SGD, keras.losses.Hinge(), keras.losses.Hinge),
    *(keras.metrics.AUC, keras.callbacks.TerminateOnNaN(), keras.callbacks.EarlyStopping),
    *(np.float32, "float64", np.dtype("f2"), "M8[s]", np.random.RandomState(0)),
    *(np.random.default_rng(0), decimal.Decimal("0.5"), fractions.Fraction(1, 3)),
    *(datetime.date(2020, 1, 1), pd.Series([1, 2]), pd.NA, pl.Series([1, 2]), sparse.eye(2)),
]

AUGMENTERS = [
    {"rotation_range": 20, "zoom_range": 0.2, "width_shift_range": 0.3, "horizontal_flip": True},
    {"featurewise_std_normalization": True, "brightness_range": (0.5, 1.5)},
    {"samplewise_std_normalization": True, "shear_range": 20, "fill_mode": "wrap"},
    {"policy": "RandAugment", "rescale": 1 / 255},
    {"policy": "TrivialAugment", "dtype": "float16", "noise_std": 0.1},
    {"blur_sigma": 2.0, "erasing_p": 0.5, "contrast_range": (0.5, 1.5)},
    {"hue_range": 0.1, "saturation_range": (0.5, 1.5), "jpeg_quality_range": (10, 90)},
]


# -- whether something was changed -------------------------------------------------------------


def snapshot(value):
    """Describe a value so that any change of it shows."""
    if isinstance(value, dict):
        return [(repr(key), snapshot(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *map(snapshot, value)]
    if isinstance(value, np.ma.MaskedArray):
        return ("masked", snapshot(value.data), snapshot(np.array(value.mask)))
    if isinstance(value, np.ndarray):
        content = repr(value.tolist()) if value.dtype.hasobject else value.tobytes()
        return (value.dtype.str, value.shape, value.strides, value.flags.writeable, content)
    if isinstance(value, (pd.Series, pd.DataFrame)):
        return (str(value.dtypes), repr(value.index), snapshot(value.to_numpy()))
    if isinstance(value, pl.Series):
        return (str(value.dtype), repr(value.to_list()))
    if sparse.issparse(value):
        return (value.shape, snapshot(value.tocsr().data))
    if isinstance(value, (np.random.RandomState, np.random.Generator)):
        return "generators are drawn from"
    return repr(value)
