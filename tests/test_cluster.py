"""Dask and Ray: the same bits, X sent once, and dead workers replaced. Two worker processes."""

import asyncio
import contextlib
import importlib
import logging
import os
import queue
import sys
import threading
import time
import types
import warnings
from typing import ClassVar

import cv2
import joblib
import keras
import numpy as np
import pytest
from on_workers import (
    Holds,
    KillOnce,
    Kills,
    Sees,
    look,
    n_known,
    n_ready,
    seen,
    threads_of_two,
    wait_for_the_test,
    wait_once,
)
from sklearn.model_selection import GridSearchCV, cross_validate

from skimgcv import AugmentedKerasClassifier, ImageAugmenter, ImageFiles
from skimgcv import cluster as our_cluster
from skimgcv._runtime import threads
from skimgcv.cluster import _map_file, _MapFile, _RayBackend, register_dask, register_ray
from skimgcv.exceptions import SkimgcvWarning

IN_A_NOTEBOOK = """
def build(meta, filters=4):
    return keras.Sequential([
        keras.layers.Input(meta["image_shape_"]),
        keras.layers.Conv2D(filters, 3, activation="relu"),
        keras.layers.Dropout(0.25),
        keras.layers.Flatten(),
        keras.layers.Dense(meta["n_classes_"], activation="softmax"),
    ])
"""


def notebook():
    """Make what a notebook defines: workers cannot import it, it travels as code."""
    names = {"__name__": "__main__", "keras": keras}
    exec(IN_A_NOTEBOOK, names)
    return types.SimpleNamespace(**names)


def classifier(**parameters):
    augmenter = ImageAugmenter(rotation_range=20, horizontal_flip=True, rescale=1 / 255)
    return AugmentedKerasClassifier(
        notebook().build,
        **{"augmenter": augmenter, "epochs": 2, "random_state": 7, **parameters},
    )


def search(digits, **parameters):
    grid = {"augmenter__rotation_range": [0, 20]}
    found = GridSearchCV(classifier(**parameters), grid, scoring=look, refit=False, cv=3)
    results = found.fit(*digits).cv_results_
    return {k: np.array([results[f"split{i}_test_{k}"] for i in range(3)]) for k in LOOKED_AT}


LOOKED_AT = ("accuracy", "p", "pid", "threads", "grows", "twins")


@pytest.fixture(autouse=True)
def _global_generators_untouched():
    """Not checked here: Dask's own threads draw from Python's generator in this process too."""


@pytest.fixture(scope="module")
def alone(digits):
    """What a search gives in this process."""
    return search(digits)


def local_cluster(**options):
    # Any free port, since a cluster of the user's may have the usual one.
    options = {"threads_per_worker": 1, "dashboard_address": ":0", **options}
    return pytest.importorskip("distributed").LocalCluster(**options)


class DaskEngine:
    """Two Dask workers, and what is written to sockets here: scheduler and client."""

    name = "dask"
    options: ClassVar = {"wait_for_workers_timeout": 300}

    def __enter__(self):
        distributed = pytest.importorskip("distributed")
        self._stack = contextlib.ExitStack()
        # On a busy machine a worker takes more than Dask's 15 s to start again.
        patient = {"distributed.deploy.lost-worker-timeout": "5 minutes"}
        self._stack.enter_context(importlib.import_module("dask").config.set(patient))
        self.cluster = self._stack.enter_context(local_cluster(n_workers=2))
        self.client = self._stack.enter_context(distributed.Client(self.cluster))
        register_dask()
        return self

    def __exit__(self, *error):
        self._stack.close()

    def count_bytes(self, monkeypatch, sent):
        tcp = importlib.import_module("distributed.comm.tcp").TCP
        write = tcp.write

        async def counted(self, *args, **kwargs):
            sent.append(await write(self, *args, **kwargs))
            return sent[-1]

        monkeypatch.setattr(tcp, "write", counted)


class RayEngine:
    """A Ray cluster of two CPUs, and what is made into bytes here: tasks and objects."""

    name = "ray"
    options: ClassVar = {}

    def __enter__(self):
        self._environment = pytest.MonkeyPatch()
        self._environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # Dask's workers have our sys.path, Ray's have the environment.
        self._environment.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        ray = pytest.importorskip("ray")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        register_ray()
        return self

    def __exit__(self, *error):
        importlib.import_module("ray").shutdown()
        self._environment.undo()

    def count_bytes(self, monkeypatch, sent):
        context = importlib.import_module("ray._private.serialization").SerializationContext
        serialize = context.serialize

        def counted(self, value):
            made = serialize(self, value)
            sent.append(made.total_bytes)
            return made

        monkeypatch.setattr(context, "serialize", counted)


@pytest.fixture(scope="module", params=[DaskEngine, RayEngine], ids=["dask", "ray"])
def engine(request):
    with request.param() as started:
        yield started


@pytest.fixture
def sent(engine, monkeypatch):
    """Every message's bytes."""
    counts = []
    engine.count_bytes(monkeypatch, counts)
    return counts


def assert_same_scores(one, other):
    for name in ("accuracy", "p"):
        np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.cluster
def test_same_scores_and_models_compiled_once_a_worker(engine, digits, alone):
    with joblib.parallel_config(backend=engine.name):
        found = search(digits)
    assert_same_scores(found, alone)
    assert os.getpid() not in found["pid"]
    assert len(set(found["pid"].flat)) <= 2
    # The function comes as code with each task, anew each time, and yet counts as the same.
    assert (found["twins"] == 1).all()
    assert (found["threads"] == 1).all()
    assert found["grows"].all()


@pytest.mark.cluster
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_joblibs_own_backends_give_the_same_scores(backend, digits, alone):
    with joblib.parallel_config(backend=backend, n_jobs=2):
        assert_same_scores(search(digits), alone)


@pytest.mark.cluster
def test_a_search_in_each_fold_gives_the_same_scores(engine, digits):
    grid = {"augmenter__rotation_range": [0, 20]}
    searching = GridSearchCV(classifier(), grid, scoring="neg_log_loss", cv=2)

    def scores():
        found = cross_validate(searching, *digits, scoring="neg_log_loss", error_score="raise")
        return found["test_score"]

    with joblib.parallel_config(backend=engine.name):
        there = scores()
    np.testing.assert_array_equal(there, scores())


@pytest.mark.cluster
def test_a_killed_worker_is_replaced_and_its_fold_done_again(engine, digits, alone, tmp_path):
    with joblib.parallel_config(backend=engine.name):
        found = search(digits, callbacks=KillOnce(tmp_path / "killed"))
    assert (tmp_path / "killed").exists()
    assert_same_scores(found, alone)


@pytest.mark.cluster
def test_a_cluster_of_one_dask_worker_gets_the_folds():
    distributed = pytest.importorskip("distributed")
    register_dask()
    with (
        local_cluster(n_workers=1) as cluster,
        distributed.Client(cluster) as client,
        joblib.parallel_config(backend="dask", client=client),
    ):
        found = look_at(*large(), 3)
        worker = client.submit(os.getpid).result()
    assert set(found["test_pid"]) == {worker}


@pytest.fixture
def loses_its_worker(monkeypatch, tmp_path):
    """A Dask cluster, and two tasks that are on their way when it loses its worker."""
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(our_cluster, "_SECONDS_BETWEEN_LOOKS", 0.2)
    register_dask()
    begun = tmp_path / "begun"

    def calls():
        yield from [joblib.delayed(wait_once)(begun)] * 2
        patience = time.monotonic() + 300
        while not begun.exists():
            client.sync(asyncio.sleep, 0)
            assert time.monotonic() < patience, "no task has begun"
        cluster.scale(0)

    with (
        local_cluster(n_workers=1) as cluster,
        distributed.Client(cluster) as client,
        joblib.parallel_config(backend="dask", client=client),
    ):
        yield cluster, calls()


@pytest.mark.cluster
def test_a_search_without_workers_says_so_and_goes_on_with_new_ones(loses_its_worker, monkeypatch):
    cluster, calls = loses_its_worker
    told = []

    def show(message, category, *_):
        if issubclass(category, SkimgcvWarning):
            told.append(str(message))
            cluster.scale(1)

    with warnings.catch_warnings():
        warnings.simplefilter("always", SkimgcvWarning)
        monkeypatch.setattr(warnings, "showwarning", show)
        assert joblib.Parallel(pre_dispatch="all")(calls) == ["done", "done"]
    (message,) = told
    assert message.startswith("The Dask cluster has no workers any more")


@pytest.mark.cluster
def test_a_search_without_workers_ends_where_warnings_are_errors(loses_its_worker):
    _, calls = loses_its_worker
    with warnings.catch_warnings():
        warnings.simplefilter("error", SkimgcvWarning)
        with pytest.raises(SkimgcvWarning, match="no workers any more"):
            joblib.Parallel(pre_dispatch="all")(calls)


@pytest.mark.cluster
def test_an_error_comes_back_as_itself(engine, digits):
    with (
        joblib.parallel_config(backend=engine.name),
        pytest.raises(TypeError, match="the builder build has a parameter 'model__units'"),
    ):
        cross_validate(classifier(model__units=3), *digits, cv=2, error_score="raise")


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("estimator", "told"),
    [(Holds(threading.Lock()), "[Cc]ould not serialize"), (Kills(), "died")],
    ids=["cannot be pickled", "kills each worker"],
)
def test_what_no_worker_can_do_ends_with_an_error(engine, estimator, told):
    X, y = np.zeros((40, 2)), np.arange(40) % 2
    with joblib.parallel_config(backend=engine.name, **engine.options):
        with pytest.raises(Exception, match=told):
            cross_validate(estimator, X, y, cv=4, error_score="raise")
        assert len(cross_validate(Sees(), X, y, cv=4, error_score="raise")["test_score"]) == 4


@pytest.mark.cluster
def test_joblib_itself_can_name_the_backend(engine):
    absolute = joblib.Parallel(backend=engine.name)(joblib.delayed(abs)(-n) for n in range(3))
    assert absolute == [0, 1, 2]


@pytest.mark.cluster
def test_rays_options_are_checked(engine):
    if engine.name != "ray":
        pytest.skip("Dask's are joblib's")
    with pytest.raises(TypeError, match=r"ray_remote_args takes a dict, .* got \['num_cpus'\]"):
        joblib.parallel_config(backend="ray", ray_remote_args=["num_cpus"])
    with pytest.raises(TypeError, match="ray_remote_arg'"):
        joblib.parallel_config(backend="ray", ray_remote_arg={"num_cpus": 1})
    with pytest.warns(UserWarning, match="asks for 3 lens, and the Ray cluster has 0"):
        _RayBackend({"resources": {"lens": 3}}).effective_n_jobs(1)


@pytest.mark.cluster
def test_folds_that_wait_are_cancelled_with_their_search(engine):
    if engine.name != "dask":
        pytest.skip("Ray interrupts those that have begun, too")
    distributed = importlib.import_module("distributed")
    begun, go_on = distributed.Queue("begun"), distributed.Event("go on")

    def calls():
        yield from [joblib.delayed(wait_for_the_test)()] * 4
        engine.client.sync(asyncio.sleep, 0)  # by now all four are on their way
        begun.get(timeout=60)
        begun.get(timeout=60)
        raise KeyboardInterrupt

    with joblib.parallel_config(backend="dask"):
        with pytest.raises(KeyboardInterrupt):
            joblib.Parallel(pre_dispatch="all")(calls())
        # Word of it travels by other ways than the event, which may overtake it.
        patience = time.monotonic() + 60
        while engine.client.run_on_scheduler(n_known) or any(engine.client.run(n_ready).values()):
            assert time.monotonic() < patience, "folds are still waiting"
        go_on.set()
        joblib.Parallel()(joblib.delayed(os.getpid)() for _ in range(4))
    assert begun.qsize() == 0


# -- what is sent -----------------------------------------------------------------------


def large():
    """4 MB of images in few rows: what else is sent is small beside them."""
    X = np.random.default_rng(0).random((60, 128, 128, 1), dtype=np.float32)
    return X, np.arange(60) % 3


def look_at(X, y, folds):
    return cross_validate(Sees(), X, y, cv=folds, scoring=seen)


@pytest.mark.cluster
def test_an_array_is_sent_once_not_with_each_task(engine, sent):
    X, y = large()
    with joblib.parallel_config(backend=engine.name):
        totals = []
        for folds in (5, 15):
            sent.clear()
            look_at(X, y, folds)
            totals.append(sum(sent))
    # Dask: from client to scheduler, from there to the workers.
    assert X.nbytes < totals[0] < 3.2 * X.nbytes
    assert (totals[1] - totals[0]) / 10 < X.nbytes / 50


@pytest.mark.cluster
def test_a_memory_map_is_sent_as_its_path(engine, sent, tmp_path):
    X, y = large()
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")[3:]
    with joblib.parallel_config(backend=engine.name):
        found = look_at(mapped, y[3:], 4)
    assert os.getpid() not in found["test_pid"]
    np.testing.assert_array_equal(found["test_sum"], look_at(X[3:], y[3:], 4)["test_sum"])
    assert sum(sent) < X.nbytes / 20


@pytest.mark.cluster
def test_files_are_sent_as_their_paths_once(engine, sent, tmp_path):
    X, y = large()
    for row, image in enumerate(X):
        cv2.imwrite(str(tmp_path / f"{'long' * 50}{row}.png"), (image * 255).astype(np.uint8))
    files = ImageFiles(sorted(tmp_path.iterdir()), (128, 128), color_mode="grayscale")
    with joblib.parallel_config(backend=engine.name):
        totals = []
        for folds in (4, 14):
            sent.clear()
            found = look_at(files, y, folds)
            totals.append(sum(sent))
    np.testing.assert_array_equal(found["test_sum"], look_at(files, y, 14)["test_sum"])
    assert totals[0] < X.nbytes / 20
    # A task weighs less than the list of paths.
    assert (totals[1] - totals[0]) / 10 < files.__sizeof__()


def test_a_part_of_a_map_is_found_again(tmp_path):
    np.save(tmp_path / "X.npy", np.arange(240.0).reshape(10, 4, 3, 2))
    for mode in ("r", "r+"):
        X = np.load(tmp_path / "X.npy", mmap_mode=mode)
        for part in (X, X[2:], X[2:][1:4], X[3], X.reshape(10, -1), X[:, :, :, None], X.T):
            there = _map_file(part)
            assert isinstance(there, _MapFile)
            np.testing.assert_array_equal(there.open(), part)
            # Strides of an axis of one are NumPy's to choose.
            assert there.open().flags.c_contiguous == part.flags.c_contiguous


def test_what_no_file_holds_is_sent_itself(tmp_path):
    np.save(tmp_path / "X.npy", np.zeros((10, 4)))
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    changed = np.load(tmp_path / "X.npy", mmap_mode="c")
    for it in (X[[1, 2]], X[::2], X + 1, changed, np.asarray(X), [1], None):
        assert _map_file(it) is it


def test_a_map_that_a_worker_cannot_open_says_what_to_do(tmp_path):
    np.save(tmp_path / "X.npy", np.zeros(10))
    there = _map_file(np.load(tmp_path / "X.npy", mmap_mode="r"))
    (tmp_path / "X.npy").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        there.open()
    assert "storage that all of them share" in caught.value.__notes__[0]


def test_files_weigh_what_their_paths_do():
    short, long = (ImageFiles([name] * 50, (8, 8)) for name in ("/a", "/" + "a" * 1000))
    assert long.__sizeof__() - short.__sizeof__() == pytest.approx(50 * 999, abs=50)


# -- on the worker ----------------------------------------------------------------------


@pytest.mark.cluster
def test_threads_follow_rays_num_cpus(engine, digits):
    if engine.name != "ray":
        pytest.skip("a Dask worker has its threads from its environment")
    with joblib.parallel_config(backend="ray", ray_remote_args={"num_cpus": 2}):
        found = search(digits)
    assert len(set(found["pid"].flat)) == 1
    assert (found["threads"] == min(2, threads._cores())).all()


@pytest.mark.cluster
def test_tasks_share_the_threads_of_a_dask_worker_without_a_nanny(monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "_cores", lambda: 64)
    monkeypatch.delattr(os, "sched_getaffinity")
    with (
        local_cluster(n_workers=1, threads_per_worker=6, processes=False) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert client.submit(threads.thread_count, pure=False).result() == 6
        both = client.map(threads_of_two, range(2), pure=False)
        assert client.gather(both) == [3, 3]
    assert threads.thread_count() == 64


@pytest.mark.cluster
def test_dask_forwards_our_log(engine, digits):
    if engine.name != "dask":
        pytest.skip("Ray prints what workers log to standard error")
    told = queue.Queue()
    handler = logging.Handler()
    handler.emit = lambda record: told.put(record.getMessage())
    logger = logging.getLogger("skimgcv")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    engine.client.forward_logging("skimgcv")
    # A worker's own logger has a level, too, which forwarding leaves alone.
    engine.client.run(lambda: logging.getLogger("skimgcv").setLevel(logging.DEBUG))
    try:
        with joblib.parallel_config(backend="dask"):
            cross_validate(classifier(compile__run_eagerly=True), *digits, cv=2)
        assert "for itself: it is not compiled" in told.get(timeout=60)
    finally:
        engine.client.unforward_logging("skimgcv")
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
