"""AugmentationDisplay: what augmentation does to images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skimgcv.augment import Augmenter, MixingAugmenter, SteppedAugmenter, as_augmenter
from skimgcv.display._plotting import (
    clear_frame,
    draw_image,
    pixels,
    pyplot,
    read_images,
    value_range,
)

# The share of the values' deviation that a straight line may leave unexplained.
_STRAIGHT = 0.02


class AugmentationDisplay:
    """Images in rows: first the original, then several versions as the model gets them.

    Use ``from_estimator``. Rescaled or standardised values are mapped back by one linear
    function for all images and channels, so that black is black again. If no linear function
    fits (whitening, or standardisation of each image), values get the mean and the standard
    deviation of the originals instead, and ``mapped_back`` is False.

    Parameters
    ----------
    originals : ndarray of shape (n, height, width[, 3])
        In [0, 1].
    draws : ndarray of shape (n, n_draws, height, width[, 3])
        In [0, 1].
    labels : list of str, of length n
    mapped_back : bool, default=True

    Attributes
    ----------
    images_ : ndarray of matplotlib AxesImage, shape (n, 1 + n_draws)
        After ``plot``; the originals come first.
    ax_, figure_ : matplotlib Axes, Figure

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skimgcv import ImageAugmenter
    >>> from skimgcv.display import AugmentationDisplay
    >>> augmenter = ImageAugmenter(rotation_range=20, rescale=1 / 16)
    >>> display = AugmentationDisplay.from_estimator(
    ...     augmenter, load_digits().images, n_images=2, n_draws=3)
    >>> display.images_.shape
    (2, 4)
    """

    def __init__(
        self,
        originals: np.ndarray,
        draws: np.ndarray,
        *,
        labels: list[str],
        mapped_back: bool = True,
    ) -> None:
        self.originals = originals
        self.draws = draws
        self.labels = labels
        self.mapped_back = mapped_back

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike | None = None,
        *,
        n_draws: int = 5,
        n_images: int = 6,
        rows: ArrayLike | None = None,
        subset: str = "training",
        image_shape: tuple[int, ...] | None = None,
        random_state: int = 0,
        ax: Any = None,
        im_kw: Mapping[str, Any] | None = None,
    ) -> AugmentationDisplay:
        """Draw augmented versions of some images, by an estimator or an augmenter.

        Parameters
        ----------
        estimator : AugmentedKerasClassifier, AugmentedKerasRegressor or augmenter
            Fitted or not; it does not change. If it is not fitted, statistics are learned
            from the images that are shown.
        X : array-like of shape (n, height, width[, channels]), or flat with ``image_shape``
            Only the images that are shown are read.
        y : array-like of shape (n,), optional
            Labels. With labels the display shows images of every class, rare classes
            first, and applies ``class_augmenters``.
        n_draws : int, default=5
            Number of versions of each image.
        n_images : int, default=6
        rows : array-like of int, optional
            The images to show, instead of ``n_images``.
        subset : {"training", "validation"}, default="training"
            Whether to augment as training images, or as the hold-out set (by
            ``validation_augmenter``).
        image_shape : tuple of int, optional
            The shape of a flat row. None takes the estimator's.
        random_state : int, default=0
            Seed of the transforms.
        ax, im_kw
            As for ``plot``.

        Returns
        -------
        AugmentationDisplay

        Raises
        ------
        ValueError, TypeError
            If there are no images, or ``estimator`` cannot augment.
        """
        if subset not in ("training", "validation"):
            raise ValueError(f'subset needs to be "training" or "validation", got {subset!r}')
        if n_draws < 1 or n_images < 1:
            raise ValueError(f"n_draws and n_images need at least 1, got {n_draws}, {n_images}")
        labels = None if y is None else np.asarray(y)
        n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
        if labels is not None and labels.shape != (n_rows,):
            raise ValueError(f"y needs a label a row, shape ({n_rows},), it has {labels.shape}")
        chosen = _choose(n_rows, labels, n_images) if rows is None else np.asarray(rows)
        images = read_images(X, chosen, image_shape or getattr(estimator, "image_shape", None))
        shown = None if labels is None else labels[chosen]
        policy = _policy(estimator, images, shown, subset)
        drawn = _draw(policy, images, n_draws, np.random.default_rng(random_state))
        limits = value_range(images)
        originals = pixels(_channels_last(policy, images), limits)
        draws = pixels(drawn.seen, limits).reshape(len(images), n_draws, *originals.shape[1:])
        return cls(
            originals,
            draws,
            labels=_names(policy, chosen, shown),
            mapped_back=drawn.mapped_back,
        ).plot(ax, im_kw=im_kw)

    def plot(
        self, ax: Any = None, *, im_kw: Mapping[str, Any] | None = None
    ) -> AugmentationDisplay:
        """Draw the images in a grid.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            None makes a new figure.
        im_kw : dict, optional
            For ``Axes.imshow``, which draws an image.

        Returns
        -------
        self
        """
        plt = pyplot("AugmentationDisplay.plot")
        (n, n_draws), (height, width) = self.draws.shape[:2], self.draws.shape[2:4]
        gap = 0.06 * width
        lefts = np.arange(1 + n_draws) * (width + gap)
        lefts[1:] += gap  # a gap after the original
        tops = np.arange(n) * (height + gap)
        if ax is None:
            # 10-point letters are about 0.085 inches wide.
            letters = max(len(line) for label in self.labels for line in label.split("\n"))
            size = 1.1 + 0.085 * letters + lefts[-1] / width, 0.4 + (tops[-1] + height) / width
            ax = plt.subplots(figsize=size, layout="compressed")[1]
        self.images_ = np.empty((n, 1 + n_draws), dtype=object)
        for row in range(n):
            for column, image in enumerate([self.originals[row], *self.draws[row]]):
                self.images_[row, column] = draw_image(
                    ax, image, left=lefts[column], top=tops[row], im_kw=im_kw
                )
        clear_frame(ax, width=lefts[-1] + width, height=tops[-1] + height)
        ax.set_yticks(tops + height / 2, self.labels)
        draws_middle = (lefts[1] + lefts[-1] + width) / 2
        name = "as the model gets it" if n_draws > 1 else "as the\nmodel gets it"
        ax.set_xticks([width / 2, draws_middle], ["original", name])
        ax.xaxis.tick_top()
        ax.tick_params(length=0)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _choose(n_rows: int, labels: np.ndarray | None, n_images: int) -> np.ndarray:
    """Return rows to show: the first of each class in turn, rare classes first."""
    if labels is None:
        return np.arange(min(n_rows, n_images))
    by_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    by_class.sort(key=len)
    turn = np.concatenate([np.arange(len(rows)) for rows in by_class])
    place = np.concatenate([np.full(len(rows), k) for k, rows in enumerate(by_class)])
    chosen = np.lexsort((place, turn))[:n_images]
    # Images of one class are next to each other.
    return np.concatenate(by_class)[chosen[np.lexsort((turn[chosen], place[chosen]))]]


@dataclass(frozen=True)
class _Policy:
    """The augmenter of each image in the figure.

    Attributes
    ----------
    augmenter : Augmenter
        Fitted; it standardises all of them.
    random_halves : list of Augmenter
    which : ndarray of int, shape (n,)
        The index of each image's augmenter in ``random_halves``; -1 leaves it plain.
    is_own : ndarray of bool, shape (n,)
        Whether it is the augmenter of its class.
    """

    augmenter: Augmenter
    random_halves: list[Augmenter]
    which: np.ndarray
    is_own: np.ndarray


def _policy(estimator: Any, images: np.ndarray, labels: np.ndarray | None, subset: str) -> _Policy:
    none = np.zeros(len(images), dtype=np.intp)
    if not hasattr(estimator, "class_augmenters"):
        augmenter = _ready(estimator, images)
        return _Policy(augmenter, [augmenter], none, none > 0)
    augmenter = _ready(getattr(estimator, "augmenter_", estimator.augmenter), images)
    if subset == "validation":
        own = estimator.validation_augmenter
        halves = [] if own is None else [_beside(own, images)]
        return _Policy(augmenter, halves, none + len(halves) - 1, none > 0)
    own = {} if labels is None else estimator.class_augmenters or {}
    halves = [augmenter, *(_beside(each, images) for each in own.values())]
    places = {label: place for place, label in enumerate(own, start=1)}
    which = none if labels is None else np.array([places.get(k, 0) for k in labels.tolist()])
    return _Policy(augmenter, halves, which, which > 0)


def _ready(augmenter: Any, images: np.ndarray) -> Augmenter:
    """Return an augmenter that has its statistics: its own, or those of these images."""
    if isinstance(augmenter, Augmenter):
        try:
            augmenter.standardize(images[:1])
        # NotFittedError is an AttributeError, too, as is the lack of what `fit` sets.
        except AttributeError:
            pass
        else:
            return augmenter
    adapted = as_augmenter(augmenter)
    adapted.fit(images)
    return adapted


def _beside(augmenter: Any, images: np.ndarray) -> Augmenter:
    """Return the random steps of an augmenter, if the estimator's own one standardises."""
    ready = _ready(augmenter, images)
    return ready.beside_another(images) if isinstance(ready, SteppedAugmenter) else ready


def _names(policy: _Policy, rows: np.ndarray, labels: np.ndarray | None) -> list[str]:
    """Return an image's label: its row or class, and whether the class has an augmenter."""
    if labels is None:
        return [f"row {row}" for row in rows]
    return [
        f"{label}\n(own augmenter)" if own else f"{label}"
        for label, own in zip(labels, policy.is_own, strict=True)
    ]


@dataclass(frozen=True)
class _Drawn:
    """Return images (n * n_draws) as the model gets them, in the scale of the originals."""

    seen: np.ndarray
    mapped_back: bool


def _draw(policy: _Policy, images: np.ndarray, n_draws: int, rng: np.random.Generator) -> _Drawn:
    """Transform each image ``n_draws`` times, as in one epoch of all of them."""
    applied = np.repeat(images, n_draws, axis=0)
    which = np.repeat(policy.which, n_draws)
    prepared = policy.augmenter.prepare(applied)
    for place, half in enumerate(policy.random_halves):
        of_half = which == place
        repeated = applied[of_half]
        table = half.draw(rng, len(repeated), images.shape[1:])
        applied[of_half] = half.apply(repeated, table)
        if half is policy.augmenter:
            prepared[of_half] = half.prepare(repeated, table)
        else:
            prepared[of_half] = policy.augmenter.standardize(applied[of_half])
        if isinstance(half, MixingAugmenter) and half.mixes:
            plain = prepared[of_half]
            prepared[of_half], _ = half.mix(plain, plain[table["partner"]], table)
    raw = np.concatenate([images, applied])
    parts = (prepared, raw, policy.augmenter.standardize(raw))
    return _map_back(*(_channels_last(policy, part) for part in parts))


def _channels_last(policy: _Policy, images: np.ndarray) -> np.ndarray:
    first = getattr(policy.augmenter, "data_format", None) == "channels_first"
    return np.moveaxis(images, 1, -1) if first else images


def _map_back(prepared: np.ndarray, raw: np.ndarray, standardized: np.ndarray) -> _Drawn:
    """Undo standardisation by the affine map that fits it, or approximately."""
    channels = raw.shape[-1]
    standard, target = (part.reshape(-1, channels) for part in (standardized, raw))
    some = slice(None, None, max(1, len(target) // 100_000))
    design, values = _affine(standard[some]), target[some].astype(np.float64)
    solution = np.linalg.lstsq(design, values, rcond=None)[0]
    if np.std(design @ solution - values) <= _STRAIGHT * np.std(values):
        seen = _affine(prepared.reshape(-1, channels)) @ solution
        return _Drawn(seen.reshape(prepared.shape), mapped_back=True)
    centered = prepared - prepared.mean(dtype=np.float64)
    gain = raw.std(dtype=np.float64) / (centered.std() or 1)
    return _Drawn(centered * gain + raw.mean(dtype=np.float64), mapped_back=False)


def _affine(flat: np.ndarray) -> np.ndarray:
    return np.column_stack([flat.astype(np.float64), np.ones(len(flat))])
