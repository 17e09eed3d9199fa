"""Processes that joblib, Dask or Ray started to fit in, beside others on one machine."""

from __future__ import annotations

import os
import sys

from skimgcv._runtime.other_internals import dask_workers, is_loky_worker

# Said before the first GPU is touched. A user's own setting, inherited, comes first.
_ON_DEMAND = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def share_gpus() -> None:
    """Let TensorFlow and JAX take a GPU's memory as they need it, if this is a worker.

    Otherwise the first of several workers takes all of it. In a process of the user's
    own nothing is changed.

    References
    ----------
    https://www.tensorflow.org/guide/gpu#limiting_gpu_memory_growth
    https://docs.jax.dev/en/latest/gpu_memory_allocation.html
    """
    if _is_worker():
        for name, value in _ON_DEMAND.items():
            os.environ.setdefault(name, value)


def _is_worker() -> bool:
    if is_loky_worker() or dask_workers():
        return True
    ray = sys.modules.get("ray")
    return bool(
        ray and ray.is_initialized() and ray.get_runtime_context().worker.mode == ray.WORKER_MODE
    )
