"""Seeds for code that draws from global generators, which are restored."""

from __future__ import annotations

import contextlib
import functools
import random
import secrets
import threading
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import keras
import numpy as np
from sklearn.utils import check_random_state

from skimgcv._runtime.keras_internals import global_seed_generator, set_global_seed_generator
from skimgcv._runtime.versions import needed, require

# The process has one of each generator: two threads must not seed them at once.
_lock = threading.RLock()
_FUNCTIONS = [n for n, f in vars(random).items() if isinstance(getattr(f, "__self__", 0), Random)]


def check_seed(random_state: Any) -> int:
    """Return the integer that seeds one fit.

    ``None`` uses the operating system and not NumPy's global generator, so other numbers do not
    change. A ``RandomState`` gives the next number, as in scikit-learn.
    """
    if random_state is None:
        return secrets.randbits(64)
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**63))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    check_random_state(random_state)
    return int(random_state)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed ``random``, ``numpy.random`` and Keras' unseeded numbers; restore them.

    Keras' initialisers and layers draw their own seeds from ``random`` when
    they are made. So a builder returns the same weights again.
    """
    _check_numbers_are_seeded()
    with _seeded(seed):
        yield


@needed("keras", "to repeat random numbers")
def _check_numbers_are_seeded() -> None:
    drawn = []
    for seed in (0, 0, 1):
        with _seeded(seed):
            number = keras.random.uniform((), dtype="float32")
            state = keras.random.SeedGenerator(name="seed_generator").state
            drawn.append([float(keras.ops.convert_to_numpy(v).sum()) for v in (number, state)])
    again = drawn[0] == drawn[1]
    require(again, "its numbers are not drawn from `random`, or its generator is elsewhere")
    require(not set(drawn[1]) & set(drawn[2]), "another seed gives the same numbers")


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    words = np.random.SeedSequence(seed).generate_state(4)
    with _lock:
        python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
        generator = global_seed_generator()
        try:
            random.seed(words.tobytes())
            np.random.seed(words)  # noqa: NPY002
            # Keras makes it again from `random` at its first use in the builder.
            set_global_seed_generator(None)
            with _random_to_ourselves(words.tobytes()):
                yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
            set_global_seed_generator(generator)


@contextlib.contextmanager
def _random_to_ourselves(seed: bytes) -> Iterator[None]:
    """Keep other threads from drawing numbers of ``random`` that belong to this one.

    Some threads draw and cannot be locked out: those of a Dask worker, twice a second.
    """
    own, us = Random(seed), {threading.get_ident()}
    shared = {name: getattr(random, name) for name in _FUNCTIONS}
    try:
        for name, function in shared.items():
            setattr(random, name, _parted(function, getattr(own, name), us))
        yield
    finally:
        us.clear()
        for name, function in shared.items():
            setattr(random, name, function)


def _parted(shared: Callable[..., Any], own: Callable[..., Any], us: set[int]) -> Any:
    @functools.wraps(shared)
    def draw(*args: Any, **kwargs: Any) -> Any:
        return (own if threading.get_ident() in us else shared)(*args, **kwargs)

    return draw
