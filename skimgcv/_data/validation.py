"""X and y: checked once, with errors that say what to do."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d, validate_data

from skimgcv._data.rows import ImageRows

_FORMS = (
    "X must be images (n, height, width, channels) or (n, height, width), or rows (n, features)"
)


def check_images(X: Any, *, image_shape: tuple[int, ...] | None, name: str) -> ImageRows:
    """Check X and view it as rows of images, or of features where X is 2-D.

    Parameters
    ----------
    X : array-like
        See ``_FORMS``; or a list of equal-sized images.
    image_shape : tuple of int, optional
        The image that each row of a 2-D X is.
    name : str
        The estimator's, for errors.

    Raises
    ------
    ValueError, TypeError
        Where X is sparse, empty, ragged, masked, not numeric or not finite,
        or where its shape does not fit ``image_shape``.
    """
    X = _as_array(X, name)
    images = ImageRows(X, _row_shape(X.shape, image_shape))
    if 0 in images.shape:
        raise ValueError(
            f"Found array with 0 {'sample(s)' if not len(images) else 'feature(s)'} "
            f"(shape={X.shape}) while a minimum of 1 is required by {name}."
        )
    return images


def check_features(estimator: Any, X: Any, images: ImageRows, *, reset: bool) -> dict[str, Any]:
    """Return what scikit-learn records of X; unless ``reset``, check X against what it was.

    The estimator is not changed.
    """
    if not reset and images.shape[1:] != estimator.image_shape_ and len(images.shape) == 4:
        raise ValueError(
            f"X has images of shape {images.shape[1:]}, but this {type(estimator).__name__} was "
            f"fitted on {estimator.image_shape_}. Resize them; a single one is passed as X[None]."
        )
    # scikit-learn would set the attributes at once, before anything else has succeeded.
    blank = copy.copy(estimator)
    if images.is_table:
        validate_data(blank, X, reset=reset, skip_check_array=True)
    elif reset:
        vars(blank).pop("feature_names_in_", None)
        blank.n_features_in_ = images.shape[1]
    names = ("n_features_in_", "feature_names_in_")
    return {n: getattr(blank, n) for n in names if hasattr(blank, n)}


def check_are_images(images: ImageRows) -> None:
    """Refuse rows of features, which no augmenter can transform."""
    if len(images.shape) != 4:
        raise ValueError(
            f"An augmenter needs images, but X has rows of {images.shape[1]} features; pass "
            "image_shape=(height, width, channels), or X as (n, height, width, channels)."
        )


def _as_array(X: Any, name: str) -> Any:
    if isinstance(X, np.ndarray) and X.ndim == 1 and X.dtype == object:
        X = list(X)  # images in an array of arrays
    if any(isinstance(i, np.ma.MaskedArray) for i in (X if isinstance(X, (list, tuple)) else [X])):
        raise TypeError(
            f"{name} does not know what masked pixels are; pass X.filled(value) instead."
        )
    if isinstance(X, (list, tuple)):
        X = _stack(X)
    lazy = not isinstance(X, np.ndarray) and all(hasattr(X, a) for a in ("shape", "dtype"))
    if lazy and len(X.shape) > 2:
        return X
    if isinstance(X, np.ndarray) and X.ndim > 2:
        if X.dtype.kind not in "buif":
            raise ValueError(
                f"{_FORMS}, of integers or floats; X has dtype {X.dtype}. "
                "Images of differing sizes must be resized first."
            )
        return X
    # Tables, and everything that is no array of numbers: scikit-learn's own checks and words.
    return check_array(X, dtype="numeric", ensure_all_finite=False, estimator=name, input_name="X")


def _stack(images: Any) -> np.ndarray:
    shapes = [np.shape(image) for image in images[:1]]
    shapes += [s for s in (np.shape(image) for image in images[1:]) if s != shapes[0]]
    if len(shapes) > 1:
        raise ValueError(
            "A list of images needs images of one shape; "
            f"X has {shapes[0]} and {shapes[1]}. Resize them to one shape first."
        )
    return np.asarray(images)


def _row_shape(shape: tuple[int, ...], image_shape: tuple[int, ...] | None) -> tuple[int, ...]:
    if image_shape is not None:
        image_shape = _check_image_shape(image_shape)
    if len(shape) == 2:
        if image_shape is None:
            return (int(shape[1]),)
        if shape[1] != np.prod(image_shape):
            raise ValueError(
                f"image_shape={image_shape} needs {np.prod(image_shape)} columns, X has "
                f"{shape[1]}; pass image_shape to match, or X as (n, height, width, channels)."
            )
        return image_shape
    if len(shape) not in (3, 4):
        raise ValueError(f"{_FORMS}; X has shape {tuple(shape)}.")
    row_shape = tuple(int(s) for s in shape[1:]) + (1,) * (4 - len(shape))
    if image_shape not in (None, row_shape):
        raise ValueError(
            f"image_shape={image_shape}, but X holds images of shape {row_shape}; "
            "leave image_shape out where X is not flat."
        )
    return row_shape


def _check_image_shape(image_shape: Any) -> tuple[int, int, int]:
    shape = tuple(image_shape) if np.iterable(image_shape) else ()
    if len(shape) not in (2, 3) or not all(
        isinstance(s, (int, np.integer)) and s > 0 for s in shape
    ):
        raise ValueError(
            "image_shape must be (height, width) or (height, width, channels), "
            f"of positive integers; it is {image_shape!r}."
        )
    height, width, channels = (*shape, 1)[:3]
    return int(height), int(width), int(channels)


def value_scale(images: ImageRows, name: str) -> str | None:
    """Check that all values are finite; tell what range they fill.

    Returns
    -------
    {"0..1", "0..255", None}
        The two ranges that people mix up, and ``None`` for every other.

    Raises
    ------
    ValueError
        On NaN or infinity, with the row that has it.
    """
    if not images.is_in_memory:
        return "0..255" if images.dtype == np.uint8 else None
    low, high, start = np.inf, -np.inf, 0
    for chunk in images.chunks():
        if chunk.dtype.kind == "f":
            _check_finite(chunk, start, name)
        low, high = min(low, chunk.min()), max(high, chunk.max())
        start += len(chunk)
        if chunk.dtype.kind != "f" and high > 2:
            break  # integers are finite, and these are not in 0..1
    largest = np.finfo(np.float32).max
    if low < -largest or high > largest:
        raise ValueError(
            f"Input X contains a value too large for float32, {max(high, -low):.3g}; scale X down."
        )
    if low < 0:
        return None
    if 0 < high <= 1 and images.dtype.kind == "f":
        return "0..1"
    return "0..255" if 2 < high <= 255 else None


def _check_finite(chunk: np.ndarray, start: int, name: str) -> None:
    # A sum is finite unless something in it is not (or it overflows): one fast pass.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(chunk.sum(dtype=np.float64)):
            return
    finite = np.isfinite(chunk.reshape(len(chunk), -1)).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"Input X contains NaN or infinity, in row {start + int(np.argmin(finite))}. "
            f"{name} does not accept missing values encoded as NaN natively; "
            "repair or drop such rows."
        )


def decode_one_hot(y: Any) -> Any:
    """Turn one-hot rows (n, k) into class numbers; give other targets back as they are."""
    table = np.asarray(y)
    if table.ndim != 2 or table.shape[1] < 2:
        return y
    zero_or_one = table.dtype.kind in "buif" and np.isin(table, (0, 1)).all()
    if zero_or_one and (table.sum(axis=1) == 1).all():
        return table.argmax(axis=1)
    raise ValueError(
        f"y must be one label a row, or one-hot (n, classes); it has shape {table.shape} and "
        "rows with none or several classes. Several labels an image are not supported."
    )


def refuse_masks(value: Any, name: str) -> None:
    """Refuse an array whose mask NumPy would drop in silence."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} must have a value for each row; drop the rows of masked ones.")


def check_labels(y: ArrayLike, *, n_rows: int, name: str) -> tuple[np.ndarray, int | None]:
    """Check y of any kind of label: return it as a 1-D array, and the width of one-hot rows."""
    if y is None:
        raise ValueError(
            f"This {name} estimator requires y to be passed, but the target y is None."
        )
    refuse_masks(y, "y")
    if hasattr(y, "to_numpy") and (numbers := y.to_numpy()).dtype.kind in "iu":
        # scikit-learn makes pandas' nullable numbers floats, which merge labels past 2**53.
        y = numbers
    decoded = decode_one_hot(y)
    width = None if decoded is y else np.asarray(y).shape[1]
    # The warning for a column vector is scikit-learn's.
    labels = column_or_1d(decoded, warn=True)
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise ValueError("Input y contains NaN or infinity; drop the rows without a label.")
    check_classification_targets(labels)
    if len(labels) != n_rows:
        raise ValueError(
            "Found input variables with inconsistent numbers of samples: "
            f"X has {n_rows}, y has {len(labels)}."
        )
    return labels, width


def same_classes(classes: Any, known: np.ndarray) -> np.ndarray:
    """Return the classes of the first call; check those that a later call names."""
    if classes is not None and not np.array_equal(np.unique(classes), known):
        raise ValueError(
            f"`classes={classes!r}` is not the same as on last call to partial_fit, "
            f"was: {known!r}; leave `classes` out, or fit a clone."
        )
    return known


def encode_labels(y: np.ndarray, *, classes: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted classes and, for each row, the number of its class.

    Raises
    ------
    ValueError
        Where there are fewer than two classes, or a label is not in ``classes``.
    """
    encoder = LabelEncoder().fit(y if classes is None else classes)
    if len(encoder.classes_) < 2:
        raise ValueError(
            f"A classifier needs at least 2 classes; y has 1 class: {encoder.classes_[0]!r}."
        )
    unseen = np.setdiff1d(np.asarray(y), encoder.classes_)
    if len(unseen):
        raise ValueError(
            f"y has labels {unseen.tolist()} that are not among the classes "
            f"{encoder.classes_.tolist()}; name every class in the first call's `classes`."
        )
    return encoder.classes_, encoder.transform(y)
