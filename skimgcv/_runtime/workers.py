"""Worker processes of joblib, Dask or Ray, which share a machine."""

from __future__ import annotations

import os
import sys

from skimgcv._runtime.other_internals import dask_workers, is_loky_worker

# Set before the first use of a GPU. The user's own setting, which is inherited, has priority.
_ON_DEMAND = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def share_gpus() -> None:
    """If this is a worker, let TensorFlow and JAX take a GPU's memory only as they need it.

    Otherwise the first of several workers takes all of it. Other processes are not changed.

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
