"""Versions of other packages, and errors and warnings if one lacks a private name."""

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
# The errors of a missing name, or of one with a new meaning.
_CHANGED = (ImportError, AttributeError, LookupError, TypeError)


def version_of(package: str) -> str:
    """Return the version that a package itself states.

    Its distribution may have another name: tensorflow-cpu, keras-nightly.
    """
    module = importlib.import_module(package)
    return str(getattr(module, "__version__", "of an unknown version"))


def unsupported(package: str, purpose: str, error: BaseException) -> UnsupportedVersionError:
    """Return an error that names the package that lacks something for ``purpose``."""
    return UnsupportedVersionError(
        f"{package} {version_of(package)} lacks something that skimgcv needs {purpose} "
        f"({type(error).__name__}: {error}). Install another version of {package}, or "
        "a newer skimgcv."
    )


def require(condition: object, what: str) -> None:
    """Raise an error if something no longer works."""
    if not condition:
        raise LookupError(what)


def refusing(package: str, purpose: str) -> Callable[[_F], _F]:
    """Let errors of a function that uses private names tell the package's version.

    Parameters
    ----------
    package : str
    purpose : str
        The purpose of the names, such as "to save a model".
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
    """Make a canary of a check: it runs once, and its failure is an error.

    Raises
    ------
    UnsupportedVersionError
        Raised by the canary, if the check raises an error.
    """

    def decorate(check: Callable[[], None]) -> Callable[[], None]:
        @remembered
        def canary() -> None:
            try:
                check()
            except Warning:  # a warning that the user's filter made an error: it is no failure
                raise
            except Exception as error:
                raise unsupported(package, purpose, error) from error

        return canary

    return decorate


def given_up(package: str, feature: str, instead: str) -> Callable[[Callable[[], Any]], Any]:
    """Make a canary of a check: it runs once, and its failure is a warning.

    The canary returns the result of the check. If the check raises an error, it returns None, with
    an ``UnsupportedVersionWarning``.
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
                    f"{package} {version_of(package)} does not support {feature} "
                    f"({type(error).__name__}: {error}). So {instead}. Results are the same.",
                    UnsupportedVersionWarning,
                    stacklevel=user_stacklevel(),
                )
                return None

        return canary

    return decorate


def try_again() -> None:
    """Let all canaries run again, for tests."""
    for canary in _tried:
        canary.cache_clear()
