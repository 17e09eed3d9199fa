"""What tests of clusters and of n_jobs run on the workers, which import it from here."""

import contextlib
import importlib
import os
import signal
import threading

import keras
import numpy as np
from sklearn.dummy import DummyClassifier

from skimgcv import AugmentedKerasClassifier
from skimgcv._compiled import run
from skimgcv._features.trunk import Trunk
from skimgcv._runtime import threads


def look(estimator, X, y):
    """Score, and tell of the worker: which it is, its threads, and its compiled models."""
    return {
        "accuracy": estimator.score(X, y),
        "p": estimator.predict_proba(X).sum(axis=0)[0],
        "pid": os.getpid(),
        "threads": threads.thread_count(),
        "grows": os.environ.get("TF_FORCE_GPU_ALLOW_GROWTH") == "true",
        "twins": sum(map(len, run._twins._idle.values())),
    }


class Sees(DummyClassifier):
    """Tells how its X came."""

    def fit(self, X, y):
        self.sum_ = np.asarray(X, dtype=np.float64).sum()
        return super().fit(np.zeros((len(X), 1)), y)


def seen(estimator, X, y):
    return {"sum": estimator.sum_, "pid": os.getpid()}


class KillOnce(keras.callbacks.Callback):
    """Ends the process as no Python code can, unless the file is there already."""

    def __init__(self, path):
        super().__init__()
        self.path = str(path)

    def on_epoch_end(self, epoch, logs=None):
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL))
            os.kill(os.getpid(), signal.SIGKILL)


def wait_once(path):
    """Make the file and wait for the end of this process; where the file is there, return."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        threading.Event().wait()
    return "done"


class Kills(DummyClassifier):
    """Ends each process that fits it."""

    def fit(self, X, y):
        os.kill(os.getpid(), signal.SIGKILL)


class CountsImages(AugmentedKerasClassifier):
    """Writes into its cache's folder how many images go through its frozen part."""

    def fit(self, X, y):
        with self._counted():
            return super().fit(X, y)

    def predict_proba(self, X):
        with self._counted():
            return super().predict_proba(X)

    @contextlib.contextmanager
    def _counted(self):
        features = Trunk.features

        def counted(trunk, images):
            with open(self.feature_cache / "count", "a") as file:
                file.write(f"{len(images)} ")
            return features(trunk, images)

        Trunk.features = counted
        try:
            yield
        finally:
            Trunk.features = features


class Holds(DummyClassifier):
    """Has a parameter that no pickle holds."""

    def __init__(self, lock=None):
        super().__init__()
        self.lock = lock

    def __sklearn_clone__(self):
        return self


def wait_for_the_test():
    """Tell the test, by way of Dask, and wait for it."""
    distributed = importlib.import_module("distributed")
    distributed.Queue("begun").put(os.getpid())
    distributed.Event("go on").wait()


def n_known(dask_scheduler):
    """Count the calls of `wait_for_the_test` on the scheduler."""
    return sum("wait_for_the_test" in str(key) for key in dask_scheduler.tasks)


def n_ready(dask_worker):
    """Count what a worker will begin when its thread is free."""
    return len(dask_worker.state.ready)


_both = threading.Barrier(2, timeout=60)


def threads_of_two(_):
    """Count threads while two tasks run, in threads of this process."""
    _both.wait()
    count = threads.thread_count()
    _both.wait()
    return count
