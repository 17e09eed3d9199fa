"""The globals and outer names that a function of the user reads, as far as they are known."""

from __future__ import annotations

import builtins
import contextlib
import dis
import functools
import re
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from skimgcv._runtime.libraries import is_library, package_of

# Modules that give the same result each time. The rest of the standard library (random, time, os,
# ...) may give another result in the next fit.
_PURE = {
    "__future__",
    "abc",
    "base64",
    "bisect",
    "builtins",
    "collections",
    "collections_abc",
    "colorsys",
    "contextlib",
    "copy",
    "dataclasses",
    "enum",
    "fractions",
    "functools",
    "hashlib",
    "heapq",
    "inspect",
    "itertools",
    "json",
    "logging",
    "math",
    "numbers",
    "operator",
    "pprint",
    "re",
    "statistics",
    "string",
    "struct",
    "textwrap",
    "types",
    "typing",
    "typing_extensions",
    "warnings",
    "zlib",
}
_IMPURE_BUILTINS = {"__import__", "compile", "eval", "exec", "globals", "input", "open"}
# NumPy draws during tracing; TensorFlow's stateful operations keep their own state.
_DRAWING = {"numpy", "scipy", "tensorflow"}
_DRAWS = re.compile("random|rng|shuffle|dropout|generator", re.IGNORECASE)


class Reads(NamedTuple):
    """The outer names that a function reads.

    Attributes
    ----------
    values : list of (str, object)
        Names and their current values. There may be more names than are read, never fewer.
    unprovable : str or None
        A thing that the function uses and whose value cannot be known.
    writes : str or None
        An outer name that the function assigns.
    """

    values: list[tuple[str, Any]]
    unprovable: str | None
    writes: str | None


class _Names(NamedTuple):
    """The names in a piece of code and its inner functions. Dicts keep their order.

    Attributes
    ----------
    all : dict
        Attributes and imports as well.
    outer : dict
        Names that are looked up in the globals.
    paths : dict of str to set of tuple of str
        The attributes of a global name, or of a name of an enclosing function: ``np.linalg.norm``
        gives ``{"np": {("linalg", "norm")}}``, and ``f(np)`` an empty tuple.
    imports : dict
    strings : dict
    written : dict
        Globals, and names of enclosing functions, that the code assigns.
    """

    all: dict[str, None]
    outer: dict[str, None]
    paths: dict[str, set[tuple[str, ...]]]
    imports: dict[str, None]
    strings: dict[str, None]
    written: dict[str, None]


IsLibrary = Callable[[str | None], bool]


def names_in(code: types.CodeType) -> frozenset[str]:
    """Return all names and strings in a piece of code and its inner functions."""
    found = _names(code)
    return frozenset(found.strings).union(found.all)


def reads(function: types.FunctionType, is_library: IsLibrary = is_library) -> Reads:
    """Find the values of the global names in a function.

    Parameters
    ----------
    function : function
    is_library : callable
        Whether the content of a module, given by name, does not change.
    """
    found = _names(function.__code__)
    names = (*found.all, *found.strings)
    values: list[tuple[str, Any]] = []
    if impure := _IMPURE_BUILTINS.intersection(found.outer).difference(function.__globals__):
        return Reads([], f"{min(impure)}()", None)
    reason = None
    for name, value in _resolved(function, found):
        if value is _MISSING:
            reason = f"the module {name}, which is not loaded"
        elif isinstance(value, types.ModuleType):
            paths = found.paths.get(name, {()})
            reason = _read_module(value, name, paths, names, values, is_library)
        else:
            values.append((name, value))
            reason = _changing(value)
        if reason:
            return Reads([], reason, None)
    return Reads(values, None, _written(function, found))


def _written(function: types.FunctionType, found: _Names) -> str | None:
    outside = {*function.__globals__, *function.__code__.co_freevars}
    return next((name for name in found.written if name in outside), None)


def _changing(value: Any) -> str | None:
    """Return the name of a library's function if it gives another result each time."""
    if not isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
        return None
    module = value.__module__ or ""
    root = module.partition(".")[0]
    name = f"{module}.{value.__qualname__}"
    # Modules in C have an underscore before their usual name.
    if root in sys.stdlib_module_names and not {root, root.lstrip("_")} & _PURE:
        return name
    return name if root in _DRAWING and _DRAWS.search(name) else None


_MISSING = object()


def is_pure(module: types.ModuleType, is_library: IsLibrary = is_library) -> bool:
    """Whether the results of a module never change."""
    name = module.__name__
    if is_library(name):
        return True
    # A user's file may have the name of one of Python's modules.
    file = getattr(module, "__file__", None)
    return name.partition(".")[0] in _PURE and package_of(name, file) == "python"


def _resolved(function: types.FunctionType, found: _Names) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # the name is not bound yet
            if isinstance(cell.cell_contents, types.ModuleType):
                yield name, cell.cell_contents
    for name in found.outer:
        if name in function.__globals__:
            yield name, function.__globals__[name]
        elif name in vars(builtins):
            yield name, vars(builtins)[name]
    for name in found.imports:
        yield name, sys.modules.get(name, _MISSING)


def _read_module(
    module: types.ModuleType,
    called: str,
    paths: set[tuple[str, ...]],
    names: tuple[str, ...],
    values: list[tuple[str, Any]],
    is_library: IsLibrary,
) -> str | None:
    """Add the values that are read from a module; return a thing that cannot be known.

    Parameters
    ----------
    paths : set of tuple of str
        The attributes that are read. An empty one stands for any of ``names``.
    names : tuple of str
        All names and strings in the function, which may name an attribute.
    """
    root = module.__name__.partition(".")[0]
    if is_pure(module, is_library):
        values.append((called, module))
        asked = names if () in paths else {part for path in paths for part in path}
        draws = [n for n in (module.__name__, *sorted(asked)) if _DRAWS.search(n)]
        return f"{root} and {draws[0]}" if draws and root in _DRAWING else None
    if root in sys.stdlib_module_names:
        return f"the module {module.__name__}"
    if () in paths or any(path[0] == "__dict__" for path in paths):
        paths = {(name,) for name in names}
    for first in sorted({path[0] for path in paths}):
        inner = vars(module).get(first, _MISSING)
        if isinstance(inner, types.ModuleType) and inner is not module:
            rest = tuple(n for n in names if n != first)
            further = {path[1:] for path in paths if path[0] == first}
            reason = _read_module(inner, f"{called}.{first}", further, rest, values, is_library)
        elif inner is _MISSING:
            continue
        else:
            values.append((f"{called}.{first}", inner))
            reason = _changing(inner)
        if reason:
            return reason
    return None


_LOADS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_LOADS_OF_ENCLOSING = {"LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"}
_STORES = {"STORE_GLOBAL", "DELETE_GLOBAL", "STORE_DEREF", "DELETE_DEREF"}


@functools.lru_cache(maxsize=1024)
def _names(code: types.CodeType) -> _Names:
    found = _Names({}, {}, {}, {}, {}, {})
    for piece in _pieces(code):
        found.all.update(dict.fromkeys(piece.co_names))
        found.strings.update(dict.fromkeys(c for c in piece.co_consts if isinstance(c, str)))
        # Modules that are imported here, by their local names.
        local: dict[str, str] = {}
        for step, attributes, following in _loads(piece):
            if step.opname in _LOADS:
                found.outer[step.argval] = None
            if step.opname in _LOADS or step.opname in _LOADS_OF_ENCLOSING:
                found.paths.setdefault(step.argval, set()).add(attributes)
            elif step.opname in _STORES:
                found.written[step.argval] = None
            elif step.opname == "IMPORT_NAME":
                found.imports[step.argval] = None
                uses = found.paths.setdefault(step.argval, set())
                if following == "STORE_FAST" and "." not in step.argval:
                    local[attributes[0]] = step.argval
                else:
                    uses.add(())
            elif "LOAD_FAST" in step.opname:
                several = isinstance(step.argval, tuple)
                for name in step.argval if several else (step.argval,):
                    if name in local:
                        found.paths[local[name]].add(() if several else attributes)
    return found


def _pieces(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield a piece of code and those within it."""
    pending = [code]
    while pending:
        yield (piece := pending.pop())
        pending += [c for c in piece.co_consts if isinstance(c, types.CodeType)]


def _loads(code: types.CodeType) -> Iterator[tuple[dis.Instruction, tuple[str, ...], str]]:
    """Yield each instruction, the attributes read from its result, and what comes after it.

    For an import: its local name instead of attributes.
    """
    steps = [s for s in dis.get_instructions(code) if s.opname not in ("EXTENDED_ARG", "CACHE")]
    place = 0
    while place < len(steps):
        after = place + 1
        while after < len(steps) and steps[after].opname in ("LOAD_ATTR", "LOAD_METHOD"):
            after += 1
        following = steps[after] if after < len(steps) else None
        attributes = tuple(step.argval for step in steps[place + 1 : after])
        if steps[place].opname == "IMPORT_NAME" and following is not None:
            attributes = (following.argval,)
        yield steps[place], attributes, following.opname if following else ""
        place = after
