"""Helpers of the displays: matplotlib, imported where it is used, and images to show."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from skimgcv._runtime.optional import require


def pyplot(purpose: str) -> Any:
    """Return ``matplotlib.pyplot``, or raise an error that names its extra.

    Parameters
    ----------
    purpose : str
        The caller, such as ``"FoldScoresDisplay.plot"``.
    """
    require("matplotlib", extra="plot", purpose=purpose)
    import matplotlib.pyplot as plt

    return plt


def loose_axes(size: tuple[float, float], purpose: str) -> Any:
    """Return the Axes of a figure that pyplot does not keep, so it need not be closed.

    Parameters
    ----------
    size : (float, float)
        Width and height, in inches.
    purpose : str
        The caller.
    """
    require("matplotlib", extra="plot", purpose=purpose)
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained").subplots()


def svg_of(figure: Any) -> bytes:
    """Return a figure as an SVG file: the same bytes for the same figure."""
    import matplotlib

    file = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "skimgcv"}):
        figure.savefig(file, format="svg", metadata={"Date": None}, transparent=True)
    return file.getvalue()


def styled(method: str, given: Mapping[str, Any] | None, **defaults: Any) -> dict[str, Any]:
    """Return keyword arguments for a method of Axes: the user's, and our defaults for the others.

    Matplotlib has several names for one thing, such as "lw" and "linewidth", and refuses to
    get two of them.

    Parameters
    ----------
    method : {"errorbar", "imshow", "plot", "scatter", "text"}
    given : dict, optional
        The user's.
    **defaults : dict
        Ours.
    """
    from matplotlib import cbook, collections, image, lines, text

    draws = {
        "errorbar": lines.Line2D,
        "imshow": image.AxesImage,
        "plot": lines.Line2D,
        "scatter": collections.PathCollection,
        "text": text.Text,
    }[method]
    chosen = cbook.normalize_kwargs(dict(given or {}), draws)
    ours = cbook.normalize_kwargs(defaults, draws)
    for name, says in (("c", {"color"}), ("fmt", {"color", "linestyle", "marker"})):
        if name in chosen:
            ours = {key: value for key, value in ours.items() if key not in says}
    return ours | chosen


def read_images(X: Any, rows: Any, image_shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Read only these rows of X: (n, height, width, channels), in the dtype of X.

    Parameters
    ----------
    X : array-like of shape (n, height, width[, channels]), or flat with ``image_shape``
        An array, or any object with ``shape`` that integer arrays can index.
    rows : array-like of int
    image_shape : tuple of int, optional
        The shape of a flat row: (height, width[, channels]).

    Raises
    ------
    ValueError
        If the rows are not images.
    """
    if hasattr(X, "iloc"):
        X = X.to_numpy()
    elif not hasattr(X, "shape"):
        X = np.asarray(X)
    shape = (X.shape[0], *(image_shape or X.shape[1:]))
    shape = shape if len(shape) != 3 else (*shape, 1)
    if len(shape) != 4:
        raise ValueError(
            "X needs images, (n, height, width[, channels]), or flat rows and image_shape; "
            f"got shape {tuple(X.shape)} and image_shape={image_shape}"
        )
    rows = np.asarray(rows, dtype=np.intp)
    return np.asarray(X[rows]).reshape(len(rows), *shape[1:])


def value_range(images: np.ndarray) -> tuple[float, float]:
    """Return the values of black and white.

    0 and 255 for uint8, 0 and 1 for values within them; else the extremes of the images.
    """
    if images.dtype == np.uint8:
        return 0.0, 255.0
    if not images.size:
        return 0.0, 1.0
    low, high = float(images.min()), float(images.max())
    return (low, high) if low < 0 or high > 1 else (0.0, 1.0)


def pixels(images: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Return images for ``imshow``: float32 in [0, 1], (n, height, width) or RGB.

    With more than three channels the first three are shown, and with two the first.

    Parameters
    ----------
    images : ndarray of shape (n, height, width, channels)
    limits : (float, float)
        Values of black and of white.
    """
    low, high = limits
    shown = images[..., :3] if images.shape[-1] >= 3 else images[..., 0]
    scaled = (shown.astype(np.float32) - low) / ((high - low) or 1)
    return np.clip(scaled, 0, 1)


def draw_image(
    ax: Any,
    image: np.ndarray,
    *,
    left: float = 0,
    top: float = 0,
    im_kw: Mapping[str, Any] | None = None,
) -> Any:
    """Draw an image with its corner at a position, in units of pixels.

    Parameters
    ----------
    ax : matplotlib Axes
    image : ndarray of shape (height, width) or (height, width, 3)
    left, top : float
    im_kw : dict, optional
        For ``Axes.imshow``.

    Returns
    -------
    matplotlib.image.AxesImage
    """
    height, width = image.shape[:2]
    place = (left, left + width, top + height, top)
    style = styled("imshow", im_kw, cmap="gray", vmin=0, vmax=1)
    return ax.imshow(image, extent=place, **style)


def clear_frame(ax: Any, *, width: float, height: float) -> None:
    """Show ``width`` by ``height`` pixels, from the top left corner, without frame or ticks."""
    ax.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[], aspect="equal")
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.tick_params(length=0)
