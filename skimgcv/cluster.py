"""Dask and Ray as joblib backends for folds of images.

Call ``register_dask()`` or ``register_ray()``, and then, for any scikit-learn tool::

    with joblib.parallel_config(backend="ray"):
        GridSearchCV(clf, grid).fit(X, y)

Scores equal those of ``n_jobs=1``, bit for bit. An X in memory is sent once to each worker (Dask)
or machine (Ray), for any number of folds. A memory map and ``ImageFiles`` are sent as paths. A
worker that dies is replaced, and its folds run again.
"""

from __future__ import annotations

import asyncio
import functools
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import joblib
import numpy as np
from joblib._parallel_backends import (
    AutoBatchingMixin,
    ParallelBackendBase,
    SequentialBackend,
)

from skimgcv._runtime.optional import require
from skimgcv.exceptions import SkimgcvWarning

__all__ = ["register_dask", "register_ray"]

_LARGE_BYTES = 1000
"""Larger arguments are sent separately, once. This is joblib's own limit for Dask."""
_GRAPH_BYTES = 10_000_000
"""Larger arguments do not pass Dask's scheduler, which would warn of them."""
_SECONDS_BETWEEN_LOOKS = 30.0
"""A search on a Dask cluster without workers at two looks in a row waits with a warning."""
_NO_WORKERS = (
    "The Dask cluster has no workers any more; the folds wait until one joins, for example after "
    "cluster.scale(n). A LocalCluster gives up a worker that takes more than 15 s to start again. "
    "On a busy machine, call before you create the cluster: "
    'dask.config.set({"distributed.deploy.lost-worker-timeout": "5 minutes"})'
)


def register_dask() -> None:
    """Register this module's Dask backend as ``joblib.parallel_config(backend="dask")``.

    joblib's own Dask backend gives the same scores, and also sends X once. But it sends the
    pixels of a memory map. A search fails with ``FutureCancelledError`` if the only worker
    that has an argument dies, and never ends if a fold cannot be pickled or kills its
    workers. The waiting folds of an interrupted search still run. If the cluster has one
    thread, the calling process computes the folds.

    Raises
    ------
    ImportError
        Without ``distributed``: ``pip install "skimgcv[dask]"``.

    Notes
    -----
    It has joblib's options: ``parallel_config(backend="dask", client=..., retries=...)``.
    The number of folds that run at once is the number of the workers' threads; ``n_jobs``
    has no effect. Start workers with one thread each, because fits in threads of one process
    wait for each other. As long as one worker lives, others may die. A search that has lost all
    workers waits for one, with a warning. ``LocalCluster`` gives up a worker that takes more
    than 15 s to start again, as on a busy machine. To change that, call before you create the
    cluster:
    ``dask.config.set({"distributed.deploy.lost-worker-timeout": "5 minutes"})``. Dask's
    ``MALLOC_TRIM_THRESHOLD_`` made training 1.4 to 1.8 times as long (two workers, two
    cores). To avoid this, call before you start workers:
    ``dask.config.set({"distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None})``.

    References
    ----------
    https://joblib.readthedocs.io/en/stable/auto_examples/parallel/distributed_backend_simple.html

    Examples
    --------
    >>> from skimgcv.cluster import register_dask
    >>> register_dask()  # doctest: +SKIP
    >>> with joblib.parallel_config(backend="dask"):  # doctest: +SKIP
    ...     cross_val_score(clf, X, y)
    """
    require("distributed", extra="dask", purpose="The Dask backend")
    joblib.register_parallel_backend("dask", _dask_backend())


def register_ray() -> None:
    """Register this module's Ray backend as ``joblib.parallel_config(backend="ray")``.

    It replaces ``ray.util.joblib.register_ray``, which gives the same scores, but sends X with
    each task, starts new processes (which import TensorFlow) for each search, assigns tasks
    in turns, and fails if a process dies.

    Raises
    ------
    ImportError
        Without ``ray``: ``pip install "skimgcv[ray]"``.

    Notes
    -----
    Options are those of ``ray.remote``:
    ``parallel_config(backend="ray", ray_remote_args={"num_cpus": 2})``. ``num_gpus=1`` gives
    each fit its own GPU. By default a task has one CPU, and runs up to three times again if
    its process dies. Ray runs as many tasks at once as the cluster can hold; ``n_jobs`` has no
    effect. Without ``ray.init``, Ray finds or starts a cluster. If no node has the resources of
    a task, folds wait for one, with a warning.

    References
    ----------
    https://docs.ray.io/en/latest/ray-more-libs/joblib.html

    Examples
    --------
    >>> from skimgcv.cluster import register_ray
    >>> register_ray()  # doctest: +SKIP
    >>> with joblib.parallel_config(backend="ray"):  # doctest: +SKIP
    ...     cross_val_score(clf, X, y)
    """
    require("ray", extra="ray", purpose="The Ray backend")
    joblib.register_parallel_backend("ray", _RayBackend)


@functools.cache
def _dask_backend() -> type:
    from joblib._dask import (
        DaskDistributedBackend,
        _TracebackCapturingWrapper,
        _WeakKeyDictionary,
    )

    class DaskBackend(DaskDistributedBackend):
        """joblib's backend sends a large argument to one worker; if that dies, it is lost."""

        def __init__(self, *args: Any, nesting_level: int | None = None, **kwargs: Any) -> None:
            # Parallel(backend="dask") passes the level, which joblib's backend treats as an option
            # of Dask.
            super().__init__(*args, **kwargs)
            self.nesting_level = nesting_level
            self._running: set[Any] = set()
            self._warned = False

        def effective_n_jobs(self, n_jobs: int) -> int:
            """Return the number of threads of the workers, at least 2."""
            # With 1, joblib would run in this process, not on the cluster.
            return max(2, super().effective_n_jobs(n_jobs))

        def start_call(self) -> None:
            """Begin a call; joblib's backend would also poll for results, 100 times a second."""
            self.call_data_futures = _WeakKeyDictionary()
            self._warned = False

        def stop_call(self) -> None:
            """Release the arguments that were sent."""
            self.call_data_futures.clear()

        def submit(self, func: Any, callback: Callable[[Any], None]) -> Any:
            """Start a batch; return its future."""
            loop = self.client.loop.asyncio_loop
            return asyncio.run_coroutine_threadsafe(self._compute(func, callback), loop)

        async def _compute(self, func: Any, callback: Callable[[Any], None]) -> None:
            # joblib is always notified of the end. joblib's own backend waits for ever if a batch
            # cannot be pickled, or has killed as many workers as Dask allows.
            sent = None
            try:
                batch, tasks = await self._to_func_args(func)
                sent = self.client.submit(
                    _TracebackCapturingWrapper(batch),
                    tasks=tasks,
                    key=f"{batch!r}-{uuid4().hex}",
                    **self.submit_kwargs,
                )
                self._running.add(sent)
                gathered = asyncio.ensure_future(self.client.gather(sent, asynchronous=True))
                out = await self._seen_to_its_end(gathered)
            except BaseException as error:  # the error of a cancelled future is not an Exception
                out = error
            self._running.discard(sent)
            callback(out)

        async def _seen_to_its_end(self, gathered: asyncio.Future[Any]) -> Any:
            looks_without = 0
            try:
                while not (await asyncio.wait([gathered], timeout=_SECONDS_BETWEEN_LOOKS))[0]:
                    looks_without = looks_without + 1 if await self._has_no_workers() else 0
                    if looks_without == 2 and not self._warned:
                        self._warned = True
                        warnings.warn(_NO_WORKERS, SkimgcvWarning, stacklevel=2)
                return gathered.result()
            finally:
                gathered.cancel()

        async def _has_no_workers(self) -> bool:
            try:
                return not await self.client.ncores()
            except Exception:  # a busy scheduler, which may answer the next time
                return False

        def abort_everything(self, ensure_ready: bool = True) -> None:
            """Cancel waiting batches; joblib's backend would let workers run them."""
            self.client.cancel(list(self._running))

        async def _to_func_args(self, func: Any) -> Any:
            func.items = _by_path(func.items)
            for _, args, kwargs in func.items:
                for arg in (*args, *kwargs.values()):
                    if _is_large(arg) and not self._is_sent(arg):
                        # Recorded before it is sent, since other tasks may need it meanwhile.
                        self.call_data_futures[arg] = asyncio.ensure_future(self._send(arg))
            return await super()._to_func_args(func)

        def _is_sent(self, arg: Any) -> bool:
            try:
                return id(arg) in self.data_futures or bool(self.call_data_futures[arg])
            except KeyError:
                return False

        async def _send(self, arg: Any) -> Any:
            if _n_bytes(arg) <= _GRAPH_BYTES:
                # The scheduler keeps it, and sends it to the worker that replaces a dead one.
                return self.client.submit(_itself, arg, pure=False)
            return await self.client.scatter(arg, broadcast=True, hash=False, asynchronous=True)

    return DaskBackend


class _RayBackend(AutoBatchingMixin, ParallelBackendBase):
    """A Ray task for each of joblib's batches: Ray places it, and repeats it if necessary."""

    supports_retrieve_callback = True
    default_n_jobs = -1

    def __init__(
        self,
        ray_remote_args: dict[str, Any] | None = None,
        *,
        nesting_level: int | None = None,
        inner_max_num_threads: int | None = None,
    ) -> None:
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
        if not isinstance(ray_remote_args, dict | None):
            raise TypeError(
                f"ray_remote_args takes a dict, such as {{'num_gpus': 1}}, got {ray_remote_args!r}"
            )
        self._options = {"num_cpus": 1, "max_retries": 3, **(ray_remote_args or {})}
        self._sent: dict[int, tuple[Any, Any]] = {}
        self._running: set[Any] = set()
        self._task: Any = None

    def effective_n_jobs(self, n_jobs: int) -> int:
        """Return the number of tasks that the cluster can run at once, at least 2."""
        import ray

        if not ray.is_initialized():
            ray.init()
        has = ray.cluster_resources()
        needs = {"CPU": self._options["num_cpus"], "GPU": self._options.get("num_gpus", 0)}
        needs.update(self._options.get("resources") or {})
        for resource, needed in needs.items():
            if needed > has.get(resource, 0):
                warnings.warn(
                    f"A fold asks for {needed} {resource}, and the Ray cluster has "
                    f"{has.get(resource, 0):g} in all. It waits until a larger node joins. See "
                    "ray_remote_args.",
                    SkimgcvWarning,
                    stacklevel=2,
                )
        # With 1, joblib would run in this process, not on the cluster.
        return max(2, min((int(has.get(k, 0) // n) for k, n in needs.items() if n), default=1))

    def submit(self, func: Any, callback: Callable[[Any], None] | None = None) -> Any:
        """Start a batch; return its future."""
        import ray

        calls = [
            (f, [self._lean(a) for a in args], {k: self._lean(v) for k, v in kwargs.items()})
            for f, args, kwargs in _by_path(func.items)
        ]
        if self._task is None:
            self._task = ray.remote(_run_in_ray).options(**self._options)
        reference = self._task.remote(calls, max(1, int(self._options["num_cpus"])))
        self._running.add(reference)
        future = reference.future()
        future.add_done_callback(lambda _: self._running.discard(reference))
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def _lean(self, arg: Any) -> Any:
        """Put large arguments into the object store, once in each call."""
        import ray

        if not _is_large(arg):
            return arg
        if id(arg) not in self._sent:
            # An id is unique only while the object lives, so the object is kept.
            self._sent[id(arg)] = (arg, ray.put(arg))
        return self._sent[id(arg)][1]

    def retrieve_result_callback(self, out: Any) -> Any:
        """Return a batch's results, or raise its error."""
        result = out.result()
        if isinstance(result, BaseException):
            raise result
        return result

    def stop_call(self) -> None:
        """Release the arguments that were sent."""
        self._sent.clear()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Cancel batches whose results are no longer needed."""
        import ray

        for reference in list(self._running):
            ray.cancel(reference)

    def get_nested_backend(self) -> tuple[Any, int]:
        """Run nested parallel calls in the task's own process."""
        return SequentialBackend(nesting_level=1), 1


def _run_in_ray(calls: list[tuple[Any, list[Any], dict[str, Any]]], threads: int) -> Any:
    import traceback

    import ray

    # Ray sets this when it starts a process, and then gives it tasks of other sizes.
    os.environ["OMP_NUM_THREADS"] = str(threads)

    def whole(arg: Any) -> Any:
        return ray.get(arg) if isinstance(arg, ray.ObjectRef) else arg

    try:
        with joblib.parallel_config(backend="sequential"):
            return [
                f(*map(whole, args), **{k: whole(v) for k, v in kwargs.items()})
                for f, args, kwargs in calls
            ]
    except Exception as error:
        # Raised unchanged: Ray would raise its own class. A traceback cannot be sent.
        error.add_note("".join(traceback.format_exception(error)))
        return error


def _is_large(arg: Any) -> bool:
    # Objects without weak references are sent with each task, as joblib's Dask backend requires.
    return not isinstance(arg, (list, tuple, dict, str, bytes)) and _n_bytes(arg) > _LARGE_BYTES


def _n_bytes(arg: Any) -> int:
    return int(getattr(arg, "nbytes", 0) or sys.getsizeof(arg))


def _itself(arg: Any) -> Any:
    return arg


@dataclass(frozen=True)
class _MapFile:
    """The place of a memory map, which is sent instead of it."""

    path: str
    dtype: np.dtype[Any]
    offset: int
    shape: tuple[int, ...]
    order: str

    def open(self) -> np.ndarray:
        try:
            return np.memmap(
                self.path,
                self.dtype,
                "r",
                self.offset,
                self.shape,
                self.order,  # type: ignore[call-overload]
            )
        except OSError as error:
            error.add_note(
                f"X is a memory map, of which workers get the path: {self.path} must lie on "
                "storage that all of them share. Or pass np.array(X), which sends the pixels."
            )
            raise


def _by_path(items: list[Any]) -> list[Any]:
    """Replace memory maps among the arguments of calls by the paths of their files."""
    found = [_with_paths(*item) for item in items]
    return [new or old for new, old in zip(found, items, strict=True)]


def _with_paths(f: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    sent = [_map_file(a) for a in args]
    named = {k: _map_file(v) for k, v in kwargs.items()}
    if not any(isinstance(a, _MapFile) for a in (*sent, *named.values())):
        return None
    return functools.partial(_with_maps, f), sent, named


def _with_maps(f: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return f(*map(_opened, args), **{k: _opened(v) for k, v in kwargs.items()})


def _opened(arg: Any) -> Any:
    return arg.open() if isinstance(arg, _MapFile) else arg


def _map_file(arg: Any) -> Any:
    # Changes to a copy-on-write map exist only in its pages.
    if not isinstance(arg, np.memmap) or arg.filename is None or arg.mode == "c":
        return arg
    order = "C" if arg.flags.c_contiguous else "F"
    if not arg.flags.forc:
        return arg
    base: Any = arg
    while isinstance(base.base, np.ndarray):
        base = base.base
    start = np.lib.array_utils.byte_bounds(arg)[0] - np.lib.array_utils.byte_bounds(base)[0]
    if arg.mode != "r":
        base.flush()
    return _MapFile(str(arg.filename), arg.dtype, base.offset + start, arg.shape, order)
