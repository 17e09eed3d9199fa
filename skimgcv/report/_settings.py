"""How a classifier was set, what augmentation does in words, and which versions were used."""

from __future__ import annotations

import importlib
import inspect
import platform
from typing import Any

from skimgcv.augment import ImageAugmenter

_ALWAYS = ("epochs", "batch_size", "optimizer", "random_state")
_LONGEST = 160

# How a parameter of ImageAugmenter reads; {0} is its value.
_WORDS = {
    "rotation_range": "turned by up to {0:g} degrees, either way",
    "width_shift_range": "moved sideways by up to {0:.0%} of the width",
    "height_shift_range": "moved up or down by up to {0:.0%} of the height",
    "shear_range": "slanted by up to {0:g} degrees",
    "zoom_range": "made larger or smaller by up to {0:.0%}",
    "channel_shift_range": "colours shifted by up to {0:g}",
    "horizontal_flip": "mirrored left to right, every other time",
    "vertical_flip": "mirrored top to bottom, every other time",
}
_PACKAGES = ("skimgcv", "keras", "tensorflow", "sklearn", "numpy", "cv2")


def settings_of(classifier: Any) -> list[tuple[str, str]]:
    """Return the parameters of a classifier that are not its defaults, and a few that matter."""
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(type(classifier)).parameters.items()
    }
    return [
        (name, text_of(value))
        for name, value in sorted(classifier.get_params(deep=False).items())
        if name != "verbose"
        and (
            name in _ALWAYS or not _is_default(value, defaults.get(name, inspect.Parameter.empty))
        )
    ]


def _is_default(value: Any, default: Any) -> bool:
    return value is default or (isinstance(value, (str, int, float, tuple)) and value == default)


def text_of(value: Any) -> str:
    """Return a value as text, without what only this process knows of it."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(text_of, value))
    if isinstance(value, dict):
        return ", ".join(f"{key}: {text_of(item)}" for key, item in value.items())
    function = getattr(value, "func", value)
    if callable(function) and hasattr(function, "__name__"):
        return f"{function.__module__}.{function.__name__}".removeprefix("__main__.")
    text = " ".join(repr(value).split()) if not isinstance(value, str) else value
    if " at 0x" in text:
        return type(value).__name__
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def augmentation_in_words(augmenter: Any) -> list[str]:
    """Return a phrase for each thing that an augmenter does at random.

    Empty for all but an ``ImageAugmenter``, and where a value is not a plain number.
    """
    if not isinstance(augmenter, ImageAugmenter):
        return []
    defaults = {n: p.default for n, p in inspect.signature(ImageAugmenter).parameters.items()}
    said = []
    for name, value in augmenter.get_params(deep=False).items():
        if value is None or _is_default(value, defaults[name]):
            continue
        if name in _WORDS and isinstance(value, (int, float)):
            said.append(_in_words(name, value))
        elif name not in ("rescale", "fill_mode", "cval", "data_format", "dtype"):
            said.append(f"{name.replace('_', ' ')}: {text_of(value)}")
    return said


def _in_words(name: str, value: float) -> str:
    if name in ("width_shift_range", "height_shift_range") and value >= 1:
        way = "sideways" if name.startswith("width") else "up or down"
        return f"moved {way} by up to {value:g} pixels"
    return _WORDS[name].format(value)


def versions() -> list[tuple[str, str]]:
    """Return packages and what they say of their version."""
    import keras

    found = [
        (name, str(getattr(importlib.import_module(name), "__version__", "unknown")))
        for name in _PACKAGES
        if name != "tensorflow" or keras.backend.backend() == "tensorflow"
    ]
    return [
        *found,
        ("Keras backend", keras.backend.backend()),
        ("Python", platform.python_version()),
        ("system", f"{platform.system()}, {platform.machine()}"),
    ]
