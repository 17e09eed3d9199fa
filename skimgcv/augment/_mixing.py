"""MixUp and CutMix: training images that belong partly to one class and partly to another."""

from __future__ import annotations

import numpy as np
from scipy import special


def draw_shares(uniform: np.ndarray, alpha: float) -> np.ndarray:
    """Shares of [0, 1] from the Beta(alpha, alpha) distribution."""
    return special.betaincinv(alpha, alpha, uniform)


def draw_boxes(
    shares: np.ndarray,
    uniform_y: np.ndarray,
    uniform_x: np.ndarray,
    *,
    height: int,
    width: int,
) -> np.ndarray:
    """Return (n, 4) integers: top, left, height and width of the area of the partner.

    Boxes have the image's proportions and the area ``1 - shares``. Their centres are anywhere in
    the image, and boxes are cut off at its edges.
    """
    side = np.sqrt(1 - shares)
    middle_y, middle_x = np.floor(uniform_y * height), np.floor(uniform_x * width)
    half_height, half_width = np.floor(side * height) // 2, np.floor(side * width) // 2
    top, bottom = middle_y - half_height, middle_y + half_height
    left, right = middle_x - half_width, middle_x + half_width
    top, bottom = np.clip(top, 0, height), np.clip(bottom, 0, height)
    left, right = np.clip(left, 0, width), np.clip(right, 0, width)
    return np.stack([top, left, bottom - top, right - left], axis=1).astype(np.int32)


def mix_targets(
    share: np.ndarray,
    own: tuple[np.ndarray, ...],
    partner: tuple[np.ndarray, ...],
) -> tuple[np.ndarray, ...]:
    """Mix targets, and weights if there are any, by share and weight.

    The loss of a mixture is the weighted sum of the losses of its parts. Each label of a row may
    have its own weight.

    Parameters
    ----------
    share : ndarray of shape (n,)
        As ``mix`` returns it.
    own, partner : tuple of ndarray
        Targets of shape (n, n_outputs), and weights of shape (n,) or (n, n_outputs).

    Returns
    -------
    tuple of ndarray
    """
    (targets, *weights), (partner_targets, *partner_weights) = own, partner
    of_own, of_partner = share[:, None], 1 - share[:, None]
    if weights:
        by_part = (w[0].reshape(len(share), -1) for w in (weights, partner_weights))
        of_own, of_partner = of_own * next(by_part), of_partner * next(by_part)
        weights = [(of_own + of_partner).reshape(weights[0].shape)]
    # If all weights are 0, the value does not matter.
    total = of_own + of_partner
    of_own = of_own / np.where(total > 0, total, 1)
    return (of_own * targets + (1 - of_own) * partner_targets, *weights)


def mix(
    images: np.ndarray, partners: np.ndarray, table: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mix prepared images with their partners by the rows of a table.

    Returns
    -------
    mixed : ndarray like ``images``
    own_share : ndarray of shape (n,), float32
        The weight of each image's own label; the rest is its partner's.
    """
    mixed = np.array(images)
    own_share = table["own_share"].astype(np.float32)
    boxes = table["cut_box"].tolist()
    for image, partner, share, (top, left, height, width) in zip(
        mixed, partners, own_share, boxes, strict=True
    ):
        if share == 1:
            continue
        if height and width:
            box = (slice(top, top + height), slice(left, left + width))
            image[box] = partner[box]
        else:
            image *= share
            image += (1 - share) * partner
    return mixed, own_share
