"""Whether OpenCV can be used, asked before anything imports it; if not, what mends it.

Four packages bring one module, ``cv2``, and overwrite each other's files without a word
from pip. Where one of them is uninstalled, the others' files may be gone as well.
"""

from __future__ import annotations

import importlib
import re
from importlib.metadata import PackageNotFoundError, version

OLDEST = (4, 10)
"""Versions before it are not built for NumPy 2."""

# Those with windows and with contributed modules first: they have what the others have.
_PACKAGES = (
    "opencv-contrib-python",
    "opencv-python",
    "opencv-contrib-python-headless",
    "opencv-python-headless",
)


def check_opencv() -> None:
    """Import ``cv2``, and see that it is whole and new enough.

    Raises
    ------
    ImportError
        If it is not: what is wrong, which packages are installed, and what to run.
    """
    try:
        cv2 = importlib.import_module("cv2")
    # An old one also fails with AttributeError, where it meets a newer NumPy.
    except (ImportError, AttributeError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "cv2":
            raise ImportError(_said("there is no module cv2")) from error
        # Most often libGL, which servers lack and which only windows need.
        raise ImportError(_said(f"cv2 cannot be imported: {error}", headless=True)) from error
    if not hasattr(cv2, "warpAffine"):
        raise ImportError(_said("cv2 is an empty folder, left over from an uninstall"))
    found = tuple(map(int, re.findall(r"\d+", cv2.__version__)[:2]))
    if found < OLDEST:
        needed = ".".join(map(str, OLDEST))
        raise ImportError(_said(f"cv2 is {cv2.__version__}, and {needed} or later is needed"))


def _said(fault: str, *, headless: bool = False) -> str:
    installed = {}
    for name in _PACKAGES:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue
    there = ", ".join(f"{name} {number}" for name, number in installed.items()) or "none"
    wanted = next(iter(installed), _PACKAGES[-1])
    if headless and not wanted.endswith("-headless"):
        wanted += "-headless"
    commands = [f"pip uninstall --yes {' '.join(installed)}"] if installed else []
    commands.append(f'pip install --force-reinstall --no-deps "{wanted}>={OLDEST[0]}.{OLDEST[1]}"')
    return (
        f"skimgcv needs OpenCV, but {fault}. Packages that bring it, and overwrite each other's "
        f"files: {there}. Run\n    " + "\n    ".join(commands)
    )


check_opencv()
