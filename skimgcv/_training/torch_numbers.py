"""PyTorch's global random numbers, from which Keras' dropout draws on that backend."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import keras

from skimgcv._runtime.random_streams import stream

# The generator is the process's: fits in two threads take turns.
_lock = threading.RLock()


@contextlib.contextmanager
def seeded_torch(
    seed: int, *, first_epoch: int, first_drawn: int
) -> Iterator[list[keras.callbacks.Callback]]:
    """Seed each epoch's dropout on the PyTorch backend, and restore the generator.

    On other backends the layers have their own generators.

    Parameters
    ----------
    seed : int
    first_epoch : int
        Keras' number of the first epoch of this fit.
    first_drawn : int
        The number that keys this epoch's random numbers, so that an epoch after an interruption,
        or of ``partial_fit``, gets the same numbers.

    Yields
    ------
    list of keras.callbacks.Callback
        One for the fit, or none on other backends.
    """
    if keras.backend.backend() != "torch":
        yield []
        return
    import torch

    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with _lock, torch.random.fork_rng(devices):
        yield [_SeedTorch(seed, first_drawn - first_epoch)]


class _SeedTorch(keras.callbacks.Callback):
    def __init__(self, seed: int, offset: int) -> None:
        super().__init__()
        self._seed = seed
        self._offset = offset

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        import torch

        rng = stream(self._seed, "dropout", epoch + self._offset)
        torch.manual_seed(int(rng.integers(2**63)))
