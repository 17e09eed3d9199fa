"""Hides what other systems lack, for tests in a process of their own."""

import mmap
import os
import sys

import filelock  # noqa: F401  (chooses its way of locking when it is imported)
import psutil  # noqa: F401

MODULES = ("fcntl", "grp", "pwd", "resource", "termios")
# Windows has none of these; macOS lacks some.
NAMES = (
    "O_CLOEXEC",
    "fork",
    "forkpty",
    "getuid",
    "geteuid",
    "pread",
    "preadv",
    "pwrite",
    "pwritev",
    "register_at_fork",
    "sched_getaffinity",
    "sched_setaffinity",
    "sysconf",
    "sysconf_names",
)


def hide():
    """Make this process look like one on Windows, as far as names go."""
    for name in MODULES:
        sys.modules[name] = None
    for name in NAMES:
        if hasattr(os, name):
            delattr(os, name)
    for name in [n for n in vars(mmap) if n.startswith("MADV_")]:
        delattr(mmap, name)
