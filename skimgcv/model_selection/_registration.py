"""How alike two small pictures are, once the one is laid over the other."""

from __future__ import annotations

import cv2
import numpy as np

from ._fingerprints import SIDE

_STEPS = 4
_COARSE = SIDE // 2
"""Pixels of the side at which pictures are laid over each other: a quarter of the work."""
_MARGIN = 3
"""Pixels at the border that a crop of the other picture may not have."""
# Crops of a few per cent: not further, where different pictures could be laid over each other.
_MOST_SHIFT, _MOST_STRETCH = 0.05 * SIDE, 0.08
_LIMITS = np.array([_MOST_SHIFT, _MOST_SHIFT, _MOST_STRETCH, _MOST_STRETCH], dtype=np.float32)
# How far a pair must agree already in its outlines, for its fine structure to be looked at:
# blood cells beside their JPEG, crop and so on never agreed less than 0.97.
_ALIKE = 0.93


def similarities(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How pictures (n, SIDE, SIDE) uint8 correlate once they are laid over each other.

    The mean of two correlations: of the outlines, which compression leaves as they are, but
    in which other pictures of a kind are alike; and of the finest structure, in which those
    differ, but which compression blurs. Pairs whose outlines differ get 0.
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
    """How each second picture has to move to lie on its first, and how they correlate then.

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
    """(n, pixels): without the margin."""
    cut = _MARGIN * _COARSE // SIDE + 1
    return coarse[:, cut:-cut, cut:-cut].reshape(len(coarse), -1)


def _normal(pixels: np.ndarray) -> np.ndarray:
    """Without mean and contrast."""
    centred = pixels - pixels.mean(axis=1, keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)


def _steepest(coarse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Change of the normalised pixels with each of the four moves, and how to solve for them."""
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
    # Damped, so that a picture that says nothing of a move is not moved by noise.
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
    """Structure of one to two pixels: between noise and outlines."""
    return cv2.GaussianBlur(pictures, (0, 0), 1.0) - cv2.GaussianBlur(pictures, (0, 0), 2.0)
