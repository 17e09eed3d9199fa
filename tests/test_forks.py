"""A forked child starts with nothing compiled, and survives that."""

import gc
import os
import subprocess
import sys

import pytest
from builders import cnn, frozen

from skimgcv import AugmentedKerasClassifier

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@pytest.fixture(params=[cnn, frozen])
def fitted(request, digits):
    """A fit in enough batches that several are trained on in one call."""
    X, y = digits
    clf = AugmentedKerasClassifier(request.param, epochs=2, batch_size=8, random_state=0)
    return clf.fit(X, y)


def test_a_forked_child_lives_to_its_end(fitted):
    pid = os.fork()
    if pid == 0:  # pragma: no cover
        gc.collect()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_forked_child_holds_no_lock_of_its_parent(fitted):
    from skimgcv._compiled import run

    with run._twins._lock:
        pid = os.fork()
        if pid == 0:  # pragma: no cover
            os._exit(len(run._twins._idle) + run._twins._lock.locked())
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_program_is_started_as_clusters_start_theirs(fitted, capfd):
    # A function that runs before the program makes Python fork.
    command = [sys.executable, "-c", "print('started')"]
    subprocess.run(command, preexec_fn=gc.collect, check=True)
    told = capfd.readouterr()
    assert told.out == "started\n"
    assert "Segmentation" not in told.err
