"""Faults inside a fit: said where they came from, nothing left behind, and the next fit works."""

import gc
import os
import random
import signal
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import keras
import numpy as np
import psutil
import pytest
from builders import cnn
from samples import blobs, classifier, same_model
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss

from skimgcv.exceptions import NonFiniteLossWarning

X, Y = blobs(shape=(8, 8, 1))


@pytest.fixture(autouse=True)
def _interruptible():
    """Let Ctrl-C interrupt: a shell starts what it puts in the background without that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Fault:
    """Does something the first time that it is asked to, and nothing after that."""

    def __init__(self, act):
        self.act = act
        self.left = 1
        self.calls = 0

    def __call__(self):
        self.calls += 1
        if self.calls == 20 and self.left:
            self.left = 0
            self.act()


def out_of_memory():
    np.empty(1 << 60, np.uint8)


def interrupt():
    # As Ctrl-C does: the signal comes to the main thread, which waits for TensorFlow.
    os.kill(os.getpid(), signal.SIGINT)


def fail():
    raise OSError("the scanner is off")


def leave():
    # In TensorFlow's own thread, which would take it for an error of unknown kind.
    raise SystemExit(3)


def augmenting(act):
    fault = Fault(act)

    def augment(image, rng):
        fault()
        return image

    return augment


class InCallback(keras.callbacks.Callback):
    def __init__(self, act):
        super().__init__()
        self.act = act

    def on_train_batch_end(self, batch, logs=None):
        if batch == 2:
            self.act()


class InValidation(InCallback):
    def on_train_batch_end(self, batch, logs=None):
        pass

    def on_test_batch_end(self, batch, logs=None):
        self.act()


def building(act):
    def build(meta):
        act()
        return cnn(meta)

    return build


@keras.saving.register_keras_serializable("tests")
def bad_loss(y_true, y_pred):
    raise OSError("the loss has no paper")


def bad_metric(y_true, y_pred):
    raise OSError("no measure")


def model(*, model=cnn, **parameters):
    return classifier(model, **{"batch_size": 4, "epochs": 2, **parameters})


FAULTS = {
    "memory runs out in a batch": (
        {"augmenter": augmenting(out_of_memory)},
        MemoryError,
        "rows [",
    ),
    "the augmenter fails": ({"augmenter": augmenting(fail)}, OSError, "epoch 0, batch "),
    "the callback fails": (
        {"callbacks": InCallback(fail)},
        OSError,
        "in epoch 0, batch 2, rows [",
    ),
    "memory runs out in a callback": (
        {"callbacks": InCallback(out_of_memory)},
        MemoryError,
        "in epoch 0, batch 2, rows [",
    ),
    "the builder fails": ({"model": building(fail)}, OSError, "while building the model"),
    "the loss fails": ({"loss": bad_loss}, OSError, "while training, in epoch 0, batch 0, rows ["),
    "Ctrl-C while an image is made": (
        {"augmenter": augmenting(interrupt)},
        KeyboardInterrupt,
        None,
    ),
    "the process is told to end while an image is made": (
        {"augmenter": augmenting(leave)},
        SystemExit,
        None,
    ),
    "the validation fails": (
        {"callbacks": InValidation(fail), "validation_split": 0.25},
        OSError,
        "while validating, in epoch 0",
    ),
    "a metric fails": (
        {"metrics": [bad_metric], "loss": "sparse_categorical_crossentropy"},
        OSError,
        "in epoch 0, batch 0, rows [",
    ),
    "Ctrl-C in a callback": ({"callbacks": InCallback(interrupt)}, KeyboardInterrupt, None),
}


def globals_now():
    return (
        random.getstate(),
        [part.tolist() if hasattr(part, "tolist") else part for part in np.random.get_state()],  # noqa: NPY002
        dict(os.environ),
        keras.config.floatx(),
    )


@pytest.fixture(scope="module")
def reference():
    return model().fit(X, Y)


def fails(image, rng):
    fail()


def test_an_error_in_the_first_batch_comes_from_nothing_of_ours():
    with pytest.raises(OSError, match="scanner") as info:
        model(augmenter=fails).fit(X, Y)
    # A circle, before: workers could not pickle the error, once Dask had been imported.
    assert info.value.__cause__ is None
    assert info.value.__context__ is None


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_first_fit(fault, reference):
    parameters, error, where = FAULTS[fault]
    clf = model(**parameters)
    before, threads = globals_now(), set(threading.enumerate())
    images = X.copy().view(Images)
    with pytest.raises(error) as info:
        clf.fit(images, Y)
    if where is not None:
        assert where in " ".join(info.value.__notes__)
    with pytest.raises(NotFittedError):
        clf.predict(X)
    assert globals_now() == before
    assert set(threading.enumerate()) <= threads
    np.testing.assert_array_equal(images, X)
    # Nobody holds the data: not Keras, and not the compiled model that is kept.
    del info
    data = weakref.ref(images)
    del images
    gc.collect()
    assert data() is None
    # The same bits as if nothing had happened.
    clf.set_params(model=cnn, augmenter=None, callbacks=None, loss="auto")
    clf.set_params(metrics=None, validation_split=0.0)
    assert same_model(clf.fit(X, Y), reference)


class Images(np.ndarray):
    """An array that can be referred to weakly, as a plain one cannot."""


def test_many_faults_leave_no_threads_and_no_files(reference):
    def strike():
        with pytest.raises(OSError, match="scanner"):
            model(augmenter=augmenting(fail)).fit(X, Y)
        gc.collect()  # an exception keeps its frames, and with them the thread of an iterator

    process = psutil.Process()
    strike()
    threads, files = process.num_threads(), process.num_fds()
    for _ in range(4):
        strike()
    assert process.num_threads() <= threads
    assert process.num_fds() <= files
    assert same_model(model().fit(X, Y), reference)


# -- a loss that is not a number -------------------------------------------------------------


def test_a_loss_that_is_not_a_number_warns_and_names_the_epoch():
    clf = model(epochs=3, optimizer="sgd", optimizer__learning_rate=1e38)
    with pytest.warns(NonFiniteLossWarning, match=r"loss was (nan|inf) in epoch [012]") as caught:
        clf.fit(X, Y)
    (said,) = [w for w in caught if w.category is NonFiniteLossWarning]
    assert said.filename == __file__
    first = int(np.argmin(np.isfinite(clf.history_["loss"])))
    assert f"in epoch {first}:" in str(said.message)
    assert len(clf.history_["loss"]) == 3


def test_predictions_that_are_no_numbers_are_told_and_stay_so():
    clf = model().fit(X, Y)
    last = clf.model_.layers[-1]
    last.set_weights([np.full_like(w, np.nan) for w in last.get_weights()])
    with pytest.warns(NonFiniteLossWarning, match=f"for {len(X)} of {len(X)} images"):
        proba = clf.predict_proba(X)
    assert np.isnan(proba).all()
    with pytest.warns(NonFiniteLossWarning), pytest.raises(ValueError, match="NaN"):
        log_loss(Y, clf.predict_proba(X))


def test_keras_own_callback_stops_it():
    clf = model(epochs=50, optimizer="sgd", optimizer__learning_rate=1e38)
    clf.set_params(callbacks=keras.callbacks.TerminateOnNaN())
    with pytest.warns(NonFiniteLossWarning, match="TerminateOnNaN"):
        clf.fit(X, Y)
    assert len(clf.history_["loss"]) < 50


# -- a worker that is killed -----------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from joblib.externals.loky.process_executor import TerminatedWorkerError
from sklearn.model_selection import cross_val_score
from builders import linear
from samples import blobs, classifier

once = Path(sys.argv[1])
parent = os.getpid()

def kill(image, rng):
    if not once.exists() and os.getpid() != parent:
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return image

if __name__ == "__main__":
    X, y = blobs()
    clf = classifier(linear, augmenter=kill)
    try:
        cross_val_score(clf, X, y, cv=2, n_jobs=2)
    except TerminatedWorkerError:
        print("told")
    again = cross_val_score(clf, X, y, cv=2, n_jobs=2)
    once.touch()
    print(np.array_equal(again, cross_val_score(clf, X, y, cv=2)))
"""


@pytest.mark.slow
def test_a_killed_worker_is_told_and_the_next_search_works(tmp_path):
    (tmp_path / "killed.py").write_text(KILLED)
    tests = str(Path(__file__).parent)
    path = os.pathsep.join([tests, *sys.path])
    result = subprocess.run(
        [sys.executable, str(tmp_path / "killed.py"), str(tmp_path / "once")],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.split() == ["told", "True"], result.stderr[-2000:]
