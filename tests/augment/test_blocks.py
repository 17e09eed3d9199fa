"""Threads: which blocks they take, how many there are, and what their errors become."""

import os
import threading

import cv2
import pytest

from skimgcv._runtime import threads
from skimgcv.augment import _blocks


@pytest.fixture
def three_threads(monkeypatch):
    monkeypatch.setattr(threads, "thread_count", lambda: 3)


def covered(n, image_bytes):
    done, idents = [], set()

    def work(block):
        done.append(block)
        idents.add(threading.get_ident())

    _blocks.for_blocks(n, image_bytes, work)
    return sorted(done, key=lambda block: block.start), idents


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize(("n", "image_bytes"), [(0, 10), (1, 10**9), (100, 50_000), (7, 0)])
def test_blocks_cover_every_row_once(n, image_bytes):
    blocks, _ = covered(n, image_bytes)
    assert [row for block in blocks for row in range(n)[block]] == list(range(n))


@pytest.mark.usefixtures("three_threads")
def test_small_batches_stay_in_the_thread_that_asks():
    _, idents = covered(32, 32 * 32 * 3)
    assert idents == {threading.get_ident()}


@pytest.mark.usefixtures("three_threads")
def test_large_batches_are_taken_by_several_threads():
    together = threading.Barrier(3)
    # All three have to be at work at the same time, or this times out.
    _blocks.for_blocks(3, 10**7, lambda block: together.wait(timeout=30))


def test_one_thread_is_enough(monkeypatch):
    monkeypatch.setattr(threads, "thread_count", lambda: 1)
    _, idents = covered(10, 10**7)
    assert idents == {threading.get_ident()}


@pytest.mark.usefixtures("three_threads")
def test_an_error_surfaces_as_itself():
    def work(block):
        if block.start >= 4:
            raise KeyError(block.start)

    before = threading.active_count()
    with pytest.raises(KeyError):
        _blocks.for_blocks(50, 10**6, work)
    assert threading.active_count() == before


@pytest.mark.usefixtures("three_threads")
def test_opencv_keeps_its_own_threads():
    before = cv2.getNumThreads()
    inside = []

    def work(block):
        inside.append(cv2.getNumThreads())
        if block.start == 2:
            _blocks.for_blocks(1, 1, lambda inner: inside.append(cv2.getNumThreads()))
            raise KeyError

    cv2.setNumThreads(5)
    try:
        with pytest.raises(KeyError):
            _blocks.for_blocks(3, 10**7, work)
        # Ours already run side by side; what others set for themselves is restored.
        assert set(inside) == {1}
        assert cv2.getNumThreads() == 5
    finally:
        cv2.setNumThreads(before)


@pytest.mark.parametrize(
    ("value", "most"), [("1", 1), ("1,4", 1), ("", None), ("many", None), ("1000", None)]
)
def test_threads_keep_to_what_the_environment_says(monkeypatch, value, most):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    everything = threads.thread_count()
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert threads.thread_count() == (most or everything)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
def test_threads_keep_to_the_cores_of_this_process(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})
    assert threads.thread_count() == 1
