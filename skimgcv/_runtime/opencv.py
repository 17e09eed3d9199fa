"""A check of OpenCV before its import, with the commands that repair it.

Four packages contain the module ``cv2``. They overwrite each other's files, and pip does not warn.
If one of them is uninstalled, the files of the others may be missing, too.
"""

from __future__ import annotations

import importlib
import re
from importlib.metadata import PackageNotFoundError, version

OLDEST = (4, 10)
"""Versions before it are not built for NumPy 2."""

# Packages with windows and contributed modules first, since they contain the others.
_PACKAGES = (
    "opencv-contrib-python",
    "opencv-python",
    "opencv-contrib-python-headless",
    "opencv-python-headless",
)


def check_opencv() -> None:
    """Import ``cv2``, and check that it is complete and new enough.

    Raises
    ------
    ImportError
        If it is not. The message has the fault, the installed packages, and commands that repair
        it.
    """
    try:
        cv2 = importlib.import_module("cv2")
    # An old one may also fail with AttributeError under a newer NumPy.
    except (ImportError, AttributeError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "cv2":
            raise ImportError(_said("there is no module cv2")) from error
        # Usually libGL, which servers lack and which only windows need.
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
    versions = ", ".join(f"{name} {number}" for name, number in installed.items()) or "none"
    wanted = next(iter(installed), _PACKAGES[-1])
    if headless and not wanted.endswith("-headless"):
        wanted += "-headless"
    commands = [f"pip uninstall --yes {' '.join(installed)}"] if installed else []
    commands.append(f'pip install --force-reinstall --no-deps "{wanted}>={OLDEST[0]}.{OLDEST[1]}"')
    return (
        f"skimgcv needs OpenCV, but {fault}. Packages that bring it, and overwrite each other's "
        f"files: {versions}. Run\n    " + "\n    ".join(commands)
    )


check_opencv()
