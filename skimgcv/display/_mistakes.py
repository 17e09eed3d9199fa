"""MistakesDisplay: the images with the most confident wrong predictions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skimgcv.display._plotting import (
    clear_frame,
    draw_image,
    pixels,
    pyplot,
    read_images,
    styled,
    value_range,
)

_TEXT_INCHES = 0.42
_GAP_INCHES = 0.12


class MistakesDisplay:
    """The most confident wrong predictions, each with its image and both labels.

    Use ``from_predictions``. It helps to find wrong labels, near-copies, and features that the
    model confuses with a class.

    Parameters
    ----------
    images : ndarray of shape (n, height, width, channels)
    rows : ndarray of int, shape (n,)
        Positions of the images in X.
    true_labels, predicted_labels : ndarray of shape (n,)
        With several labels for each image, their names in one string.
    confidence : ndarray of shape (n,)
        Probability of the predicted label. With several labels, the probability with which the
        wrong label was predicted, or the missing label was not.
    n_mistakes, n_predictions : int
        Numbers for all predictions, including those that are not shown.

    Attributes
    ----------
    images_ : list of matplotlib AxesImage
        After ``plot``.
    texts_ : list of matplotlib Text
    ax_, figure_ : matplotlib Axes, Figure

    Examples
    --------
    >>> import numpy as np
    >>> from skimgcv.display import MistakesDisplay
    >>> proba = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    >>> display = MistakesDisplay.from_predictions(np.zeros((3, 4, 4)), [0, 1, 0], proba)
    >>> display.rows
    array([1, 2])
    """

    def __init__(
        self,
        images: np.ndarray,
        *,
        rows: np.ndarray,
        true_labels: np.ndarray,
        predicted_labels: np.ndarray,
        confidence: np.ndarray,
        n_mistakes: int,
        n_predictions: int,
    ) -> None:
        self.images = images
        self.rows = rows
        self.true_labels = true_labels
        self.predicted_labels = predicted_labels
        self.confidence = confidence
        self.n_mistakes = n_mistakes
        self.n_predictions = n_predictions

    @classmethod
    def from_predictions(
        cls,
        X: Any,
        y: ArrayLike,
        proba: ArrayLike,
        *,
        classes: ArrayLike | None = None,
        n_images: int = 12,
        image_shape: tuple[int, ...] | None = None,
        ax: Any = None,
        im_kw: Mapping[str, Any] | None = None,
        text_kw: Mapping[str, Any] | None = None,
    ) -> MistakesDisplay:
        """Draw the worst of ``cross_val_predict(..., method="predict_proba")``.

        Parameters
        ----------
        X : array-like of shape (n, height, width[, channels]), or flat with ``image_shape``
            Only the images that are shown are read.
        y : array-like of shape (n,), or (n, labels) of 0 and 1
            True labels.
        proba : array-like of shape (n, n_classes), or (n, labels)
        classes : array-like of shape (n_classes,), optional
            Labels of the columns of ``proba``. None means the sorted labels of ``y``, as in
            ``cross_val_predict``, or the numbers of its columns.
        n_images : int, default=12
            The largest number of mistakes to show.
        image_shape : tuple of int, optional
            The shape of a flat row: (height, width[, channels]).
        ax, im_kw, text_kw
            As for ``plot``.

        Returns
        -------
        MistakesDisplay

        Raises
        ------
        ValueError
            If the lengths differ.
        """
        y, proba = np.asarray(y), np.asarray(proba, dtype=float)
        if classes is not None:
            labels = np.asarray(classes)
        else:
            labels = np.unique(y) if y.ndim == 1 else np.arange(y.shape[1])
        of_labels = y.ndim == 2 and y.shape == proba.shape
        if not (y.ndim == 1 or of_labels) or proba.shape != (len(y), len(labels)):
            raise ValueError(
                f"proba needs shape (n, n_classes) = ({len(y)}, {len(labels)}), it has "
                f"{proba.shape}; pass cross_val_predict(..., method='predict_proba'), and classes "
                "where y lacks some"
            )
        if n_images < 1:
            raise ValueError(f"n_images needs to be at least 1, got {n_images}")
        if of_labels:
            y, predicted, confidence = _of_several(y, proba, labels)
        else:
            likeliest = proba.argmax(axis=1)
            predicted, confidence = labels[likeliest], proba[np.arange(len(y)), likeliest]
        wrong = np.flatnonzero(predicted != y)
        rows = wrong[np.argsort(-confidence[wrong], kind="stable")][:n_images]
        return cls(
            read_images(X, rows, image_shape),
            rows=rows,
            true_labels=y[rows],
            predicted_labels=predicted[rows],
            confidence=confidence[rows],
            n_mistakes=len(wrong),
            n_predictions=len(y),
        ).plot(ax, im_kw=im_kw, text_kw=text_kw)

    def plot(
        self,
        ax: Any = None,
        *,
        im_kw: Mapping[str, Any] | None = None,
        text_kw: Mapping[str, Any] | None = None,
    ) -> MistakesDisplay:
        """Draw the images in a grid, the most confident mistake first.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            None makes a new figure, large enough for the labels.
        im_kw, text_kw : dict, optional
            For ``Axes.imshow``, which draws an image, and ``Axes.text``, which writes its
            labels.

        Returns
        -------
        self
        """
        plt = pyplot("MistakesDisplay.plot")
        n, (height, width) = len(self.images), self.images.shape[1:3]
        columns = max(1, math.ceil(math.sqrt(1.5 * n)))
        grid_rows = math.ceil(n / columns)
        columns = max(1, math.ceil(n / max(1, grid_rows)))
        captions = list(map(_caption, self.true_labels, self.predicted_labels, self.confidence))
        # 8-point letters are about 0.065 inches wide.
        letters = max((len(line) for text in captions for line in text.split("\n")), default=0)
        inches = max(1.0, 0.065 * letters)
        unit = width / inches
        cell = width + _GAP_INCHES * unit, height + (_TEXT_INCHES + _GAP_INCHES) * unit
        whole = columns * cell[0] - _GAP_INCHES * unit, max(1, grid_rows * cell[1])
        if ax is None:
            size = max(3.5, whole[0] / unit + 0.1), whole[1] / unit + 0.35
            ax = plt.subplots(figsize=size, layout="compressed")[1]
        self.images_, self.texts_ = [], []
        limits = value_range(self.images)
        style = styled("text", text_kw, ha="center", va="top", fontsize=8)
        for place, image in enumerate(pixels(self.images, limits)):
            row, column = divmod(place, columns)
            left, top = column * cell[0], row * cell[1]
            self.images_.append(draw_image(ax, image, left=left, top=top, im_kw=im_kw))
            middle, below = left + width / 2, top + height + 0.04 * unit
            self.texts_.append(ax.text(middle, below, captions[place], **style))
        clear_frame(ax, width=whole[0], height=whole[1])
        ax.set_title(_title(n, self.n_mistakes, self.n_predictions), fontsize=10)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _of_several(
    y: np.ndarray, proba: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return names of true and predicted labels, and the confidence of the worst mistake."""
    predicted = proba > 0.5
    sure = np.where(predicted, proba, 1 - proba)
    confidence = np.where(predicted != y.astype(bool), sure, 0).max(axis=1)
    true, found = (
        np.array([", ".join(map(str, labels[row])) or "none" for row in table])
        for table in (y.astype(bool), predicted)
    )
    return true, found, confidence


def _caption(true: Any, predicted: Any, confidence: float) -> str:
    return f"true: {true}\npredicted: {predicted} ({confidence:.2f})"


def _title(shown: int, mistakes: int, predictions: int) -> str:
    total = f"{mistakes} wrong of {predictions}"
    if shown == mistakes:
        return total
    return f"{total}: the {shown} most confident" if shown > 1 else f"{total}: the most confident"
