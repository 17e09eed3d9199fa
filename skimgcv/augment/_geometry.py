"""Geometry: from parameters to one matrix and one warp for each image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

FILL_MODES = ("constant", "nearest", "reflect", "wrap")

_OPENCV_BORDER = {
    "constant": cv2.BORDER_CONSTANT,
    "nearest": cv2.BORDER_REPLICATE,
    "reflect": cv2.BORDER_REFLECT,
    "wrap": cv2.BORDER_WRAP,
}
_SCIPY_MODE = {
    "constant": "grid-constant",
    "nearest": "nearest",
    "reflect": "reflect",
    "wrap": "grid-wrap",
}
_OPENCV_FLAGS = {
    0: cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
    1: cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
}


def compose(
    theta: np.ndarray,
    tx: np.ndarray,
    ty: np.ndarray,
    shear: np.ndarray,
    zx: np.ndarray,
    zy: np.ndarray,
    flip_horizontal: np.ndarray,
    flip_vertical: np.ndarray,
    *,
    height: int,
    width: int,
) -> np.ndarray:
    """Compose rotation, shift, shear, zoom and flips into one matrix for each image.

    Parameters
    ----------
    theta, shear : ndarray of shape (n,)
        Degrees.
    tx, ty : ndarray of shape (n,)
        Pixels, sideways and up or down, with Keras' sign: the place in the input of the output's
        centre. So positive values move the image to the left and up.
    zx, zy : ndarray of shape (n,)
        Pixels of the input for one of the output, sideways and up or down. Values below 1 magnify.
    flip_horizontal, flip_vertical : ndarray of shape (n,), bool

    Returns
    -------
    ndarray of shape (n, 2, 3), float64
        Maps (x, y, 1) of the output to (x, y) of the input.

    Notes
    -----
    The product of Keras' rotation, shift, shear and zoom about the image's centre, and then the
    flips.
    """
    angle, leant = np.deg2rad(theta), np.deg2rad(theta + shear)
    cos, sin = np.cos(angle), np.sin(angle)
    right = np.where(flip_horizontal, -zx, zx)
    down = np.where(flip_vertical, -zy, zy)
    matrices = np.empty((len(theta), 2, 3))
    matrices[:, 0, 0] = cos * right
    matrices[:, 0, 1] = -np.sin(leant) * down
    matrices[:, 1, 0] = sin * right
    matrices[:, 1, 1] = np.cos(leant) * down
    center = np.array([(width - 1) / 2, (height - 1) / 2])
    matrices[:, :, 2] = center - matrices[:, :, :2] @ center
    matrices[:, 0, 2] += cos * tx - sin * ty
    matrices[:, 1, 2] += sin * tx + cos * ty
    return matrices


FLIP_BOTH, FLIP_ROWS, FLIP_COLUMNS = -1, 0, 1  # OpenCV's codes
KEEP, WARP = 2, 3

_LARGEST_PADDING = 8
"""In areas of the image: an extreme zoom out may not use more memory."""


@dataclass(frozen=True)
class Moves:
    """Matrices that are prepared for images of one size, and for OpenCV.

    Parameters
    ----------
    matrices : ndarray of shape (n, 2, 3)
    kinds : list of int
        For each image: whether it is warped, only flipped, or unchanged.
    margins : list of (top, bottom, left, right)
        Pixels that are read beyond the edges of an image; zeros if there are too many.
    padded : ndarray of shape (n, 2, 3)
        The matrices for images that have these margins.
    """

    matrices: np.ndarray
    kinds: list[int]
    margins: list[tuple[int, int, int, int]]
    padded: np.ndarray

    @classmethod
    def of(cls, matrices: np.ndarray, height: int, width: int) -> Moves:
        """Prepare the matrices of :func:`compose`."""
        margins = _margins(matrices, height, width)
        padded = matrices.copy()
        padded[:, :, 2] += margins[:, [2, 0]]
        rows = [tuple(row) for row in margins.astype(np.intp).tolist()]
        return cls(matrices, _kinds(matrices, height, width), rows, padded)

    def __getitem__(self, block: slice) -> Moves:
        return Moves(
            self.matrices[block], self.kinds[block], self.margins[block], self.padded[block]
        )


def flipped(image: np.ndarray, kind: int) -> np.ndarray:
    """Return a view of an image that is kept or flipped."""
    rows = -1 if kind in (FLIP_ROWS, FLIP_BOTH) else 1
    columns = -1 if kind in (FLIP_COLUMNS, FLIP_BOTH) else 1
    return image[::rows, ::columns]


def _kinds(matrices: np.ndarray, height: int, width: int) -> list[int]:
    straight = (matrices[:, 0, 1] == 0) & (matrices[:, 1, 0] == 0)
    if not straight.any():
        return [WARP] * len(matrices)
    mirrored_x = (matrices[:, 0, 0] == -1) & (matrices[:, 0, 2] == width - 1)
    mirrored_y = (matrices[:, 1, 1] == -1) & (matrices[:, 1, 2] == height - 1)
    still_x = (matrices[:, 0, 0] == 1) & (matrices[:, 0, 2] == 0)
    still_y = (matrices[:, 1, 1] == 1) & (matrices[:, 1, 2] == 0)
    exact = straight & (mirrored_x | still_x) & (mirrored_y | still_y)
    kinds = np.select(
        [~exact, mirrored_x & mirrored_y, mirrored_x, mirrored_y],
        [WARP, FLIP_BOTH, FLIP_COLUMNS, FLIP_ROWS],
        KEEP,
    )
    return kinds.tolist()


def _margins(matrices: np.ndarray, height: int, width: int) -> np.ndarray:
    ends = np.array([width - 1.0, height - 1.0])
    linear, offset = matrices[:, :, :2], matrices[:, :, 2]
    # The distance of the output's corners from its centre, in the input.
    middle = linear @ (ends / 2) + offset
    reach = np.abs(linear) @ (ends / 2)
    margins = np.concatenate([reach - middle, reach + middle - ends], axis=1)
    # One more than the farthest pixel, for rounding.
    margins = np.maximum(np.ceil(margins) + 1, 0)
    sizes = margins[:, :2] + margins[:, 2:] + ends + 1
    margins[sizes[:, 0] * sizes[:, 1] > _LARGEST_PADDING * height * width] = 0
    return margins[:, [1, 3, 0, 2]]


@dataclass(frozen=True)
class Warp:
    """How to read pixels between the points of the grid, and outside of the image.

    Parameters
    ----------
    order : int, 0 to 5
        Order of the interpolation: 0 (nearest) and 1 (linear) by OpenCV, splines of order 2 to 5
        by SciPy, which is about 100 times slower.
    fill_mode : {"constant", "nearest", "reflect", "wrap"}
        The values outside of the image. "constant" and "wrap" are SciPy's
        "grid-constant" and "grid-wrap": the image's outermost pixels blend into
        ``cval``, and the period of a wrapped image is its size.
    cval : float
        The value outside for "constant".
    """

    order: int = 1
    fill_mode: str = "nearest"
    cval: float = 0.0

    def __call__(
        self, images: np.ndarray, moves: Moves, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Warp each image by its matrix.

        Parameters
        ----------
        images : ndarray of shape (n, height, width, channels), uint8 or float32
        moves : Moves
            The moves of n matrices.
        out : ndarray like ``images``, C-contiguous
            The array for the result. By default a new one.

        Returns
        -------
        ndarray of the shape and dtype of ``images``
        """
        if out is None:
            out = np.empty(images.shape, images.dtype)
        if all(kind == KEEP for kind in moves.kinds):
            out[...] = images
        elif self.order > 1:
            self._warp_splines(images, moves, out)
        else:
            self._warp_packed(images, moves, out)
        return out

    def _warp_packed(self, images: np.ndarray, moves: Moves, out: np.ndarray) -> None:
        source = _pack(images)
        target = _target(out)
        border, outside = _OPENCV_BORDER[self.fill_mode], (self.cval,) * 4
        flags, size = _OPENCV_FLAGS[self.order], (images.shape[2], images.shape[1])
        for group, target_group in zip(source, target, strict=True):
            for before, after, matrix, kind, margins in zip(
                group, target_group, moves.padded, moves.kinds, moves.margins, strict=True
            ):
                if kind == WARP:
                    # OpenCV reads outside of an image pixel by pixel. Padding before takes half
                    # the time.
                    if any(margins):
                        before = cv2.copyMakeBorder(before, *margins, border, value=outside)
                    cv2.warpAffine(before, matrix, size, after, flags, border, outside)
                elif kind == KEEP:
                    after[...] = before
                else:
                    cv2.flip(before, kind, after)
        _unpack(target, out)

    def _warp_splines(self, images: np.ndarray, moves: Moves, out: np.ndarray) -> None:
        for image, matrix, kind, target in zip(
            images, moves.matrices, moves.kinds, out, strict=True
        ):
            if kind != WARP:
                target[...] = flipped(image, kind)
                continue
            for channel in range(image.shape[2]):
                plane = ndimage.affine_transform(
                    image[:, :, channel].astype(np.float64),
                    # SciPy uses (row, column), and the matrix (x, y).
                    matrix[::-1, 1::-1],
                    matrix[::-1, 2],
                    order=self.order,
                    mode=_SCIPY_MODE[self.fill_mode],
                    cval=self.cval,
                )
                if out.dtype == np.uint8:  # Splines overshoot at edges.
                    plane = np.clip(np.rint(plane), 0, 255)
                target[:, :, channel] = plane


def _pack(images: np.ndarray) -> np.ndarray:
    """Return (groups, n, height, width[, 4]): the form that OpenCV warps fastest.

    Four channels take half the time of three. Two or five would use code that rounds coordinates
    to 1/32 of a pixel.
    """
    n, height, width, channels = images.shape
    if channels == 1:
        return np.ascontiguousarray(images).reshape(1, n, height, width)
    if channels == 3:
        packed = np.empty((1, n, height, width, 4), images.dtype)
        tall = np.ascontiguousarray(images).reshape(n * height, width, 3)
        cv2.cvtColor(tall, cv2.COLOR_RGB2RGBA, packed.reshape(n * height, width, 4))
        return packed
    packed = np.zeros((-(-channels // 4), n, height, width, 4), images.dtype)
    for group, part in enumerate(packed):
        channels_of_it = images[..., 4 * group : 4 * group + 4]
        part[..., : channels_of_it.shape[-1]] = channels_of_it
    return packed


def _target(out: np.ndarray) -> np.ndarray:
    n, height, width, channels = out.shape
    if channels == 1:
        return out.reshape(1, n, height, width)
    return np.empty((-(-channels // 4), n, height, width, 4), out.dtype)


def _unpack(packed: np.ndarray, out: np.ndarray) -> None:
    n, height, width, channels = out.shape
    if channels == 3:
        tall = out.reshape(n * height, width, 3)
        cv2.cvtColor(packed.reshape(n * height, width, 4), cv2.COLOR_RGBA2RGB, tall)
    elif channels > 1:
        for group, part in enumerate(packed):
            target = out[..., 4 * group : 4 * group + 4]
            target[...] = part[..., : target.shape[-1]]
