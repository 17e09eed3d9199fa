"""One digest of a walk's records, the same for equal objects in different processes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

# Objects of these types cannot change, so two equal objects act as one.
_LASTING = {"function", "class", "method", "partial", "tuple", "same", "pattern", "dtype", "range"}


class Reference(int):
    """The number of a record that another one refers to."""


def digest(records: Sequence[Hashable]) -> str:
    """Return a digest that only equal objects have.

    Equal functions, classes and tuples count as one. A worker process that gets the loss and the
    metrics in separate pickles has two copies of a function that both call.

    Parameters
    ----------
    records : sequence
        Tuples of plain values and of ``Reference``. All others are reached from the first.
    """
    first = _first_equals(records)
    place: dict[int, int] = {0: 0}
    order = [0]

    def named(number: int) -> bytes:
        number = first[number]
        if number not in place:
            place[number] = len(place)
            order.append(number)
        return b"#%x;" % place[number]

    said = hashlib.blake2b(digest_size=16)
    for number in order:  # the list grows
        said.update(encoded(records[number], named))
    return said.hexdigest()


def _first_equals(records: Sequence[Hashable]) -> list[int]:
    """Return for each record the number of the first one that equals it."""
    lasting = [number for number, record in enumerate(records) if _is_lasting(record)]
    # At first all are equal. They are distinguished by their references, and these by theirs,
    # since a function may refer to itself.
    colors: list[bytes] = [b"#%x;" % number for number in range(len(records))]
    for number in lasting:
        colors[number] = b""
    n_colors = 1
    while True:
        new = {n: _color(records[n], colors) for n in lasting}
        for number, color in new.items():
            colors[number] = color
        if len(set(new.values())) <= n_colors:
            break
        n_colors = len(set(new.values()))
    seen: dict[bytes, int] = {}
    return [seen.setdefault(color, number) for number, color in enumerate(colors)]


def _color(record: Hashable, colors: list[bytes]) -> bytes:
    return hashlib.blake2b(encoded(record, colors.__getitem__), digest_size=16).digest()


def _is_lasting(record: Any) -> bool:
    return record[0] in _LASTING or record[:2] == ("list", "tuple")


def encoded(it: Any, named: Callable[[int], bytes] | None = None) -> bytes:
    """Encode plain values so that equal bytes mean equal values of equal types."""
    return b"".join(_parts(it, named))


def _parts(it: Any, named: Callable[[int], bytes] | None) -> Iterator[bytes]:
    kind = type(it)
    if kind is tuple:
        yield b"("
        for part in it:
            yield from _parts(part, named)
        yield b")"
    elif kind is Reference and named is not None:
        yield named(it)
    elif kind is str or kind is bytes:
        data = it.encode("utf-8", "surrogatepass") if kind is str else it
        yield b"%s%d:" % (kind.__name__.encode(), len(data))
        yield data
    elif kind is int:
        yield b"%x;" % it
    elif kind is float:
        yield b"%s;" % it.hex().encode()
    elif it is None or it is Ellipsis or it is NotImplemented or kind is bool:
        yield b"%s;" % repr(it).encode()
    elif kind is frozenset:
        # The order of a set of strings differs between processes.
        yield b"{"
        yield from sorted(encoded(part, named) for part in it)
        yield b"}"
    else:
        raise TypeError(f"a record has a {kind.__name__}")
