"""The forms of X: arrays, lazy arrays and lists of images. Errors for others say what to pass."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array

FORMS = (
    "X must be images (n, height, width, channels) or (n, height, width), or rows (n, features)"
)
_TENSORS = {"jax", "jaxlib", "tensorflow", "torch"}
"""Libraries whose arrays are treated as NumPy's."""

_STREAMS = {
    "PyDataset": "a Keras PyDataset, such as a flow",
    "DatasetV2": "a tf.data.Dataset",
    "DataLoader": "a PyTorch DataLoader",
    "Dataset": "a PyTorch Dataset",
    "Iterator": "a generator of batches",  # from the legacy ImageDataGenerator
}
_PALETTES = ("P", "PA")


def check_form(X: Any, name: str) -> Any:
    """Return X as an array, or unchanged if it is a lazy array.

    Parameters
    ----------
    X : array-like
        See ``FORMS``; or a list of equal-sized images.
    name : str
        The estimator's, for errors.

    Raises
    ------
    ValueError, TypeError
        If X is a stream of batches, sparse, ragged, masked, not numeric, or names of files.
    """
    refuse_streams(X, name)
    _refuse_several_inputs(X)
    X = _as_sequence(_from_tensor(X))
    if any(isinstance(i, np.ma.MaskedArray) for i in (X if isinstance(X, (list, tuple)) else [X])):
        raise TypeError(
            f"{name} does not know what masked pixels are; pass X.filled(value) instead."
        )
    _refuse_names(X)
    if isinstance(X, (list, tuple)):
        X = _stack(X)
    lazy = not isinstance(X, np.ndarray) and all(hasattr(X, a) for a in ("shape", "dtype"))
    if lazy and len(X.shape) > 2:
        return X
    if isinstance(X, np.ndarray) and X.ndim > 2:
        if X.dtype.kind not in "buif":
            raise ValueError(
                f"{FORMS}, of integers or floats; X has dtype {X.dtype}. "
                "Images of differing sizes must be resized first."
            )
        return X
    # scikit-learn checks tables and everything else that is not an array of numbers.
    return check_array(X, dtype="numeric", ensure_all_finite=False, estimator=name, input_name="X")


def _refuse_several_inputs(X: Any) -> None:
    in_lists = isinstance(X, (list, tuple)) and any(getattr(part, "ndim", 0) > 3 for part in X)
    is_dict = isinstance(X, Mapping) and not issparse(X)  # one of its formats is a dict
    if is_dict or in_lists:
        raise TypeError(
            f"X must be one array of images; it is a {type(X).__name__} of several inputs. Pass "
            "the others as further channels, or as columns of flat rows, and divide X with layers "
            "of the model."
        )


def refuse_streams(X: Any, name: str) -> None:
    """Refuse a stream of batches, from which no rows can be chosen.

    Raises
    ------
    TypeError
        The message says what to pass instead. Nothing was read.
    """
    stream = _stream(X)
    if stream is not None:
        raise TypeError(
            f"{name} needs all images as one X, from which cross-validation can choose rows; X is "
            f"{stream}. Pass an array of images and, apart from it, the labels; for files "
            "skimgcv.load_images(folder, (height, width)) or skimgcv.ImageFiles. They are read a "
            "batch at a time, and `augmenter` transforms them."
        )


def _stream(X: Any) -> str | None:
    for kind in type(X).__mro__:
        root = kind.__module__.partition(".")[0]
        if root in ("keras", "skimgcv", "tensorflow", "torch") and kind.__name__ in _STREAMS:
            return _STREAMS[kind.__name__]
    if hasattr(X, "__next__"):
        return f"an iterator ({type(X).__name__})"
    return None


def _from_tensor(X: Any) -> Any:
    """Return a tensor of another library as a NumPy array, without a copy if possible."""
    if type(X).__module__.partition(".")[0] not in _TENSORS or not hasattr(X, "shape"):
        return X
    if hasattr(X, "detach"):  # PyTorch's, perhaps on another device
        X = X.detach().cpu()
    return np.asarray(X)


def _as_sequence(X: Any) -> Any:
    """Return one-dimensional containers of images or names as lists."""
    if getattr(X, "ndim", None) == 1 and getattr(X.dtype, "kind", "O") not in "buifc":
        return list(X)
    return X


def _refuse_names(X: Any) -> None:
    if isinstance(X, (list, tuple)) and len(X) and isinstance(X[0], (str, os.PathLike)):
        raise TypeError(
            "X holds names of files. Pass skimgcv.ImageFiles(names, (height, width)), which reads "
            "them when they are needed."
        )


def _stack(images: Any) -> np.ndarray:
    images = [_from_pillow(image, row) for row, image in enumerate(images)]
    shapes = [np.shape(image) for image in images[:1]]
    shapes += [s for s in (np.shape(image) for image in images[1:]) if s != shapes[0]]
    if len(shapes) > 1:
        raise ValueError(
            "A list of images needs images of one shape; "
            f"X has {shapes[0]} and {shapes[1]}. Resize them to one shape first."
        )
    return np.asarray(images)


def _from_pillow(image: Any, row: int) -> Any:
    if type(image).__module__.partition(".")[0] != "PIL":
        return image
    if image.mode in _PALETTES:
        raise ValueError(
            f"Image {row} of X has a palette, whose numbers are not colours; pass "
            'image.convert("RGB").'
        )
    return np.asarray(image)
