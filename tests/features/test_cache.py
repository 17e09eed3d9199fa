"""Features are made once, by whoever comes first: a thread, or another process."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from builders import frozen
from on_workers import CountsImages
from sklearn.model_selection import GridSearchCV

from skimgcv import AugmentedKerasClassifier, ImageAugmenter, clear_features
from skimgcv._features.cache import FeatureCache
from skimgcv._runtime import platform

HOLD = """
import os, sys
from skimgcv._runtime.platform import claim, open_file
claim(open_file(sys.argv[1], os.O_RDWR), int(sys.argv[2]))
print("claimed", flush=True)
sys.stdin.read()
"""


class OfTwo:
    """Stands for a trunk that gives two numbers."""

    shape, key = (2,), b"of two"

    def __init__(self, dtype="float32"):
        self.dtype = np.dtype(dtype)

    def lasting_key(self):
        return self.key


@pytest.fixture(params=["memory", "folder"])
def cache(request, tmp_path):
    clear_features()
    return FeatureCache(-1 if request.param == "memory" else str(tmp_path), OfTwo())


def key(number):
    return f"{number:014x}{0:018x}"


def test_what_is_here_or_being_made_is_not_claimed(cache):
    assert cache.claim(key(1))
    assert not cache.claim(key(1))
    cache.store([key(1)], np.ones((1, 2), "float32"))
    cache.give_up([key(1)])
    assert not cache.claim(key(1))
    out = np.zeros((2, 2), "float32")
    assert cache.fetch([key(2), key(1)], out) == [0]
    assert out.tolist() == [[0, 0], [1, 1]]
    assert cache.claim(key(2))
    cache.give_up([key(2)])


def test_a_folder_takes_numbers_that_have_no_buffer(tmp_path):
    of_two = OfTwo("bfloat16")
    kept = np.array([[1, -2]], of_two.dtype)
    FeatureCache(str(tmp_path), of_two).store([key(1)], kept)
    out = np.zeros_like(kept)
    assert FeatureCache(str(tmp_path), of_two).fetch([key(1)], out) == []
    assert out.tolist() == [[1, -2]]


def test_a_thread_waits_for_what_another_makes(cache):
    assert cache.claim(key(3))
    waits = threading.Thread(target=cache.wait, args=[key(3)], daemon=True)
    waits.start()
    waits.join(0.05)
    assert waits.is_alive()
    cache.give_up([key(3)])
    waits.join(10)
    assert not waits.is_alive()


@pytest.mark.skipif(platform._fcntl is None, reason="this system has no locks on bytes")
def test_another_process_has_its_claims_until_it_dies(tmp_path):
    cache = FeatureCache(str(tmp_path), OfTwo())
    (path,) = tmp_path.glob("*.claims")
    command = [sys.executable, "-c", HOLD, str(path), "7"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as other:
        assert other.stdout.readline() == "claimed\n"
        assert not cache.claim(key(7))
        assert cache.claim(key(8))
        other.kill()
        cache.wait(key(7))
        assert cache.claim(key(7))


@pytest.mark.slow
def test_two_processes_run_each_version_of_an_image_once(digits, tmp_path):
    X, y = (part[:60] for part in digits)
    augmenter = ImageAugmenter(rotation_range=9, rescale=1 / 255)
    clf = CountsImages(
        frozen, augmenter=augmenter, epochs=2, random_state=0, feature_cache=tmp_path
    )
    rates = {"optimizer__learning_rate": [0.01, 0.1]}
    scores = [
        GridSearchCV(one, rates, cv=2, n_jobs=n, error_score="raise").fit(X, y).cv_results_
        for one, n in ((clf, 2), (AugmentedKerasClassifier(**clf.get_params(deep=False)), 1))
    ]
    counts = (tmp_path / "count").read_text().split()
    assert sum(map(int, counts)) == 60 * 2 + 60
    np.testing.assert_array_equal(*[s["mean_test_score"] for s in scores])
