"""The estimator on another Keras backend than TensorFlow, where that is installed."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

# Keras chooses its backend when it is imported: each runs in a process of its own.
SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import keras, numpy as np
from builders import cnn
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_predict
from skimgcv import AugmentedKerasClassifier, ImageAugmenter

X, y = load_digits(return_X_y=True)
X, y = (X[:300].reshape(-1, 8, 8, 1) * 15).astype("uint8"), y[:300]
est = AugmentedKerasClassifier(
    cnn,
    augmenter=ImageAugmenter(rotation_range=10, featurewise_center=True, rescale=1 / 255),
    validation_split=0.2,
    class_weight="balanced",
    callbacks=keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True),
    epochs=15,
    optimizer__learning_rate=0.01,
    random_state=0,
)
predicted = cross_val_predict(est, X, y, cv=3, method="predict_proba")
again = cross_val_predict(clone(est), X, y, cv=3, method="predict_proba")
assert keras.backend.backend() == sys.argv[2]
np.testing.assert_array_equal(predicted, again)
print("accuracy", (predicted.argmax(axis=1) == y).mean())
"""


@pytest.fixture(params=["jax", "torch"])
def backend(request):
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return request.param


def run_on(backend, *command):
    inherited = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    run = subprocess.run(
        [sys.executable, *map(str, command)],
        env={**inherited, "KERAS_BACKEND": backend},
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-3000:]
    return run.stdout


@pytest.mark.slow
def test_cross_validation(backend):
    printed = run_on(backend, "-c", SCRIPT, TESTS, backend)
    assert float(printed.split()[-1]) > 0.8


# The README's example, canaries in each of scikit-learn's tools, and the same seed's bits.
@pytest.mark.slow
@pytest.mark.parametrize("file", ["test_readme", "test_leakage", "test_reproducible"])
def test_what_holds_on_tensorflow_holds_there(backend, file):
    printed = run_on(backend, "-m", "pytest", "-p", "no:cacheprovider", TESTS / f"{file}.py")
    assert " passed" in printed
