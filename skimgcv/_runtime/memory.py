"""The memory that this process may use, in the machine and in its container."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_OWN_GROUPS = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")
# A group's limit, its use, and the part of it that the kernel can free: files that were read some
# time ago. For version 2 and version 1 of the kernel's control groups.
_VERSION_2 = "memory.max", "memory.current", "inactive_file"
_VERSION_1 = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
_UNLIMITED = 2**62  # version 1 writes a number of about 2**63, version 2 "max"


def total_bytes() -> int:
    """Return the memory that this process could use alone."""
    total, _ = _of_machine()
    return min([total, *(limit for limit, _ in _limits())])


def free_bytes() -> int:
    """Return the memory that this process may still use."""
    _, available = _of_machine()
    return max(0, min([available, *(limit - used for limit, used in _limits())]))


def _of_machine() -> tuple[int, int]:
    """Return the bytes of the machine's memory, and those that are free without swapping."""
    try:
        lines = _MEMINFO.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        import psutil

        memory = psutil.virtual_memory()
        return int(memory.total), int(memory.available)
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return kib["MemTotal"] * 1024, kib.get("MemAvailable", kib["MemFree"]) * 1024


def _limits() -> Iterator[tuple[int, int]]:
    """Yield limit and use, in bytes, of each limited group that this process is in."""
    for folder, (limit, used, reclaimable) in _groups():
        try:
            most = int((folder / limit).read_text(encoding="utf-8"))
            if most >= _UNLIMITED:
                continue
            bytes_used = int((folder / used).read_text(encoding="utf-8"))
            stat = (folder / "memory.stat").read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError):  # no such group here, or one without a limit
            continue
        inactive = dict(line.split() for line in stat).get(reclaimable, 0)
        yield most, max(0, bytes_used - int(inactive))


def _groups() -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """Yield the folders of this process's groups, and the names of their files."""
    try:
        lines = _OWN_GROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, names = _GROUPS, _VERSION_2
        elif "memory" in controllers.split(","):
            root, names = _GROUPS / "memory", _VERSION_1
        else:
            continue
        # A container sees its own group as the root, not under the kernel's path.
        own = root / path.lstrip("/")
        for folder in (own, *own.parents):
            if folder.is_relative_to(root):
                yield folder, names
