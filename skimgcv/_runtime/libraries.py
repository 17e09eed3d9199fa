"""The installed package of some code, and its version."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

# Their classes and functions do not change while we run.
_LIBRARIES = {
    "absl",
    "jax",
    "jaxlib",
    "keras",
    "ml_dtypes",
    "numpy",
    "optree",
    "scikeras",
    "scipy",
    "skimgcv",
    "sklearn",
    "tensorflow",
    "torch",
}
_INSTALLED_IN = {"site-packages", "dist-packages"}
_CODE = (".py", ".so", ".pyd", ".dll", ".dylib")


def is_library(module: str | None) -> bool:
    """Whether a module belongs to this package or to one of its main dependencies."""
    return (module or "").partition(".")[0] in _LIBRARIES


def is_trusted(module: str | None, file: str | None = None) -> bool:
    """Whether a module belongs to a library that does not change while we run."""
    return is_library(module) or package_of(module, file) == "python"


def package_of(module: str | None, file: str | None = None) -> str | None:
    """Return the name of the package that a module belongs to, or None for the user's own.

    Parameters
    ----------
    module : str or None
        Its name.
    file : str, optional
        Its file, if known. A user's file may have the name of one of Python's modules.
    """
    root = (module or "").partition(".")[0]
    if is_library(root):
        return root
    # Python's built-in modules have no file, whatever somebody sets as builtins.__file__.
    if file is None and root not in sys.builtin_module_names:
        file = _file_of(root)
    if root in sys.stdlib_module_names:
        return "python" if file is None or _is_pythons(file) else None
    if file is None or _INSTALLED_IN.isdisjoint(Path(file).parts):
        return None
    return root if root in _distributions() else None


def versions_of(packages: Iterable[str]) -> list[tuple[str, str, str]]:
    """Return the sorted names, versions and contents of the distributions of packages."""
    found = {name for package in packages for name in _distributions().get(package, ())}
    return sorted(_version_of(name) for name in found)


def _file_of(root: str) -> str | None:
    module = sys.modules.get(root)
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    return next((str(place) for place in places if place), None)


@functools.cache
def _is_pythons(file: str) -> bool:
    if file.startswith("<"):  # frozen
        return True
    path = Path(file).resolve()
    homes = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
    if not _INSTALLED_IN.isdisjoint(path.parts):
        return False
    return any(Path(home).resolve() in path.parents for home in homes)


@functools.cache
def _distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


@functools.cache
def _version_of(name: str) -> tuple[str, str, str]:
    # One version may be installed again with other content. Scripts do not count, since they
    # contain the path of their Python.
    known = any(name in _distributions().get(package, ()) for package in _LIBRARIES)
    listed = [] if known else importlib.metadata.files(name) or []
    hashes = sorted(
        f"{file} {file.hash.value}"
        for file in listed
        if file.hash is not None and file.suffix in _CODE and ".." not in file.parts
    )
    content = hashlib.blake2b("\n".join(hashes).encode(), digest_size=16).hexdigest()
    return name.lower(), importlib.metadata.version(name), content
