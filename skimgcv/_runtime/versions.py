"""Versions of other packages, and what is said where one lacks what we build on."""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from skimgcv._runtime.callers import user_stacklevel
from skimgcv.exceptions import UnsupportedVersionError, UnsupportedVersionWarning

_F = TypeVar("_F", bound=Callable[..., Any])
_tried: list[Any] = []
# What a name that is missing raises, or one that means something else now.
_CHANGED = (ImportError, AttributeError, LookupError, TypeError)


def version_of(package: str) -> str:
    """Return the version that a package itself states.

    The distribution that it came in may have another name: tensorflow-cpu, keras-nightly.
    """
    module = importlib.import_module(package)
    return str(getattr(module, "__version__", "of an unknown version"))


def unsupported(package: str, purpose: str, error: BaseException) -> UnsupportedVersionError:
    """Return an error that says which package lacks what ``purpose`` needs."""
    return UnsupportedVersionError(
        f"skimgcv cannot work with {package} {version_of(package)}: it lacks something needed "
        f"{purpose} ({type(error).__name__}: {error}). Install another version of {package}, or "
        "a newer skimgcv."
    )


def require(condition: object, what: str) -> None:
    """Raise where something does not do what it did."""
    if not condition:
        raise LookupError(what)


def refusing(package: str, purpose: str) -> Callable[[_F], _F]:
    """Let a function that reads private names say whose version lacks them.

    Parameters
    ----------
    package : str
    purpose : str
        What the names are for: "to save a model".
    """

    def decorate(function: _F) -> _F:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except _CHANGED as error:
                raise unsupported(package, purpose, error) from error

        return call  # type: ignore[return-value]

    return decorate


def remembered(function: _F) -> _F:
    """Cache what a function returns until ``try_again``."""
    cached = functools.cache(function)
    _tried.append(cached)
    return cached  # type: ignore[return-value]


def needed(package: str, purpose: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Make a canary of a check: it is tried once, and what fails is an error.

    Raises
    ------
    UnsupportedVersionError
        By what is made, where the check raises.
    """

    def decorate(check: Callable[[], None]) -> Callable[[], None]:
        @remembered
        def canary() -> None:
            try:
                check()
            except Warning:  # made an error by the user's own filter: it says nothing here
                raise
            except Exception as error:
                raise unsupported(package, purpose, error) from error

        return canary

    return decorate


def given_up(package: str, feature: str, instead: str) -> Callable[[Callable[[], Any]], Any]:
    """Make a canary of a check: it is tried once, and what fails is done another way.

    What is made returns what the check does, and None, with an
    ``UnsupportedVersionWarning``, where the check raises.
    """

    def decorate(check: Callable[[], Any]) -> Any:
        @remembered
        def canary() -> Any:
            try:
                return check()
            except Warning:
                raise
            except Exception as error:
                warnings.warn(
                    f"{feature} does not work with {package} {version_of(package)} "
                    f"({type(error).__name__}: {error}). So {instead}. Results are the same.",
                    UnsupportedVersionWarning,
                    stacklevel=user_stacklevel(),
                )
                return None

        return canary

    return decorate


def try_again() -> None:
    """Forget what was tried, for tests that change it."""
    for canary in _tried:
        canary.cache_clear()
