"""Two workers against one, for loky, Dask and Ray in one run; and the bytes that a task takes.

Run as ``python benchmarks/cluster.py [--seconds 120] [--rounds 1] [--only loky dask ray]``,
on a machine that has two cores to spare. ``--seconds`` is about how long the search takes
one worker: the number of its candidates is found from a first fit. Start-up is what
comes before all workers have TensorFlow and a compiled model, and is timed by itself;
efficiency is time of one worker / (2 x time of two), without it, in the same round. Engines
take turns, and one or two workers go first in turns; each figure is the median of the rounds.
One worker of loky's is this process itself.

A worker is one core: ``TF_NUM_INTRAOP_THREADS=1``, unless the environment says otherwise, and
pinned to it. One worker alone would gain from the second's core otherwise: it makes the next
batch beside the step, and keeps 1.3 cores busy.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
warnings.filterwarnings("ignore", category=DeprecationWarning)

import joblib  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
import psutil  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402

from skimgcv import AugmentedKerasClassifier, ImageAugmenter  # noqa: E402
from skimgcv.cluster import register_dask, register_ray  # noqa: E402

FOLDS = 5
ENGINES = ("loky", "dask", "ray")


def build(meta: dict) -> keras.Model:
    """Build the CNN that most tutorials begin with."""
    return keras.Sequential(
        [
            keras.layers.Input(meta["image_shape_"]),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(meta["n_classes_"], activation="softmax"),
        ]
    )


def data(n: int = 1000, pixels: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Make images whose class is their brightest quarter, under noise."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, n)
    X = rng.integers(0, 180, (n, pixels, pixels, 3))
    half = pixels // 2
    for row, label in enumerate(y):
        top, left = half * (label // 2), half * (label % 2)
        X[row, top : top + half, left : left + half] += 60
    return X.astype(np.uint8), y


def search(candidates: int, X: np.ndarray, y: np.ndarray) -> GridSearchCV:
    """Search over rotations: one architecture, so that a worker compiles one model."""
    clf = AugmentedKerasClassifier(
        build,
        augmenter=ImageAugmenter(horizontal_flip=True, rescale=1 / 255),
        epochs=3,
        random_state=0,
    )
    grid = {"augmenter__rotation_range": np.linspace(0, 30, candidates).tolist()}
    return GridSearchCV(clf, grid, cv=FOLDS, refit=False, error_score="raise").fit(X, y)


# -- engines ------------------------------------------------------------------------------


@contextlib.contextmanager
def loky(workers: int) -> Iterator[None]:
    from joblib.externals.loky import get_reusable_executor

    with joblib.parallel_config(backend="loky", n_jobs=workers, inner_max_num_threads=1):
        yield
    get_reusable_executor().shutdown(wait=True)


@contextlib.contextmanager
def dask(workers: int) -> Iterator[None]:
    from dask import config
    from distributed import Client, LocalCluster

    register_dask()
    options = {"threads_per_worker": 1, "dashboard_address": None}
    # What docs/beyond_one_machine.rst says to set.
    settings = {
        "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
        "distributed.worker.profile.enabled": False,
        "distributed.admin.tick.interval": "1s",
    }
    with (
        config.set(settings),
        LocalCluster(n_workers=workers, **options) as cluster,
        Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        yield


@contextlib.contextmanager
def ray(workers: int) -> Iterator[None]:
    import ray as engine

    register_ray()
    engine.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
    with joblib.parallel_config(backend="ray"):
        yield
    engine.shutdown()


def warm(workers: int, X: np.ndarray, y: np.ndarray) -> None:
    """Give each worker a fold, of which it learns all that later ones use again."""
    search(-(-2 * workers // FOLDS), X, y)


@contextlib.contextmanager
def pinned(engine: str, workers: int) -> Iterator[None]:
    """Keep the workers, which are the processes that have worked most, to a core each."""
    me = psutil.Process()
    cores = os.sched_getaffinity(0)
    busiest = sorted(me.children(recursive=True), key=lambda p: sum(p.cpu_times()[:2]))
    processes = [me] if (engine, workers) == ("loky", 1) else busiest[-workers:]
    for process, core in zip(processes, sorted(cores), strict=False):
        for thread in process.threads():
            os.sched_setaffinity(thread.id, {core})
    try:
        yield
    finally:
        for thread in me.threads():
            os.sched_setaffinity(thread.id, cores)


def n_bytes(engine: str) -> Callable[[], int]:
    """Count what leaves for the workers from now on; loky's pipes are not counted."""
    sent = [0]
    if engine == "dask":
        tcp = importlib.import_module("distributed.comm.tcp").TCP
        write = tcp.write

        async def written(self, *args, **kwargs):
            sent[0] += (n := await write(self, *args, **kwargs))
            return n

        tcp.write = written
    elif engine == "ray":
        context = importlib.import_module("ray._private.serialization").SerializationContext
        serialize = context.serialize

        def serialized(self, value):
            made = serialize(self, value)
            sent[0] += made.total_bytes
            return made

        context.serialize = serialized
    return lambda: sent[0]


def run(engine: str, workers: int, candidates: int, X: np.ndarray, y: np.ndarray) -> tuple:
    """Return start-up and search in seconds, the scores, and a fold's seconds and spread."""
    start = time.perf_counter()
    with {"loky": loky, "dask": dask, "ray": ray}[engine](workers):
        warm(workers, X, y)
        with pinned(engine, workers):
            began = time.perf_counter()
            found = search(candidates, X, y)
            ended = time.perf_counter()
    splits = [found.cv_results_[f"split{i}_test_score"] for i in range(FOLDS)]
    fits = found.cv_results_["mean_fit_time"] + found.cv_results_["mean_score_time"]
    spread = found.cv_results_["std_fit_time"] / found.cv_results_["mean_fit_time"]
    return (
        began - start,
        ended - began,
        np.array(splits),
        float(fits.mean()),
        float(spread.mean()),
    )


def sent_a_task(engine: str, X: np.ndarray, y: np.ndarray) -> float:
    """Compare a search with one of twice its tasks: X and start-up cancel out."""
    count = n_bytes(engine)
    with {"dask": dask, "ray": ray}[engine](2):
        totals = []
        for candidates in (1, 2, 4):
            before = count()
            search(candidates, X, y)
            totals.append(count() - before)
    return (totals[2] - totals[1]) / (2 * FOLDS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=list(ENGINES), choices=ENGINES)
    options = parser.parse_args()
    X, y = data()
    search(1, X, y)
    start = time.perf_counter()
    expected = search(2, X, y)
    fold = (time.perf_counter() - start) / (2 * FOLDS)
    candidates = max(2, round(options.seconds / fold / FOLDS))
    del expected
    print(f"{candidates} candidates x {FOLDS} folds of about {fold:.2f} s, X of {X.nbytes} bytes")

    figures: dict[tuple[str, int], list[tuple]] = {}
    for turn in range(options.rounds):
        # A busy machine's speed drifts: one and two workers of an engine, one after the other.
        for engine in options.only:
            for workers in ((1, 2), (2, 1))[turn % 2]:
                result = run(engine, workers, candidates, X, y)
                figures.setdefault((engine, workers), []).append(result)
                print(
                    f"  {engine} {workers}: start {result[0]:.1f} s, search {result[1]:.1f} s, "
                    f"a fold {result[3]:.2f} s",
                    flush=True,
                )

    scores = [result[2] for results in figures.values() for result in results]
    same = all(np.array_equal(scores[0], other) for other in scores)
    print(f"\nscores are the same to the bit: {same}")
    print(
        f"{'':6}{'start-up':>10}{'1 worker':>10}{'2 workers':>11}{'efficiency':>12}"
        f"{'beside loky':>13}{'bytes a task':>14}"
    )
    base = None
    for engine in options.only:
        median = {
            (workers, i): statistics.median(r[i] for r in figures[engine, workers])
            for workers in (1, 2)
            for i in (0, 1)
        }
        efficiency = statistics.median(
            one[1] / 2 / two[1]
            for one, two in zip(figures[engine, 1], figures[engine, 2], strict=True)
        )
        base = base or median[2, 1]
        sent = f"{sent_a_task(engine, X, y):.0f}" if engine != "loky" else "-"
        print(
            f"{engine:6}{median[2, 0]:10.1f}{median[1, 1]:10.1f}{median[2, 1]:11.1f}"
            f"{efficiency:12.2f}{median[2, 1] / base:13.2f}{sent:>14}",
            flush=True,
        )


if __name__ == "__main__":
    main()
