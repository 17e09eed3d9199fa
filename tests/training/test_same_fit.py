"""Two fits are the same, and one goes on with the other's weights, only if nothing differs."""

import copy
import functools
import os
import random
import subprocess
import sys
import threading
import time

import cloudpickle
import cv2
import keras
import numpy as np
import pytest
from keras import layers, ops
from samples import classifier
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from skimgcv import ImageAugmenter, ImageFiles
from skimgcv._compiled.content import content_digest
from skimgcv._training import fit_key

RNG = np.random.default_rng(0)
SHAPE = (4, 4, 1)
X = RNG.integers(0, 256, (16, *SHAPE)).astype(np.float32)
Y = np.tile([0, 1], 8)
GROUPS = np.repeat(np.arange(8), 2)


class BegunError(Exception):
    """A fit has begun to train: it was not read back."""


@pytest.fixture
def goes_on(monkeypatch, own_random):
    """Return a function that fits with a checkpoint, and tells whether nothing was to be trained.

    Where there is something it ends there, unless it is told to ``train``.
    """
    may_train = [False]

    def begin(self, batch, logs=None):
        if not may_train[0]:
            raise BegunError
        begin_batch(self, batch, logs)

    begin_batch = keras.callbacks.CallbackList.on_train_batch_begin
    monkeypatch.setattr(keras.callbacks.CallbackList, "on_train_batch_begin", begin)

    def fit(folder, clf, X=X, y=Y, *, train=False, **arguments):
        may_train[0] = train
        try:
            clf.fit(X, y, checkpoint_dir=folder, **arguments)
        except BegunError:
            return False
        return True

    return fit


def build(meta, head=None, inner=0):
    """Build with the random numbers that the estimator seeds; ``head`` makes more layers."""
    middle = []
    for _ in range(inner):
        middle = [keras.Sequential([layers.Input((16,)), *middle, layers.Dense(16)])]
    more = [] if head is None else head()
    return keras.Sequential(
        [layers.Input(meta["image_shape_"]), layers.Flatten(), *middle, *more, layers.Dense(2)]
    )


def model(**parameters):
    # Run eagerly, so that nothing is compiled.
    defaults = {
        "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "compile__run_eagerly": True,
        "batch_size": 8,
    }
    builder = parameters.pop("build", build)
    if getattr(builder, "func", None) is decaying:
        defaults = {"batch_size": 8}
    return classifier(builder, **{**defaults, **parameters})


def written(text, **names):
    """Run a user's text, and return what it calls ``it``: as if typed anew each time."""
    space = {"__name__": "typed", "keras": keras, "layers": layers, "ops": ops, "np": np, **names}
    exec(compile(text, "<typed>", "exec"), space)
    return space["it"]


def replaced(text, old, new):
    """Return makers of what a text defines, before and after it was edited."""
    assert old in text
    return functools.partial(written, text), functools.partial(written, text.replace(old, new))


LAYER = """
class it(layers.Layer):
    factor = 2.0
    def __init__(self, hidden=1.0, **kwargs):
        super().__init__(**kwargs)
        self.hidden = hidden
    def scaled(self, x):
        return x * self.hidden * self.factor
    def call(self, x):
        return self.scaled(x) + 1.0
"""
LOSS = """
SCALE = 1.0
TABLE = np.arange(3.0)
def _helper(y, p):
    return ops.mean(ops.square(y - p)) * SCALE * TABLE[1]
def it(y, p, factor=3.0):
    return _helper(ops.cast(y, p.dtype), p[:, :1]) * factor
"""
CALLBACK = """
class it(keras.callbacks.Callback):
    def __init__(self, rate=0.5):
        super().__init__()
        self.rate = rate
    def on_epoch_begin(self, epoch, logs=None):
        self.model.optimizer.learning_rate = self.rate / (epoch + 1.0)
"""
AUGMENTER = """
STEPS = {"brighter": 2.0, "darker": 0.5}
def _noise(image, rng, by=1.0):
    return image + rng.normal(0, by, image.shape)
def it(image, rng):
    for name, factor in STEPS.items():
        image = image * factor if rng.random() < 0.5 else image
    return _noise(image, rng)
"""
SCHEDULE = """
def it(epoch, rate):
    return rate * 0.5
"""
SAMPLING = """
def it(y):
    return {0: 6, 1: 6}
"""
BUILDER = """
UNITS = 1
def _head(units):
    return [layers.Dense(units)]
def it(meta, activation="relu"):
    return keras.Sequential([layers.Input(meta["image_shape_"]), layers.Flatten(), *_head(UNITS),
        layers.Activation(activation), layers.Dense(2)])
"""


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


def changed(array, place, value):
    array = array.copy()
    array[place] = value
    return array


layer = functools.partial(texts, LAYER, use=lambda made: {"model__head": lambda: [made()]})
loss = functools.partial(texts, LOSS, use=lambda made: {"loss": made})
callback = functools.partial(texts, CALLBACK, use=lambda made: {"callbacks": made()})
augmenter = functools.partial(texts, AUGMENTER, use=lambda made: {"augmenter": made})
builder = functools.partial(texts, BUILDER, use=lambda made: {"build": made})
held_out = {"validation_split": 0.25}

CHANGES = {
    # What the builder makes.
    "depth of nesting": each("model__inner", 9, 10),
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
    "what decays": each(
        "build", *(lambda n=n: functools.partial(decaying, n) for n in (["bias"], ["kernel"]))
    ),
    "loss": each(
        "loss",
        lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=False),
    ),
    "loss's code": loss("* factor", "/ factor"),
    "loss's helper": loss("ops.square", "ops.abs"),
    "loss's global": loss("SCALE = 1.0", "SCALE = 2.0"),
    "loss's array": loss("np.arange(3.0)", "np.arange(3.0) * 2"),
    "loss's default": loss("factor=3.0", "factor=4.0"),
    "loss weights": each("compile__loss_weights", [1.0], [2.0]),
    "metric": each("metrics", ["accuracy"], ["sparse_categorical_accuracy"]),
    "metric's threshold": each(
        "metrics", *(lambda t=t: [keras.metrics.BinaryAccuracy(threshold=t)] for t in (0.5, 0.6))
    ),
    "metric's name": each(
        "metrics", *(lambda n=n: [keras.metrics.MeanSquaredError(name=n)] for n in "ab")
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


def decaying(names, meta):
    optimizer = keras.optimizers.AdamW()
    optimizer.exclude_from_weight_decay(var_names=names)
    made = build(meta)
    made.compile(optimizer, "mse", run_eagerly=True)
    return made


def named_callback(name):
    return written(CALLBACK)(rate=0.5 if name == "a" else 0.25)


def moved(image, rng, by):
    return np.roll(image, by, axis=1)


def run(goes_on, folder, given, **options):
    given = dict(given)
    arguments = given.pop("fit", {})
    return goes_on(folder, model(**given), **arguments, **options)


# The others are a minute's worth.
CORE = {
    "depth of nesting",
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


# -- what does not matter ------------------------------------------------------------------------


def moved_text(text):
    """Type a text into another file, at another line."""
    space = {"__name__": "elsewhere", "keras": keras, "layers": layers, "ops": ops, "np": np}
    exec(compile("\n" * 99 + text, "<elsewhere>", "exec"), space)
    return space["it"]


def custom(typed=written):
    """Give parameters that are as much the user's own as can be."""
    return {
        "build": typed(BUILDER),
        "loss": typed(LOSS),
        "metrics": [typed(METRIC)()],
        "callbacks": [typed(CALLBACK)(), keras.callbacks.EarlyStopping("loss", patience=9)],
        "augmenter": typed(AUGMENTER),
        "class_augmenters": {0: ImageAugmenter(rotation_range=9), 1: ImageAugmenter()},
        "class_weight": {0: 2.0, 1: 3.0},
        "sampling_strategy": {0: 6, 1: 7},
        "validation_split": 0.25,
    }


METRIC = """
class it(keras.metrics.Metric):
    def __init__(self, name=None, **kwargs):
        super().__init__(name=name, **kwargs)
        self.total = self.add_weight(initializer="zeros")
    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign_add(ops.sum(y_pred))
    def result(self):
        return self.total
"""


def names_counted_up(parameters):
    for _ in range(3):
        build({"image_shape_": SHAPE}, lambda: [layers.Dense(3), layers.Dropout(0.1)])
        keras.metrics.MeanSquaredError()
    return model(**parameters)


def with_orders_reversed(parameters):
    swapped = {
        name: dict(reversed(value.items())) if isinstance(value, dict) else value
        for name, value in reversed(parameters.items())
    }
    return model(**swapped)


NO_MATTER = {
    "nothing": lambda parameters: model(**parameters),
    "typed anew": lambda parameters: model(**custom()),
    "typed elsewhere": lambda parameters: model(**custom(moved_text)),
    "verbose": lambda parameters: model(**parameters, verbose=2),
    "routed verbose": lambda parameters: model(**parameters, fit__verbose=0, verbose=2),
    "tta": lambda parameters: model(**parameters, tta_rounds=3, tta_augmenter=ImageAugmenter()),
    "prediction": lambda parameters: model(**parameters, predict__batch_size=3),
    "warm start": lambda parameters: model(**parameters, warm_start=True),
    "clone": lambda parameters: clone(model(**parameters)),
    "copy": lambda parameters: copy.deepcopy(model(**parameters)),
    "fitted before": lambda parameters: model(**parameters).fit(X, Y),
    # As a worker process gets it, by value.
    "pickle": lambda parameters: cloudpickle.loads(cloudpickle.dumps(model(**parameters))),
    "names that are counted up": names_counted_up,
    "order of dicts": with_orders_reversed,
}


@pytest.mark.parametrize("change", NO_MATTER.values(), ids=NO_MATTER)
def test_what_does_not_matter_does_not_matter(change, tmp_path, goes_on):
    run(goes_on, tmp_path, custom(), train=True)
    assert goes_on(tmp_path, change(custom()))


def as_memory_map(tmp_path):
    np.save(tmp_path / "X.npy", X)
    return {"X": np.load(tmp_path / "X.npy", mmap_mode="r")}


SAME_ROWS = {
    "memory map": as_memory_map,
    "order in memory": lambda _: {"X": np.asfortranarray(X)},
    "lists": lambda _: {"X": X.tolist(), "y": Y.tolist(), "X_dtype": None},
    "weights of 1": lambda _: {"sample_weight": np.ones(16)},
}


@pytest.mark.parametrize("change", SAME_ROWS.values(), ids=SAME_ROWS)
def test_how_rows_are_kept_does_not_matter(change, tmp_path, goes_on):
    given = change(tmp_path)
    first = {"sample_weight": np.ones(16)} if "sample_weight" in given else {}
    if given.pop("X_dtype", 0) is None:
        first["X"] = X.astype(np.float64)
    goes_on(tmp_path / "fits", model(), train=True, **first)
    assert goes_on(tmp_path / "fits", model(), **given)


def test_rows_without_weight_are_no_rows(tmp_path, goes_on):
    weights = np.ones(16)
    weights[[3, 4]] = 0
    goes_on(tmp_path, model(), sample_weight=weights, train=True)
    other = changed(X, (3, 0, 0, 0), 7)
    assert goes_on(tmp_path, model(), other, changed(Y, 4, 1), sample_weight=weights)


def test_keras_layers_that_augment_may_have_been_used_and_draw_their_seeds_anew(tmp_path, goes_on):
    def steps():
        return keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.1)])

    goes_on(tmp_path, model(augmenter=steps()), train=True)
    used = steps()
    used(X)
    assert goes_on(tmp_path, model(augmenter=used))


# -- what cannot be told --------------------------------------------------------------------------


def of_the_clock(image, rng):
    return image * time.time()


def with_lock():
    callback = written(CALLBACK)()
    callback.guard = threading.Lock()
    return callback


UNKNOWN = {
    "lock": (lambda: {"callbacks": [with_lock()]}, r"callbacks\[0\].guard: .*lock"),
    "clock": (lambda: {"augmenter": of_the_clock}, "augmenter.*of_the_clock uses the module time"),
    "numbers": (
        lambda: {"loss": written(LOSS, TABLE=0), "class_augmenters": {1: random.Random(0).random}},
        r"class_augmenters\[0\]\[1\].*a Random",
    ),
}


@pytest.mark.parametrize(("given", "said"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_cannot_be_told_is_refused_before_training(given, said, tmp_path, goes_on):
    with pytest.raises(ValueError, match=f"checkpoint_dir cannot tell.*{said}.*without check"):
        run(goes_on, tmp_path / "fits", given(), train=True)
    assert not (tmp_path / "fits").exists()


@pytest.mark.parametrize(
    "make",
    [
        keras.callbacks.TerminateOnNaN,
        lambda: keras.callbacks.ReduceLROnPlateau("loss"),
        lambda: keras.callbacks.ModelCheckpoint("a.keras"),
        lambda: keras.callbacks.CSVLogger("a.csv"),
        lambda: keras.callbacks.TensorBoard("a"),
        lambda: keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch)),
    ],
)
def test_keras_callbacks_can_be_told(make):
    assert content_digest(make()) == content_digest(make())


# -- in other processes ---------------------------------------------------------------------------

SCRIPT = """
import sys
import numpy as np
import keras
from keras import layers, ops
from skimgcv import AugmentedKerasClassifier, ImageAugmenter

WORDS = {"a", "b", "c", "d"}

class Scale(layers.Layer):
    def call(self, x):
        return x * 2.0 if "a" in WORDS else x

def build(meta):
    return keras.Sequential([layers.Input(meta["image_shape_"]), layers.Flatten(), Scale(),
        layers.Dropout(0.1), layers.Dense(2)])

def loss(y, p):
    return ops.mean(ops.square(ops.cast(y, p.dtype) - p))

def augment(image, rng):
    return image * len(WORDS & {"a", "b", "x", "y"})

for _ in range(int(sys.argv[2])):
    build({"image_shape_": (4, 4, 1)})
X = np.arange(16 * 16.0).reshape(16, 4, 4, 1)
clf = AugmentedKerasClassifier(build, loss=loss, augmenter=augment, random_state=0,
    compile__run_eagerly=True, metrics=[keras.metrics.MeanSquaredError])
class Count(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        print("trained")
clf.set_params(callbacks=Count()).fit(X, np.tile([0, 1], 8), checkpoint_dir=sys.argv[1])
"""


@pytest.mark.slow
def test_another_process_finds_the_same_fit(tmp_path):
    outputs = []
    for number in (0, 1):
        script = tmp_path / f"{number}" / f"script{number}.py"
        script.parent.mkdir()
        script.write_text("\n" * number + SCRIPT)
        done = subprocess.run(
            [sys.executable, str(script), str(tmp_path / "fits"), str(number)],
            env={**os.environ, "PYTHONHASHSEED": str(number + 1)},
            capture_output=True,
            text=True,
            check=True,
        )
        outputs.append(done.stdout.split())
    assert outputs == [["trained"], []]


@pytest.mark.slow
def test_workers_find_the_same_folds(tmp_path):
    def scores(n_jobs):
        clf = model(**custom())
        return cross_val_score(clf, X, Y, cv=2, n_jobs=n_jobs, params={"checkpoint_dir": tmp_path})

    here = scores(1)
    names = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    np.testing.assert_array_equal(scores(2), here)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == names
