"""The similarity of two thumbnails after they are aligned."""

from __future__ import annotations

import cv2
import numpy as np

from ._fingerprints import SIDE

_STEPS = 4
_COARSE = SIDE // 2
"""Pixels of the side for the alignment: a quarter of the work."""
_MARGIN = 3
"""Pixels at the border that a crop of the other image may lack."""
# Crops of a few per cent. Beyond, different images could be aligned.
_MOST_SHIFT, _MOST_STRETCH = 0.05 * SIDE, 0.08
_LIMITS = np.array([_MOST_SHIFT, _MOST_SHIFT, _MOST_STRETCH, _MOST_STRETCH], dtype=np.float32)
# The smallest correlation of outlines for which the fine structure is compared. Blood cells and
# their copies never had less than 0.97.
_ALIKE = 0.93


def similarities(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the correlations of thumbnails (n, SIDE, SIDE) uint8 after alignment.

    The mean of two correlations. Compression keeps the outlines, but different images of a kind
    have similar ones. The finest structure differs between these, but compression blurs it. Pairs
    with different outlines get 0.
    """
    moves, outlines = _register(first, second)
    found = np.zeros(len(first))
    for pair in np.flatnonzero(outlines > _ALIKE):
        laid = _warp(second[pair].astype(np.float32), moves[pair])
        fine = _fine(np.stack([first[pair].astype(np.float32), laid], axis=-1))
        inner = fine[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN].reshape(-1, 2)
        inner = inner - inner.mean(axis=0)
        dots = inner.T @ inner
        finest = dots[0, 1] / max(np.sqrt(dots[0, 0] * dots[1, 1]), 1e-6)
        found[pair] = (outlines[pair] + finest) / 2
    return found


def _register(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the move that aligns each second thumbnail with its first, and their correlation.

    Moves are shifts right and down in pixels of SIDE, and stretches along both axes, by
    Gauss-Newton steps (inverse compositional: Baker and Matthews 2004).
    """
    fixed, moving = _coarse(first), _coarse(second)
    slopes, inverse = _steepest(fixed)
    target = _normal(_inside(fixed))
    moves = np.zeros((len(first), 4), dtype=np.float32)
    for _ in range(_STEPS):
        laid = _normal(_inside(_warped(moving, moves)))
        error = np.matmul(slopes, (laid - target)[:, :, None])
        moves -= np.matmul(inverse, error)[:, :, 0]
        np.clip(moves, -_LIMITS, _LIMITS, out=moves)
    laid = _normal(_inside(_warped(moving, moves)))
    return moves, np.einsum("np,np->n", laid, target)


def _coarse(pictures: np.ndarray) -> np.ndarray:
    n = len(pictures)
    halved = pictures.reshape(n, _COARSE, 2, _COARSE, 2).mean(axis=(2, 4), dtype=np.float32)
    return np.array([cv2.GaussianBlur(picture, (3, 3), 0) for picture in halved])


def _inside(coarse: np.ndarray) -> np.ndarray:
    """Return (n, pixels) without the margin."""
    cut = _MARGIN * _COARSE // SIDE + 1
    return coarse[:, cut:-cut, cut:-cut].reshape(len(coarse), -1)


def _normal(pixels: np.ndarray) -> np.ndarray:
    """Return pixels without mean and contrast."""
    centred = pixels - pixels.mean(axis=1, keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)


def _steepest(coarse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the change of normalised pixels with each of the four moves, and the solver."""
    down, right = np.gradient(coarse, SIDE / _COARSE, axis=(1, 2))
    place = (np.arange(_COARSE, dtype=np.float32) + 0.5) * (SIDE / _COARSE) - SIDE / 2
    slopes = np.stack(
        [_inside(s) for s in (right, down, right * place, down * place[:, None])], axis=1
    )
    inside = _inside(coarse)
    contrast = np.linalg.norm(inside - inside.mean(axis=1, keepdims=True), axis=1)
    slopes -= slopes.mean(axis=2, keepdims=True)
    slopes /= np.maximum(contrast, 1e-6)[:, None, None]
    hessian = np.matmul(slopes, slopes.transpose(0, 2, 1))
    # Damped, so that noise does not move a thumbnail without structure.
    size = np.trace(hessian, axis1=1, axis2=2)[:, None, None] / 4
    damping = size * np.diag([1.0, 1.0, 50.0, 50.0]) * 5e-4 + 1e-9 * np.eye(4)
    return slopes, np.linalg.inv(hessian + damping).astype(np.float32)


def _warped(coarse: np.ndarray, moves: np.ndarray) -> np.ndarray:
    shrunk = moves * np.array([_COARSE / SIDE, _COARSE / SIDE, 1, 1], dtype=np.float32)
    return np.array([_warp(*pair) for pair in zip(coarse, shrunk, strict=True)])


def _warp(picture: np.ndarray, move: np.ndarray) -> np.ndarray:
    right, down, wider, higher = move.tolist()
    centre = (len(picture) - 1) / 2
    matrix = np.array(
        [[1 + wider, 0, right - wider * centre], [0, 1 + higher, down - higher * centre]]
    )
    return cv2.warpAffine(
        picture,
        matrix,
        picture.shape,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _fine(pictures: np.ndarray) -> np.ndarray:
    """Return the structure of one to two pixels: between noise and outlines."""
    return cv2.GaussianBlur(pictures, (0, 0), 1.0) - cv2.GaussianBlur(pictures, (0, 0), 2.0)
