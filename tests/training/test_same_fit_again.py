"""A fit goes on whatever else is different; and is refused where that cannot be told."""

import copy
import os
import random
import subprocess
import sys
import threading
import time

import cloudpickle
import keras
import numpy as np
import pytest
from fits import CALLBACK, SHAPE, X, Y, build, changed, custom, model, run, written
from keras import layers, ops
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from skimgcv import ImageAugmenter
from skimgcv._compiled.content import content_digest


@pytest.fixture(scope="module")
def ended_fit(tmp_path_factory):
    """Return the folder of a fit that has ended."""
    folder = tmp_path_factory.mktemp("fits")
    model(**custom()).fit(X, Y, checkpoint_dir=folder)
    return folder


def moved_text(text):
    """Type a text into another file, at another line."""
    space = {"__name__": "elsewhere", "keras": keras, "layers": layers, "ops": ops, "np": np}
    exec(compile("\n" * 99 + text, "<elsewhere>", "exec"), space)
    return space["it"]


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
def test_what_does_not_matter_does_not_matter(change, ended_fit, goes_on):
    assert goes_on(ended_fit, change(custom()))


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


def with_numbers():
    callback = keras.callbacks.Callback()
    callback.numbers = random.Random(0)
    return callback


UNKNOWN = {
    "lock": (lambda: {"callbacks": [with_lock()]}, r"callbacks\[0\].guard: .*lock"),
    "clock": (lambda: {"augmenter": of_the_clock}, "augmenter.*of_the_clock uses the module time"),
    "numbers": (
        lambda: {"callbacks": [with_numbers()]},
        r"callbacks\[0\].numbers: .*Random",
    ),
}


@pytest.mark.parametrize(("given", "said"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_cannot_be_told_is_refused_before_training(given, said, tmp_path, goes_on):
    with pytest.raises(ValueError, match=f"checkpoint_dir cannot prove.*{said}.*without check"):
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
