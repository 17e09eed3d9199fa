"""What every test may use, and what no test may leave changed."""

import functools
import os
import random
import sys
from pathlib import Path

# Before the first import of TensorFlow: it logs what it finds of the machine.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent))

# Keras 3.8 draws from the global generators when it is imported, which no test is to blame for.
import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits


def pytest_collection_modifyitems(config, items):
    """Start clusters only where they are asked for: their workers import TensorFlow anew."""
    if "cluster" not in config.option.markexpr:
        skip = pytest.mark.skip(reason="starts a cluster: make test-cluster")
        for item in items:
            if item.get_closest_marker("cluster"):
                item.add_marker(skip)


@pytest.fixture(autouse=True)
def _global_generators_untouched():
    """Fail a test that changes somebody else's random numbers."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    yield
    changed = random.getstate() != python
    after = np.random.get_state()  # noqa: NPY002
    changed |= any(not np.array_equal(a, b) for a, b in zip(numpy, after, strict=True))
    assert not changed, "global random numbers were drawn or seeded"


@pytest.fixture
def own_random(_global_generators_untouched):
    """Let a test draw from the global generators, and put them back."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    yield
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002


@pytest.fixture(scope="session")
def digits():
    """Real images: (300, 8, 8, 1) uint8 0..240, and their 10 labels."""
    X, y = load_digits(return_X_y=True)
    return (X[:300].reshape(-1, 8, 8, 1) * 15).astype(np.uint8), y[:300]


@pytest.fixture(scope="session")
def blood_cells():
    """The folder of real blood cells, where it lies beside the checkout."""
    folder = Path(__file__).parents[2] / "shared" / "data" / "blood-cells"
    if not folder.is_dir():
        pytest.skip("the blood-cell images do not lie beside this checkout")
    return folder


@pytest.fixture
def pending(monkeypatch):
    """Give a list of epochs: the first fits that reach them are interrupted, as by Ctrl-C."""
    epochs, at = [], []

    def note_epoch(self, epoch, logs=None):
        at[:] = [epoch]
        begin_epoch(self, epoch, logs)

    def interrupt(self, batch, logs=None):
        end_batch(self, batch, logs)
        if epochs and at == epochs[:1]:
            del epochs[0]
            raise KeyboardInterrupt

    called = keras.callbacks.CallbackList
    begin_epoch, end_batch = called.on_epoch_begin, called.on_train_batch_end
    monkeypatch.setattr(called, "on_epoch_begin", note_epoch)
    monkeypatch.setattr(called, "on_train_batch_end", interrupt)
    return epochs


@pytest.fixture
def traces(monkeypatch):
    """Count how often Keras traces a step: these run while a graph is made, and never after."""
    counts = dict.fromkeys(["train_step", "test_step", "predict_step"], 0)

    def counted(name, step):
        @functools.wraps(step)
        def call(self, data):
            counts[name] += 1
            return step(self, data)

        return call

    for name in counts:
        monkeypatch.setattr(keras.Model, name, counted(name, getattr(keras.Model, name)))
    return counts
