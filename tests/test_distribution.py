"""One fit on many devices: the user's own strategy, in a process with two virtual ones."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = """
import json, logging, pickle, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from builders import dense
from samples import blobs
from sklearn.base import clone
from skimgcv import AugmentedKerasClassifier, ImageAugmenter

told = []
handler = logging.Handler()
handler.emit = lambda record: told.append(record.getMessage())
logging.getLogger("skimgcv").addHandler(handler)
logging.getLogger("skimgcv").setLevel(logging.DEBUG)

X, y = blobs(n=51)
# 40 rows are parted evenly, in 16, 16 and 8; of 11 one device gets a row more.
X, held, y, y_held = X[:40], X[40:], y[:40], y[40:]
augmenter = ImageAugmenter(horizontal_flip=True, rotation_range=10)
est = AugmentedKerasClassifier(
    dense, augmenter=augmenter, batch_size=16, epochs=2, random_state=0
)
weights = lambda e: [w.tolist() for w in e.model_.get_weights()]
alone = est.fit(X, y, validation_data=(held, y_held))  # its twin is idle now
n_told = len(told)
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    spread = clone(est).fit(X, y, validation_data=(held, y_held))
    inside = spread.predict_proba(X)
outside = spread.predict_proba(X)
print(json.dumps({
    "replicas": spread.model_.distribute_strategy.num_replicas_in_sync,
    "told": told[n_told:],
    "rows": [alone.sample_indices_.tolist(), spread.sample_indices_.tolist()],
    "told alone": told[:n_told],
    "alone": weights(alone),
    "spread": weights(spread),
    "val_loss": [alone.history_["val_loss"], spread.history_["val_loss"]],
    "probabilities": [p.tolist() for p in (alone.predict_proba(X), inside, outside)],
    "pickled": pickle.loads(pickle.dumps(spread)).predict_proba(X).tolist(),
}))
"""


@pytest.mark.slow
def test_a_fit_in_a_mirrored_strategys_scope_is_the_plain_one_but_for_rounding():
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(Path(__file__).parent)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["replicas"] == 2
    assert not found["told alone"]
    assert found["rows"][0] == found["rows"][1]
    # For itself: in the fit, and in both predictions.
    assert len([t for t in found["told"] if "Compiling" in t]) >= 3
    # Sums of 16 rows are added up as 8 + 8: a few float32 roundings a step, 6 steps.
    close = {"rtol": 1e-4, "atol": 1e-6}
    for one, other in zip(found["alone"], found["spread"], strict=True):
        np.testing.assert_allclose(one, other, **close)
    np.testing.assert_allclose(*found["val_loss"], **close)
    alone, inside, outside = found["probabilities"]
    np.testing.assert_allclose(inside, alone, **close)
    np.testing.assert_allclose(outside, alone, **close)
    np.testing.assert_allclose(found["pickled"], alone, **close)
