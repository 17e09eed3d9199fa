"""Readers: functions of the user that read files, and names that identify them.

The cache has the images of several readers, also for later runs. So the name of a reader is a
digest of everything that decides its result: its code, the names in its code, and the versions of
the packages that it calls. Files do not count, since a reader reads the file that it gets.
"""

from __future__ import annotations

import builtins
import dis
import functools
import hashlib
import importlib
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skimgcv._runtime.libraries import package_of, versions_of

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis))


@dataclass(frozen=True)
class Reader:
    """A function from a path to an array.

    Attributes
    ----------
    function : callable
    name : str
        Equal for functions that do the same, also in other processes.
    """

    function: Callable[[str], Any] = field(compare=False)
    name: str

    @classmethod
    def of(cls, function: Any) -> Reader:
        """Compute the name of a function.

        Raises
        ------
        TypeError
            If it is not callable.
        ValueError
            If its result depends on something that cannot be compared.
        """
        if not callable(function):
            raise TypeError(
                f"reader must be a function from a path to an array; it is {function!r}"
            )
        description = _Description()
        try:
            description.add(function)
        except _UnknownError as error:
            raise ValueError(
                f"the cache cannot tell reader={function!r} from another reader, because it "
                f"uses {error}. Let it use only numbers, strings, arrays and functions."
            ) from error
        return cls(function, description.digest())


class _UnknownError(Exception):
    """Something that cannot be compared between processes."""


class _Description:
    """The content of a function, as plain text."""

    def __init__(self) -> None:
        self._said = hashlib.blake2b(digest_size=12)
        self._packages: set[str] = set()
        self._numbers: dict[int, int] = {}
        self._alive: list[Any] = []
        self._known: set[tuple[str, str]] = set()

    def digest(self) -> str:
        """Return a name for everything that was added, and for the packages that it calls."""
        self._say("versions", sys.version_info[:2], versions_of(self._packages))
        return self._said.hexdigest()

    def _say(self, *parts: Any) -> None:
        self._said.update(repr(parts).encode("utf-8", "surrogatepass"))

    def add(self, it: Any) -> None:
        """Describe an object and everything that it reaches."""
        if isinstance(it, _PLAIN):
            self._say(type(it).__qualname__, it.hex() if isinstance(it, float) else it)
            return
        if id(it) in self._numbers:
            self._say("again", self._numbers[id(it)])
            return
        self._numbers[id(it)] = len(self._numbers)
        self._alive.append(it)  # an id is unique only while the object lives
        self._describe(it)

    def _each(self, kind: str, items: Iterable[Any]) -> None:
        parts = list(items)
        self._say(kind, len(parts))
        for part in parts:
            self.add(part)

    def _describe(self, it: Any) -> None:
        if isinstance(it, types.ModuleType):
            self._library(it.__name__, getattr(it, "__file__", None), it.__name__)
        elif isinstance(it, (types.FunctionType, type)) and self._is_library(it):
            self._say("named", it.__module__, it.__qualname__)
        elif isinstance(it, types.FunctionType):
            self._function(it)
        elif isinstance(it, type):
            members = sorted((k, v) for k, v in vars(it).items() if not _is_of_any_class(k))
            self._say("class", it.__qualname__)
            self._each("members", [*it.__mro__[1:], *members])
        elif isinstance(it, types.CodeType):
            self._code(it)
        elif isinstance(it, types.MethodType):
            self._each("method", (it.__func__, it.__self__))
        elif isinstance(it, (staticmethod, classmethod)):
            self._each(type(it).__name__, (it.__func__,))
        elif isinstance(it, property):
            self._each("property", (it.fget, it.fset, it.fdel))
        elif isinstance(it, functools.partial):
            self._each("partial", (it.func, it.args, it.keywords))
        elif isinstance(it, (types.BuiltinFunctionType, np.ufunc)):
            self._built_in(it)
        elif hasattr(it, "cache_parameters") and hasattr(it, "__wrapped__"):
            self._each("cached", (it.__wrapped__,))
        else:
            self._add(it)

    # -- functions ------------------------------------------------------------------------

    def _is_library(self, it: Any) -> bool:
        package = package_of(it.__module__)
        if package is None or "<locals>" in it.__qualname__:
            return False
        self._packages.add(package)
        return True

    def _library(self, module: str, file: str | None, said: str) -> None:
        package = package_of(module, file)
        if package is None:
            raise _UnknownError(f"the whole module {module}")
        self._packages.add(package)
        self._say("named", said)

    def _built_in(self, it: Any) -> None:
        home = getattr(it, "__self__", None)
        if home is not None and not isinstance(home, (types.ModuleType, type)):
            self._each("method", (it.__name__, home))
            return
        # OpenCV's functions do not know their module, but the code that calls them names it.
        module = getattr(it, "__module__", None)
        if module is None and not isinstance(it, np.ufunc):
            module = getattr(home, "__name__", "builtins")
        self._library(module or "numpy", None, f"{module} {it.__name__}")

    def _function(self, it: types.FunctionType) -> None:
        self._code(it.__code__)
        self._each("defaults", (it.__defaults__, it.__kwdefaults__))
        for name, cell in zip(it.__code__.co_freevars, it.__closure__ or (), strict=True):
            try:
                self._named(name, cell.cell_contents, it.__code__)
            except ValueError:  # the name is not bound yet
                self._say("empty", name)
        for name, value in _read_from_outside(it):
            self._named(name, value, it.__code__)

    def _named(self, name: str, value: Any, code: types.CodeType) -> None:
        """Describe the value of a name; of the user's own module, what the code may read."""
        self._say("name", name)
        if not isinstance(value, types.ModuleType):
            self.add(value)
            return
        is_own = package_of(value.__name__, getattr(value, "__file__", None)) is None
        if not is_own:
            self.add(value)
            return
        for attribute in sorted({n for piece in _pieces(code) for n in piece.co_names}):
            # Another function may have named others of the module.
            if hasattr(value, attribute) and (value.__name__, attribute) not in self._known:
                self._known.add((value.__name__, attribute))
                self._named(f"{name}.{attribute}", getattr(value, attribute), code)

    def _code(self, code: types.CodeType) -> None:
        self._say(code.co_code, code.co_names, code.co_varnames, code.co_freevars)
        self._say(code.co_argcount, code.co_kwonlyargcount, code.co_flags)
        self._say(getattr(code, "co_exceptiontable", b""))
        self._each("constants", code.co_consts)

    # -- values -----------------------------------------------------------------------------

    def _add(self, it: Any) -> None:
        if isinstance(it, np.ndarray) and not it.dtype.hasobject:
            self._say("array", it.dtype.str, it.shape)
            self._said.update(np.ascontiguousarray(it).data)
        elif type(it) in (list, tuple):
            self._each(type(it).__name__, it)
        elif type(it) is dict:
            self._each("dict", [part for item in it.items() for part in item])
        elif type(it) in (set, frozenset):
            self._each("set", sorted(map(_digest_of, it)))
        else:
            self._pickled(it)

    def _pickled(self, it: Any) -> None:
        """Describe an object by the content of its pickle."""
        try:
            parts = it.__reduce_ex__(4)
        except Exception as error:
            kind = f"{type(it).__module__}.{type(it).__qualname__}"
            raise _UnknownError(f"an object of {kind}") from error
        if isinstance(parts, str):
            self._library(getattr(it, "__module__", type(it).__module__), None, parts)
            return
        make, arguments, *rest = parts
        self._each("made", (make, arguments, *map(_listed, rest)))


def _listed(part: Any) -> Any:
    return list(part) if isinstance(part, Iterator) else part


def _digest_of(it: Any) -> str:
    description = _Description()
    description.add(it)
    return description.digest()


def _is_of_any_class(name: str) -> bool:
    return name in ("__dict__", "__weakref__", "__module__", "__doc__", "__qualname__") or (
        name in ("__firstlineno__", "__static_attributes__")
    )


def _pieces(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield a piece of code and those within it."""
    pending = [code]
    while pending:
        yield (piece := pending.pop())
        pending += [c for c in piece.co_consts if isinstance(c, types.CodeType)]


def _read_from_outside(function: types.FunctionType) -> list[tuple[str, Any]]:
    """Return the globals that a function names, and the modules that it imports."""
    names, imports = set(), set()
    for piece in _pieces(function.__code__):
        for step in dis.get_instructions(piece):
            if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                names.add(step.argval)
            elif step.opname == "IMPORT_NAME":
                imports.add(step.argval)
    known = vars(builtins) | function.__globals__
    found = [(name, known[name]) for name in sorted(names) if name in known]
    for name in sorted(imports):
        try:
            found.append((name, importlib.import_module(name)))
        except ImportError:  # as in a reader for which it is optional
            continue
    return found
