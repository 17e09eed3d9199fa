"""What a function of the user's reads from outside: its globals, as far as they can be known."""

from __future__ import annotations

import builtins
import contextlib
import dis
import functools
import re
import sys
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

# Their classes and functions stay what they are; they are compared by identity.
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
# Modules that give the same result each time; the rest of the standard library
# (random, time, os, ...) may give another one in the next fit.
_PURE = {
    "__future__",
    "abc",
    "builtins",
    "collections",
    "contextlib",
    "copy",
    "dataclasses",
    "enum",
    "fractions",
    "functools",
    "inspect",
    "itertools",
    "math",
    "numbers",
    "operator",
    "re",
    "string",
    "types",
    "typing",
    "typing_extensions",
    "warnings",
}
_IMPURE_BUILTINS = {"__import__", "compile", "eval", "exec", "globals", "input", "open"}
# NumPy draws while it is traced; TensorFlow's stateful operations keep a state of their own.
_DRAWS = re.compile("random|rng|shuffle|dropout|generator", re.IGNORECASE)


class Reads(NamedTuple):
    """What a function reads from outside.

    Attributes
    ----------
    values : list of (str, object)
        Names and what they stand for now; more names than are really read, never fewer.
    unprovable : str or None
        Something whose value cannot be known, if it uses that.
    """

    values: list[tuple[str, Any]]
    unprovable: str | None


class _Names(NamedTuple):
    names: tuple[str, ...]
    imports: tuple[str, ...]
    strings: frozenset[str]


def is_trusted(module: str | None) -> bool:
    """Whether a module belongs to a library that does not change while we run."""
    root = (module or "").partition(".")[0]
    return root in _LIBRARIES or root in sys.stdlib_module_names


def names_in(code: types.CodeType) -> frozenset[str]:
    """Return every name and text constant in a piece of code, inner functions included."""
    found = _names(code)
    return found.strings.union(found.names)


def reads(function: types.FunctionType) -> Reads:
    """Find what the global names in a function stand for."""
    found = _names(function.__code__)
    values: list[tuple[str, Any]] = []
    for name, value in _resolved(function, found):
        if value is _MISSING:
            return Reads([], f"the module {name}, which is not loaded")
        if not isinstance(value, types.ModuleType):
            values.append((name, value))
            continue
        if reason := _read_module(value, name, found.names, values):
            return Reads([], reason)
    if impure := _IMPURE_BUILTINS.intersection(found.names):
        return Reads([], f"{min(impure)}()")
    return Reads(values, None)


_MISSING = object()


def is_pure(module: types.ModuleType) -> bool:
    """Whether what a module gives never changes."""
    root = module.__name__.partition(".")[0]
    return root in _LIBRARIES or root in _PURE


def _resolved(function: types.FunctionType, found: _Names) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # a name that is not bound yet
            if isinstance(cell.cell_contents, types.ModuleType):
                yield name, cell.cell_contents
    for name in found.names:
        if name in function.__globals__:
            yield name, function.__globals__[name]
        elif name in vars(builtins):
            yield name, vars(builtins)[name]
    for name in found.imports:
        yield name, sys.modules.get(name, _MISSING)


def _read_module(
    module: types.ModuleType,
    called: str,
    names: tuple[str, ...],
    values: list[tuple[str, Any]],
) -> str | None:
    """Add what is read from a module; return what makes that unknowable."""
    root = module.__name__.partition(".")[0]
    if is_pure(module):
        values.append((called, module))
        draws = [n for n in names if _DRAWS.search(n)]
        if draws and root in {"numpy", "scipy", "tensorflow"}:
            return f"{root} and {draws[0]}"
        return None
    if root in sys.stdlib_module_names:
        return f"the module {module.__name__}"
    for name in names:
        inner = vars(module).get(name, _MISSING)
        if isinstance(inner, types.ModuleType) and inner is not module:
            rest = tuple(n for n in names if n != name)
            if reason := _read_module(inner, f"{called}.{name}", rest, values):
                return reason
        elif inner is not _MISSING:
            values.append((f"{called}.{name}", inner))
    return None


@functools.lru_cache(maxsize=1024)
def _names(code: types.CodeType) -> _Names:
    names: dict[str, None] = {}
    imports: dict[str, None] = {}
    strings: set[str] = set()
    pending = [code]
    while pending:
        piece = pending.pop()
        names.update(dict.fromkeys(piece.co_names))
        for step in dis.get_instructions(piece):
            if step.opname == "IMPORT_NAME":
                imports[step.argval] = None
        for constant in piece.co_consts:
            if isinstance(constant, types.CodeType):
                pending.append(constant)
            elif isinstance(constant, str):
                strings.add(constant)
    return _Names(tuple(names), tuple(imports), frozenset(strings))
