"""The random steps: transforms of images by the rows of a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import _color, _quality
from ._blocks import for_blocks
from ._color import Levels
from ._dtypes import from_working, working_dtype
from ._geometry import WARP, Moves, Warp, compose, flipped
from ._policies import OPERATIONS, RAND_AUGMENT, Strengths, run_operation
from ._statistics import Standardizer

_GEOMETRY = ("theta", "tx", "ty", "shear", "zx", "zy", "flip_horizontal", "flip_vertical")


@dataclass(frozen=True)
class Transform:
    """The random steps of an augmenter, with their fixed settings.

    Parameters
    ----------
    warp : Warp
        How the geometry reads pixels.
    erasing_value : float
        The value of erased rectangles.
    strengths : Strengths
        The strengths of a policy's operations.
    """

    warp: Warp = field(default_factory=Warp)
    erasing_value: float = 0.0
    strengths: Strengths = RAND_AUGMENT

    def apply(self, images: np.ndarray, table: np.ndarray) -> np.ndarray:
        """Transform each image by its row, into a new array of the images' dtype."""
        out = np.empty(images.shape, images.dtype)
        plan = _Plan(self, table, images)

        def work(block: slice) -> None:
            plan.run(block, out[block])

        for_blocks(len(images), plan.image_bytes, work)
        return out

    def prepare(
        self, images: np.ndarray, table: np.ndarray, standardizer: Standardizer
    ) -> np.ndarray:
        """Standardise the result of :meth:`apply`, block by block while it is in the cache."""
        out = np.empty(images.shape, standardizer.dtype)
        plan = _Plan(self, table, images)

        def work(block: slice) -> None:
            scratch = np.empty(out[block].shape, images.dtype)
            plan.run(block, scratch)
            standardizer(scratch, out=out[block])

        for_blocks(len(images), plan.image_bytes, work)
        return out


class _Plan:
    """A table that is prepared for its images: matrices, and effects that are not neutral."""

    def __init__(self, transform: Transform, table: np.ndarray, images: np.ndarray) -> None:
        if len(table) != len(images):
            raise ValueError(
                f"apply needs a row of the table for each image: got {len(images)} images "
                f"and {len(table)} rows; take the rows of the same positions"
            )
        self.transform = transform
        self.images = images
        self.image_bytes = images[0].nbytes if len(images) else 0
        self.working = working_dtype(images.dtype)
        height, width = images.shape[1:3]
        matrices = compose(*(table[name] for name in _GEOMETRY), height=height, width=width)
        self.moves = Moves.of(matrices, height, width)
        self.effects = [
            (effect, list(zip(*(table[name].tolist() for name in effect.columns), strict=True)))
            for effect in EFFECTS
            if effect.columns[0] in (table.dtype.names or ())
            and any(np.any(table[name] != off) for name, off in effect.off.items())
        ]

    def run(self, block: slice, out: np.ndarray) -> None:
        """Transform the images of ``block`` into ``out``, in the images' dtype."""
        images = self.images[block]
        moves = self.moves[block]
        source = images.astype(self.working, copy=False)
        target = out if out.dtype == self.working else np.empty(out.shape, self.working)
        self.transform.warp(source, moves, out=target)
        changed = [False] * len(images)
        if self.effects:
            changed = [
                self._change(image, original, position)
                for position, (image, original) in enumerate(
                    zip(target, images, strict=True), start=block.start
                )
            ]
        if target is out:
            return
        out[...] = from_working(target, out.dtype)
        # Values that are not computed keep all bits, also those that float32 does not have.
        for row, kind in enumerate(moves.kinds):
            if kind != WARP and not changed[row]:
                out[row] = flipped(images[row], kind)

    def _change(self, image: np.ndarray, original: np.ndarray, position: int) -> bool:
        """Run the effects that are on for this row; return whether there were any."""
        levels = None
        for effect, rows in self.effects:
            values = rows[position]
            if values[: len(effect.off)] == tuple(effect.off.values()):
                continue
            # From the original, since a warp or an earlier effect may change the range.
            levels = levels or Levels.of(original)
            effect.run(image, values, levels, self.transform)
        return levels is not None


@dataclass(frozen=True)
class Effect:
    """A change of one image in place.

    Parameters
    ----------
    columns : tuple of str
        Columns of the table.
    off : dict of str to number
        Neutral values of the first columns.
    run : callable
        Takes the image, the row's values of these columns, the image's levels, and the transform.
    """

    columns: tuple[str, ...]
    off: dict[str, Any]
    run: Run


Run = Callable[[np.ndarray, tuple[Any, ...], Levels, Transform], None]


def _run_policy(
    image: np.ndarray, values: tuple[Any, ...], levels: Levels, transform: Transform
) -> None:
    for operation, share in zip(*values, strict=True):
        run_operation(
            image, OPERATIONS[operation], share, transform.strengths, levels, transform.warp
        )


def _erase(image: np.ndarray, values: tuple[Any, ...], _: Levels, transform: Transform) -> None:
    _quality.erase(image, values[0], transform.erasing_value)


def _plain(change: Callable[..., None]) -> Run:
    """Make an effect of a function of the image and the row's values."""
    return lambda image, values, levels, transform: change(image, *values)


def _leveled(change: Callable[..., None]) -> Run:
    """Make an effect of a function of the image, the row's values and the image's levels."""
    return lambda image, values, levels, transform: change(image, *values, levels)


# In the physical order: light, then the lens, the sensor and the file.
EFFECTS = (
    Effect(("channel_shifts",), {"channel_shifts": 0}, _plain(_color.shift_channels)),
    Effect(
        ("channel_shift_intensity", "brightness"),
        {"channel_shift_intensity": 0, "brightness": 1},
        _leveled(_color.shift_and_brighten),
    ),
    Effect(("contrast",), {"contrast": 1}, _leveled(_color.change_contrast)),
    Effect(("saturation",), {"saturation": 1}, _leveled(_color.change_saturation)),
    Effect(("hue",), {"hue": 0}, _leveled(_color.turn_hue)),
    Effect(("policy_operation", "policy_share"), {"policy_operation": 0}, _run_policy),
    Effect(("blur_sigma",), {"blur_sigma": 0}, _plain(_quality.blur)),
    Effect(("noise_std", "noise_seed"), {"noise_std": 0}, _leveled(_quality.add_noise)),
    Effect(("jpeg_quality",), {"jpeg_quality": 0}, _leveled(_quality.compress_jpeg)),
    Effect(("erase_box",), {"erase_box": 0}, _erase),
)
