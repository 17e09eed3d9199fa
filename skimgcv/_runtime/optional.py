"""Optional packages: imported where they are used, with an error that names the extra."""

from __future__ import annotations

import importlib
from types import ModuleType


def require(package: str, *, extra: str, purpose: str) -> ModuleType:
    """Import ``package``, or raise an error that names the extra of skimgcv for it."""
    try:
        return importlib.import_module(package)
    except ImportError as err:
        raise ImportError(f'{purpose} needs {package}: pip install "skimgcv[{extra}]"') from err
