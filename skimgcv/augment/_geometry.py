"""Geometry: parameters in, one matrix an image, one warp."""

from __future__ import annotations

import cv2
import numpy as np

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
    """Compose rotation, shift, shear, zoom and flips into one matrix an image.

    Parameters
    ----------
    theta, shear : ndarray of shape (n,)
        Degrees.
    tx, ty : ndarray of shape (n,)
        Pixels, sideways and up or down, with Keras' sign: where the output's
        centre is read from, so that positive values move the picture to the left
        and up.
    zx, zy : ndarray of shape (n,)
        Pixels of the input to one of the output, sideways and up or down: below
        1 magnifies.
    flip_horizontal, flip_vertical : ndarray of shape (n,), bool

    Returns
    -------
    ndarray of shape (n, 2, 3), float64
        Maps (x, y, 1) of the output to the (x, y) of the input that is read there.

    Notes
    -----
    Keras' product of rotation, shift, shear and zoom about the image's centre,
    and then the flips, multiplied out.
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


def warp(
    images: np.ndarray,
    matrices: np.ndarray,
    *,
    order: int = 1,
    fill_mode: str = "nearest",
    cval: float = 0.0,
) -> np.ndarray:
    """Read every output pixel of every image where its matrix says.

    Parameters
    ----------
    images : ndarray of shape (n, height, width, channels), uint8 or float32
    matrices : ndarray of shape (n, 2, 3)
        As :func:`compose` gives them.
    order : int, 0 to 5
        Of the interpolation: 0 (nearest) and 1 (linear) by OpenCV, splines of
        order 2 to 5 by SciPy, which is some 30 times slower.
    fill_mode : {"constant", "nearest", "reflect", "wrap"}
        What lies outside of the image. "constant" and "wrap" are SciPy's
        "grid-constant" and "grid-wrap": the image's outermost pixels blend into
        ``cval``, and the period of a wrapped image is its size.
    cval : float
        The value outside for "constant".

    Returns
    -------
    ndarray of the shape and dtype of ``images``
    """
    moves = _Moves(matrices, images.shape[1], images.shape[2])
    if not moves.any:
        return np.array(images, order="C")
    if order > 1:
        return _warp_splines(images, matrices, moves, order, _SCIPY_MODE[fill_mode], cval)
    source = _pack(images)
    target = np.empty_like(source)
    _warp_packed(source, target, matrices, moves, _OPENCV_FLAGS[order], fill_mode, cval)
    return _unpack(target, images)


class _Moves:
    """Which images a matrix leaves as they are, only flips, or really warps."""

    any: bool
    flips: list[int | None]
    """OpenCV's flip code; None where the image is to be warped."""

    KEEP = 2

    def __init__(self, matrices: np.ndarray, height: int, width: int) -> None:
        across, along = matrices[:, 0, 0], matrices[:, 1, 1]
        mirrored_x = (across == -1) & (matrices[:, 0, 2] == width - 1)
        mirrored_y = (along == -1) & (matrices[:, 1, 2] == height - 1)
        still_x = (across == 1) & (matrices[:, 0, 2] == 0)
        still_y = (along == 1) & (matrices[:, 1, 2] == 0)
        straight = (matrices[:, 0, 1] == 0) & (matrices[:, 1, 0] == 0)
        straight &= (mirrored_x | still_x) & (mirrored_y | still_y)
        codes = np.select(
            [mirrored_x & mirrored_y, mirrored_x, mirrored_y], [-1, 1, 0], self.KEEP
        )
        self.flips = [
            code if exact else None
            for code, exact in zip(codes.tolist(), straight.tolist(), strict=True)
        ]
        self.any = any(code != self.KEEP for code in self.flips)


def _warp_packed(
    source: np.ndarray,
    target: np.ndarray,
    matrices: np.ndarray,
    moves: _Moves,
    flags: int,
    fill_mode: str,
    cval: float,
) -> None:
    border = _OPENCV_BORDER[fill_mode]
    outside = (cval, cval, cval, cval)
    size = (source.shape[3], source.shape[2])
    for i, flip in enumerate(moves.flips):
        for before, after in zip(source[:, i], target[:, i], strict=True):
            if flip is None:
                cv2.warpAffine(before, matrices[i], size, after, flags, border, outside)
            elif flip == moves.KEEP:
                after[...] = before
            else:
                cv2.flip(before, flip, after)


def _pack(images: np.ndarray) -> np.ndarray:
    """Return (groups, n, height, width[, 4]): the form that OpenCV warps fastest.

    Four channels take it half the time of three, and two or five would take a path
    that rounds coordinates to 1/32 of a pixel.
    """
    n, height, width, channels = images.shape
    if channels == 1:
        return np.ascontiguousarray(images).reshape(1, n, height, width)
    if channels == 3:
        packed = np.empty((1, n, height, width, 4), images.dtype)
        tall = np.ascontiguousarray(images).reshape(n * height, width, 3)
        cv2.cvtColor(tall, cv2.COLOR_RGB2RGBA, packed.reshape(n * height, width, 4))
        return packed
    groups = -(-channels // 4)
    packed = np.zeros((groups, n, height, width, 4), images.dtype)
    for group in range(groups):
        part = images[..., 4 * group : 4 * group + 4]
        packed[group, ..., : part.shape[-1]] = part
    return packed


def _unpack(packed: np.ndarray, like: np.ndarray) -> np.ndarray:
    n, height, width, channels = like.shape
    if channels == 1:
        return packed.reshape(like.shape)
    out = np.empty(like.shape, like.dtype)
    if channels == 3:
        tall = out.reshape(n * height, width, 3)
        cv2.cvtColor(packed.reshape(n * height, width, 4), cv2.COLOR_RGBA2RGB, tall)
        return out
    for group, part in enumerate(packed):
        target = out[..., 4 * group : 4 * group + 4]
        target[...] = part[..., : target.shape[-1]]
    return out


def _warp_splines(
    images: np.ndarray,
    matrices: np.ndarray,
    moves: _Moves,
    order: int,
    mode: str,
    cval: float,
) -> np.ndarray:
    from scipy import ndimage

    out = np.empty(images.shape, images.dtype)
    for i, flip in enumerate(moves.flips):
        if flip is not None:
            rows = slice(None, None, -1 if flip in (0, -1) else 1)
            columns = slice(None, None, -1 if flip in (1, -1) else 1)
            out[i] = images[i, rows, columns]
            continue
        # SciPy counts (row, column) where the matrix counts (x, y).
        linear, offset = matrices[i, ::-1, 1::-1], matrices[i, ::-1, 2]
        for channel in range(images.shape[3]):
            plane = ndimage.affine_transform(
                images[i, :, :, channel].astype(np.float64),
                linear,
                offset,
                order=order,
                mode=mode,
                cval=cval,
            )
            out[i, :, :, channel] = _saturated(plane, images.dtype)
    return out


def _saturated(plane: np.ndarray, dtype: np.dtype) -> np.ndarray:
    # Splines overshoot at edges.
    return np.clip(np.rint(plane), 0, 255) if dtype == np.uint8 else plane
