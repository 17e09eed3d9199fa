"""What a search costs on many workers, simulated from a few measured constants.

``python benchmarks/cluster_plan.py`` prints the plan for 1,000 candidates x 5 folds;
``--workers``, ``--fold-seconds`` and the like change it. With ``--check ENGINE`` the
constants are measured on this machine in a short search, and what the simulation says of a
longer one on 1 and 2 workers is printed beside what it took (about four times ``--seconds``).

A worker starts, gets X, and takes the next fold whenever it is free; a fold of an
architecture that it has no compiled model of traces one first. It keeps four.
"""

from __future__ import annotations

import argparse
import collections
import heapq
import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

KEPT = 4
"""Compiled models that a worker keeps: ``skimgcv._compiled.run._twins``."""


@dataclass(frozen=True)
class Costs:
    """Seconds and bytes that a search is made of.

    Attributes
    ----------
    start : float
        Until a worker has begun and has imported TensorFlow; workers do it side by side.
    trace : float
        More that a worker's first fold of an architecture takes.
    fold : float
        A fold on a worker that knows its architecture.
    spread : float
        Standard deviation of a fold, as a share of it (drawn log-normal).
    task : float
        Of the scheduler for a task, one after the other.
    x_bytes, bandwidth : float
        X, and bytes a second that leave the machine that has it. Workers pass it on, so
        the time grows with the logarithm of their number.
    """

    start: float = 15.0
    trace: float = 1.5
    fold: float = 60.0
    spread: float = 0.2
    task: float = 0.005
    x_bytes: float = 1e9
    bandwidth: float = 1e8


def simulate(
    costs: Costs, *, candidates: int, folds: int, workers: int, architectures: int, seed: int = 0
) -> dict[str, float]:
    """Return seconds of the whole search, and where they went."""
    rng = np.random.default_rng(seed)
    sigma = np.sqrt(np.log1p(costs.spread**2))
    work = costs.fold * np.exp(rng.normal(-(sigma**2) / 2, sigma, (candidates, folds)))
    kind = np.arange(candidates) * architectures // candidates  # as a grid lists them
    transfer = costs.x_bytes / costs.bandwidth * (np.ceil(np.log2(workers)) + 1)
    free = [(costs.start + transfer, worker) for worker in range(workers)]
    known = [collections.OrderedDict() for _ in range(workers)]
    ended = np.zeros(workers)
    traces = 0
    for number, (candidate, fold) in enumerate(np.ndindex(candidates, folds)):
        at, worker = heapq.heappop(free)
        at = max(at, costs.start + transfer + number * costs.task) + work[candidate, fold]
        if kind[candidate] not in known[worker]:
            at, traces = at + costs.trace, traces + 1
            known[worker][kind[candidate]] = True
            if len(known[worker]) > KEPT:
                known[worker].popitem(last=False)
        known[worker].move_to_end(kind[candidate])
        ended[worker] = at
        heapq.heappush(free, (at, worker))
    wall = max(ended)
    return {
        "wall": wall,
        "start": costs.start,
        "transfer": transfer,
        "tracing": traces * costs.trace / workers,
        "tail": wall - ended.mean(),
        "search": wall - costs.start - transfer,
        "efficiency": work.sum() / (workers * wall),
    }


def show(rows: list[tuple[str, dict[str, float]]]) -> None:
    names = ("wall", "start", "transfer", "tracing", "tail", "efficiency")
    print(f"{'':34}" + "".join(f"{name:>11}" for name in names))
    for label, result in rows:
        print(f"{label:34}" + "".join(f"{result[n]:11.2f}" for n in names))


def check(engine: str, seconds: float) -> None:
    """Measure the constants in a search of a few folds; foretell a longer one."""
    path = Path(__file__).with_name("cluster.py")
    spec = importlib.util.spec_from_file_location("cluster_benchmark", path)
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    X, y = bench.data()
    candidates = None
    for workers in (1, 2):
        # As many workers: two processes on one machine slow each other down.
        n_few = 2 * workers
        start, took, _, fold, spread = bench.run(engine, workers, n_few, X, y)
        candidates = candidates or max(2, round(seconds / fold / bench.FOLDS))
        between = max(0.0, workers * took / (n_few * bench.FOLDS) - fold)
        costs = Costs(start=0, trace=0, fold=fold + between, spread=spread, task=0, x_bytes=0)
        told = simulate(
            costs, candidates=candidates, folds=bench.FOLDS, workers=workers, architectures=1
        )["search"]
        took = bench.run(engine, workers, candidates, X, y)[1]
        print(
            f"{engine}, {workers} workers: start-up {start:.1f} s, a fold {fold:.2f} s (spread "
            f"{spread:.2f}), between folds {between:.3f} s; {candidates} candidates: foretold "
            f"{told:.1f} s, measured {took:.1f} s, ratio {took / told:.2f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--candidates", type=int, default=1000)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--fold-seconds", type=float, default=Costs.fold)
    parser.add_argument("--trace-seconds", type=float, default=Costs.trace)
    parser.add_argument("--start-seconds", type=float, default=Costs.start)
    parser.add_argument("--x-bytes", type=float, default=Costs.x_bytes)
    parser.add_argument("--bandwidth", type=float, default=Costs.bandwidth)
    parser.add_argument("--check", choices=("loky", "dask", "ray"))
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    if options.check:
        check(options.check, options.seconds)
        return
    costs = Costs(
        options.start_seconds,
        options.trace_seconds,
        options.fold_seconds,
        x_bytes=options.x_bytes,
        bandwidth=options.bandwidth,
    )
    size = {"candidates": options.candidates, "folds": options.folds}
    rows = []
    for workers in sorted({1, 8, options.workers}):
        result = simulate(costs, workers=workers, architectures=1, **size)
        rows.append((f"{workers} workers, 1 architecture", result))
    many = {"workers": options.workers, **size}
    rows += [
        ("50 architectures", simulate(costs, architectures=50, **many)),
        ("every candidate its own", simulate(costs, architectures=options.candidates, **many)),
        (
            "folds that differ by half",
            simulate(replace(costs, spread=0.5), architectures=1, **many),
        ),
        ("folds of 2 s", simulate(replace(costs, fold=2.0), architectures=1, **many)),
        (
            "folds of 2 s, X by its path",
            simulate(replace(costs, fold=2.0, x_bytes=0), architectures=1, **many),
        ),
    ]
    show(rows)


if __name__ == "__main__":
    main()
