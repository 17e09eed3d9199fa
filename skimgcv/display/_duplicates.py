"""DuplicatesDisplay: the images that share a group, side by side."""

from __future__ import annotations

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

_GAP_INCHES = 0.06
_LABEL_INCHES = 0.22
_IMAGE_INCHES = 0.7
_GROUP_GAP_INCHES = 0.3
_IMAGES_A_LINE = 12


class DuplicatesDisplay:
    """Groups of images, the largest first, to check whether they are copies.

    Use ``from_groups`` with the result of ``model_selection.duplicate_groups``.

    Parameters
    ----------
    images : list of ndarray of shape (n_shown, height, width, channels)
        For each group in the figure, its first images.
    rows : list of ndarray of int
        Their positions in X.
    labels : ndarray of shape (n_groups,)
        Labels of the groups in the figure.
    sizes : ndarray of int, shape (n_groups,)
        The number of images of each, including those that are not shown.
    n_groups, n_images : int
        The number of groups of two images or more, and the number of their images.

    Attributes
    ----------
    images_ : list of list of matplotlib AxesImage
        After ``plot``: a list for each group.
    texts_ : list of matplotlib Text
        Above each group, its label and the number of images that are not shown.
    ax_, figure_ : matplotlib Axes, Figure

    Examples
    --------
    >>> import numpy as np
    >>> from skimgcv.display import DuplicatesDisplay
    >>> display = DuplicatesDisplay.from_groups(np.zeros((5, 4, 4)), [0, 1, 1, 2, 1])
    >>> display.labels, display.rows
    (array([1]), [array([1, 2, 4])])
    """

    def __init__(
        self,
        images: list[np.ndarray],
        *,
        rows: list[np.ndarray],
        labels: np.ndarray,
        sizes: np.ndarray,
        n_groups: int,
        n_images: int,
    ) -> None:
        self.images = images
        self.rows = rows
        self.labels = labels
        self.sizes = sizes
        self.n_groups = n_groups
        self.n_images = n_images

    @classmethod
    def from_groups(
        cls,
        X: Any,
        groups: ArrayLike,
        *,
        max_groups: int = 24,
        max_images: int = 6,
        image_shape: tuple[int, ...] | None = None,
        ax: Any = None,
        im_kw: Mapping[str, Any] | None = None,
        text_kw: Mapping[str, Any] | None = None,
    ) -> DuplicatesDisplay:
        """Draw the groups that have two images or more.

        Parameters
        ----------
        X : array-like of shape (n, height, width[, channels]), or flat with ``image_shape``
            Only the images that are shown are read.
        groups : array-like of shape (n,)
            The result of ``duplicate_groups(X)``, or your own groups.
        max_groups : int, default=24
            The largest number of groups to show.
        max_images : int, default=6
            The largest number of images of each group, from 2 to 12.
        image_shape : tuple of int, optional
            The shape of a flat row: (height, width[, channels]).
        ax, im_kw, text_kw
            As for ``plot``.

        Returns
        -------
        DuplicatesDisplay

        Raises
        ------
        ValueError
            If the lengths differ, or a number is invalid.
        """
        groups = np.asarray(groups)
        if not hasattr(X, "shape"):
            X = np.asarray(X)
        if groups.shape != (X.shape[0],):
            raise ValueError(
                f"groups needs one label an image, ({X.shape[0]},); it has shape {groups.shape}"
            )
        if max_groups < 1 or not 2 <= max_images <= _IMAGES_A_LINE:
            raise ValueError(
                f"max_groups needs to be at least 1 and max_images 2 to {_IMAGES_A_LINE}, got "
                f"{max_groups} and {max_images}"
            )
        labels, members, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        several = np.flatnonzero(sizes > 1)
        shown = several[np.argsort(-sizes[several], kind="stable")][:max_groups]
        rows = [np.flatnonzero(members == group)[:max_images] for group in shown]
        images = read_images(X, np.concatenate([*rows, []]), image_shape)
        return cls(
            np.split(images, np.cumsum([len(r) for r in rows])[:-1]) if rows else [],
            rows=rows,
            labels=labels[shown],
            sizes=sizes[shown],
            n_groups=len(several),
            n_images=int(sizes[several].sum()),
        ).plot(ax, im_kw=im_kw, text_kw=text_kw)

    def plot(
        self,
        ax: Any = None,
        *,
        im_kw: Mapping[str, Any] | None = None,
        text_kw: Mapping[str, Any] | None = None,
    ) -> DuplicatesDisplay:
        """Draw the groups beside and below each other.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            None makes a new figure that is large enough.
        im_kw, text_kw : dict, optional
            For ``Axes.imshow``, which draws an image, and ``Axes.text``, which writes its
            label.

        Returns
        -------
        self
        """
        plt = pyplot("DuplicatesDisplay.plot")
        # Without groups there is only a title, above a strip without height.
        height, width = self.images[0].shape[1:3] if self.images else (1, 10)
        unit = width / _IMAGE_INCHES
        places, whole = self._places(height, width, unit)
        if ax is None:
            size = max(3.5, whole[0] / unit + 0.1), whole[1] / unit + 0.4
            ax = plt.subplots(figsize=size, layout="compressed")[1]
        self.images_, self.texts_ = [], []
        limits = value_range(np.concatenate(self.images)) if self.images else (0.0, 1.0)
        step = width + _GAP_INCHES * unit
        style = styled("text", text_kw, va="bottom", fontsize=7)
        for group, images, (left, top) in zip(
            range(len(places)), self.images, places, strict=True
        ):
            self.texts_.append(ax.text(left, top - 0.04 * unit, self._caption(group), **style))
            self.images_.append(
                [
                    draw_image(ax, image, left=left + number * step, top=top, im_kw=im_kw)
                    for number, image in enumerate(pixels(images, limits))
                ]
            )
        clear_frame(ax, width=whole[0], height=whole[1])
        ax.set_title(self._title(), fontsize=10)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _places(
        self, height: int, width: int, unit: float
    ) -> tuple[list[tuple[float, float]], tuple[float, float]]:
        """Return the place of each group's first image, line by line, and the size of the grid."""
        step, apart = width + _GAP_INCHES * unit, _GROUP_GAP_INCHES * unit
        line = height + (_LABEL_INCHES + _GAP_INCHES) * unit
        longest = _IMAGES_A_LINE * step + apart  # two groups of half as many, side by side
        left, top, widest = 0.0, _LABEL_INCHES * unit, float(width)
        places = []
        for images in self.images:
            # At least the width of one more image: labels are about as wide as two.
            taken = max(2, len(images)) * step
            if left and left + taken > longest:
                left, top = 0.0, top + line
            places.append((left, top))
            widest = max(widest, left + taken)
            left += taken + apart
        return places, (widest, top + height)

    def _caption(self, group: int) -> str:
        more = int(self.sizes[group]) - len(self.rows[group])
        return f"{self.labels[group]}" + (f" and {more} more" if more else "")

    def _title(self) -> str:
        if not self.n_groups:
            return "no group of two images or more"
        groups = f"{self.n_groups} group" + ("s" if self.n_groups > 1 else "")
        total = f"{self.n_images} images in {groups}"
        shown = len(self.images)
        return total if shown == self.n_groups else f"{total}: the {shown} largest"
