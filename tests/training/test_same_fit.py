"""Two fits are the same, and one goes on with the other's weights, only if nothing differs."""

import functools
import os

import cv2
import keras
import numpy as np
import pytest
from fits import (
    AUGMENTER,
    BUILDER,
    CALLBACK,
    LAYER,
    LOSS,
    SAMPLING,
    SCHEDULE,
    SHAPE,
    X,
    Y,
    build,
    changed,
    model,
    run,
    written,
)
from keras import layers

from skimgcv import ImageAugmenter, ImageFiles
from skimgcv._training import fit_key

GROUPS = np.repeat(np.arange(8), 2)


def replaced(text, old, new):
    """Return makers of what a text defines, before and after it was edited."""
    assert old in text
    return functools.partial(written, text), functools.partial(written, text.replace(old, new))


def texts(text, old, new, use):
    """Return two sets of parameters that differ in what a user's text says."""
    first, second = replaced(text, old, new)
    return lambda: use(first()), lambda: use(second())


def with_head(*makers):
    return tuple(lambda make=make: {"model__head": lambda: [make()]} for make in makers)


def each(name, *values):
    """Return sets of parameters that differ in the value of one; a callable makes it anew."""
    return tuple(lambda v=v: {name: v() if callable(v) else v} for v in values)


def closure(factor):
    def augment(image, rng):
        return image * factor

    return augment


def adam(**options):
    return keras.optimizers.Adam(**options)


def keras_data(**arguments):
    return lambda: {"fit": arguments}


layer = functools.partial(texts, LAYER, use=lambda made: {"model__head": lambda: [made()]})
loss = functools.partial(texts, LOSS, use=lambda made: {"loss": made})
callback = functools.partial(texts, CALLBACK, use=lambda made: {"callbacks": made()})
augmenter = functools.partial(texts, AUGMENTER, use=lambda made: {"augmenter": made})
builder = functools.partial(texts, BUILDER, use=lambda made: {"model": made})
held_out = {"validation_split": 0.25}

CHANGES = {
    # What the builder makes.
    "depth of nesting": each("model__inner", 4, 5),
    "deep inside": each("model", lambda: nested("relu"), lambda: nested("elu")),
    "builder's global": builder("UNITS = 1", "UNITS = 2"),
    "builder's helper": builder("layers.Dense(units)", "layers.Dense(units + 1)"),
    "builder's default": builder('"relu"', '"tanh"'),
    "regularizer": with_head(
        lambda: layers.Dense(3, kernel_regularizer=keras.regularizers.L2(0.1)),
        lambda: layers.Dense(3, kernel_regularizer=keras.regularizers.L2(0.2)),
    ),
    "constraint": with_head(
        lambda: layers.Dense(3), lambda: layers.Dense(3, kernel_constraint="non_neg")
    ),
    "initializer": with_head(
        lambda: layers.Dense(3, bias_initializer="zeros"),
        lambda: layers.Dense(3, bias_initializer="ones"),
    ),
    "activation": with_head(
        lambda: layers.Dense(3, activation="relu"), lambda: layers.Dense(3, activation="elu")
    ),
    "layer's dtype": with_head(
        lambda: layers.Dense(3), lambda: layers.Dense(3, dtype="mixed_bfloat16")
    ),
    "frozen": with_head(lambda: layers.Dense(3), lambda: layers.Dense(3, trainable=False)),
    "dropout": with_head(lambda: layers.Dropout(0.1), lambda: layers.Dropout(0.2)),
    "dropout's seed": with_head(
        lambda: layers.Dropout(0.1, seed=1), lambda: layers.Dropout(0.1, seed=2)
    ),
    "array in a lambda": with_head(
        *(lambda a=a: layers.Lambda(lambda x: x * a) for a in (np.ones(16, "f4"), np.full(16, 2)))
    ),
    "name by the user": with_head(
        lambda: layers.Dense(3, name="head"), lambda: layers.Dense(3, name="foot")
    ),
    "weight": with_head(
        lambda: layers.Rescaling(2.0), lambda: layers.Rescaling(np.float32(2.0000002))
    ),
    "layer's code": layer("+ 1.0", "+ 2.0"),
    "layer's other method": layer("self.hidden * self.factor", "self.hidden"),
    "layer's attribute": layer("hidden=1.0", "hidden=2.0"),
    "layer's class": layer("factor = 2.0", "factor = 3.0"),
    # How it is compiled.
    "learning rate": each("optimizer__learning_rate", 0.1, 0.2),
    "optimizer": each("optimizer", "adam", "adamax"),
    "clipnorm": each("optimizer", lambda: adam(clipnorm=1.0), lambda: adam(clipnorm=2.0)),
    "schedule": each(
        "optimizer",
        *(
            lambda r=r: adam(learning_rate=keras.optimizers.schedules.ExponentialDecay(0.1, 9, r))
            for r in (0.8, 0.9)
        ),
    ),
    "what decays": each("model", *(lambda n=n: decaying(n) for n in ("bias", "kernel"))),
    "loss": each(
        "loss",
        lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=9),
    ),
    "loss's code": loss("* factor", "/ factor"),
    "loss's helper": loss("ops.square", "ops.abs"),
    "loss's global": loss("SCALE = 1.0", "SCALE = 2.0"),
    "loss's array": loss("np.arange(3.0)", "np.arange(3.0) * 2"),
    "loss's default": loss("factor=3.0", "factor=4.0"),
    "loss weights": each("compile__loss_weights", [1.0], [2.0]),
    "metric": each("metrics", ["accuracy"], ["sparse_categorical_accuracy"]),
    "metric's parameter": each(
        "metrics",
        *(
            lambda k=k: [keras.metrics.SparseTopKCategoricalAccuracy(k=k, name="top")]
            for k in (1, 2)
        ),
    ),
    "metric's name": each(
        "metrics", *(lambda n=n: [keras.metrics.SparseCategoricalAccuracy(name=n)] for n in "ab")
    ),
    # What runs beside it.
    "callback's code": callback("(epoch + 1.0)", "(epoch + 2.0)"),
    "callback's attribute": callback("rate=0.5", "rate=0.25"),
    "callback's parameter": each(
        "callbacks",
        *(lambda p=p: keras.callbacks.EarlyStopping("loss", patience=p) for p in (1, 2)),
    ),
    "callback's function": texts(
        SCHEDULE,
        "0.5",
        "0.25",
        lambda made: {"callbacks": keras.callbacks.LearningRateScheduler(made)},
    ),
    "order of callbacks": each(
        "callbacks", *(lambda n=n: [named_callback(i) for i in n] for n in ("ab", "ba"))
    ),
    # What happens to images.
    "augmenter": each("augmenter", None, ImageAugmenter),
    "augmenter's parameter": each(
        "augmenter", *(lambda r=r: ImageAugmenter(rotation_range=r) for r in (20, 21))
    ),
    "augmenter's code": augmenter("< 0.5 else", "< 0.6 else"),
    "augmenter's helper": augmenter("rng.normal(0, by,", "rng.uniform(0, by,"),
    "augmenter's global": augmenter('"darker": 0.5', '"darker": 0.6'),
    "order of the augmenter's steps": augmenter(
        '"brighter": 2.0, "darker": 0.5', '"darker": 0.5, "brighter": 2.0'
    ),
    "augmenter's default": augmenter("by=1.0", "by=2.0"),
    "closure": each("augmenter", lambda: closure(2.0), lambda: closure(3.0)),
    "type in a closure": each("augmenter", lambda: closure(1), lambda: closure(True)),
    "preprocessing function": each(
        "augmenter",
        lambda: ImageAugmenter(preprocessing_function=lambda image: image / 2),
        lambda: ImageAugmenter(preprocessing_function=lambda image: image / 3),
    ),
    "partial": each("augmenter", *(lambda b=b: functools.partial(moved, by=b) for b in (1, 2))),
    "Keras layer that augments": each(
        "augmenter", *(lambda f=f: layers.RandomRotation(f) for f in (0.1, 0.2))
    ),
    "class augmenter": each(
        "class_augmenters", *(lambda r=r: {1: ImageAugmenter(rotation_range=r)} for r in (20, 21))
    ),
    "whose class augmenter": each(
        "class_augmenters", *(lambda c=c: {c: ImageAugmenter(rotation_range=20)} for c in (0, 1))
    ),
    "validation augmenter": (
        lambda: held_out | {"validation_augmenter": ImageAugmenter(rotation_range=20)},
        lambda: held_out | {"validation_augmenter": ImageAugmenter(rotation_range=21)},
    ),
    # Which rows.
    "one pixel": (keras_data(), keras_data(X=changed(X, (7, 1, 2, 0), X[7, 1, 2, 0] + 1))),
    "last pixel": (keras_data(), keras_data(X=changed(X, (15, 3, 3, 0), -1))),
    "dtype of X": (keras_data(), keras_data(X=X.astype(np.float64))),
    "one label": (keras_data(), keras_data(y=changed(Y, 3, 0))),
    "labels": (keras_data(), keras_data(y=Y + 1)),
    "order of rows": (keras_data(), keras_data(X=X[::-1], y=Y[::-1])),
    "sample weight": (
        keras_data(sample_weight=np.linspace(1, 2, 16)),
        keras_data(sample_weight=changed(np.linspace(1, 2, 16), 5, 1.5)),
    ),
    "class weight": each("class_weight", {0: 2.0}, {0: 3.0}),
    "validation split": each("validation_split", 0.25, 0.5),
    "groups": (
        lambda: held_out | {"fit": {"groups": GROUPS}},
        lambda: held_out | {"fit": {"groups": np.tile(np.arange(4), 4)}},
    ),
    "validation data": (
        keras_data(validation_data=(X[:4], Y[:4])),
        keras_data(validation_data=(changed(X[:4], (3, 0, 0, 0), 1), Y[:4])),
    ),
    "validation labels": (
        keras_data(validation_data=(X[:4], Y[:4])),
        keras_data(validation_data=(X[:4], Y[1:5])),
    ),
    "sampling strategy": each("sampling_strategy", {0: 6}, {0: 5}),
    "sampling function": texts(SAMPLING, "1: 6", "1: 5", lambda made: {"sampling_strategy": made}),
    "shuffle": each("shuffle", True, False),
    "seed": each("random_state", 0, 1),
    "batch size": each("batch_size", 8, 4),
    "epochs": each("epochs", 1, 2),
    "validation frequency": (
        lambda: held_out | {"epochs": 2},
        lambda: held_out | {"epochs": 2, "fit__validation_freq": 2},
    ),
}


def decaying(name):
    """Return a builder that compiles its model, so that nobody else has to."""

    def build_and_compile(meta, compile_kwargs):
        optimizer = keras.optimizers.AdamW()
        optimizer.exclude_from_weight_decay(var_names=[name])
        made = build(meta)
        made.compile(**compile_kwargs | {"optimizer": optimizer})
        return made

    return build_and_compile


def nested(activation):
    """Return a model whose innermost layer is many levels deep in its config."""
    inner = layers.Activation(activation)
    for _ in range(4):
        inner = keras.Sequential([layers.Input((16,)), inner])
    return keras.Sequential([layers.Input(SHAPE), layers.Flatten(), inner, layers.Dense(2)])


def named_callback(name):
    return written(CALLBACK)(rate=0.5 if name == "a" else 0.25)


def moved(image, rng, by):
    return np.roll(image, by, axis=1)


# The others are a minute's worth.
CORE = {
    "deep inside",
    "builder's helper",
    "array in a lambda",
    "layer's code",
    "learning rate",
    "loss's global",
    "callback's code",
    "augmenter's global",
    "preprocessing function",
    "one pixel",
    "one label",
    "groups",
}


@pytest.mark.parametrize(
    "pair",
    [
        pytest.param(pair, id=name, marks=() if name in CORE else pytest.mark.slow)
        for name, pair in CHANGES.items()
    ],
)
def test_no_fit_gets_the_weights_of_another(pair, tmp_path, goes_on):
    first, second = pair
    run(goes_on, tmp_path, first(), train=True)
    assert run(goes_on, tmp_path, first())
    assert not run(goes_on, tmp_path, second())


def test_there_are_enough_changes():
    assert len(CHANGES) >= 40
    assert set(CHANGES) >= CORE


@pytest.mark.parametrize(
    ("set_", "value"),
    [
        (keras.config.set_epsilon, 1e-3),
        (keras.config.set_image_data_format, "channels_first"),
        (keras.config.set_floatx, "float64"),
        (keras.config.set_dtype_policy, "mixed_bfloat16"),
    ],
)
def test_keras_switches_make_another_fit(set_, value, tmp_path, goes_on):
    get = getattr(keras.config, set_.__name__.removeprefix("set_"))
    kept = get()
    goes_on(tmp_path, model(), train=True)
    set_(value)
    try:
        assert not goes_on(tmp_path, model())
    finally:
        set_(kept)
    assert goes_on(tmp_path, model())


def test_another_version_of_a_package_makes_another_fit(tmp_path, goes_on, monkeypatch):
    goes_on(tmp_path, model(), train=True)
    versions = fit_key.package_versions() | {"keras": "3.99"}
    monkeypatch.setattr(fit_key, "package_versions", lambda: versions)
    assert not goes_on(tmp_path, model())


# -- files ---------------------------------------------------------------------------------------


@pytest.fixture
def paths(tmp_path):
    paths = [tmp_path / "images" / f"{row}.png" for row in range(16)]
    paths[0].parent.mkdir()
    for path, image in zip(paths, X, strict=True):
        cv2.imwrite(str(path), image.astype(np.uint8))
    return paths


def set_time(path, *, ns_later=0):
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + ns_later))


def edit(paths):
    before = paths[5].stat()
    cv2.imwrite(str(paths[5]), 255 - X[5].astype(np.uint8))
    os.utime(paths[5], ns=(before.st_atime_ns, before.st_mtime_ns + 1))


FILES = {
    "content": edit,
    "time": lambda paths: set_time(paths[15], ns_later=1),
    "size": lambda paths: {"image_shape": (5, 4)},
    "colours": lambda paths: {"color_mode": "rgb"},
    "interpolation": lambda paths: {"interpolation": "nearest"},
    "order": lambda paths: paths.reverse(),
    "path": lambda paths: paths.__setitem__(3, paths[3].rename(paths[3].with_name("x.png"))),
}


@pytest.mark.parametrize("change", FILES.values(), ids=FILES)
def test_files_go_by_path_size_time_and_decoding(change, paths, tmp_path, goes_on):
    def files(image_shape=(4, 4), color_mode="grayscale", cache=None, **options):
        return ImageFiles(paths, image_shape, color_mode=color_mode, cache=cache, **options)

    goes_on(tmp_path / "fits", model(), files(), train=True)
    assert goes_on(tmp_path / "fits", model(), files(cache="memory"))
    assert not goes_on(tmp_path / "fits", model(), files(**(change(paths) or {})))
