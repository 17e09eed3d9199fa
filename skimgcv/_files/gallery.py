"""The display of images in a notebook."""

from __future__ import annotations

import base64
import html
from typing import Any

import cv2
import numpy as np

from skimgcv.exceptions import ImageReadError

_MOST = 6
_PIXELS = 96


def gallery(files: Any) -> str:
    """Return HTML with the description of an ``ImageFiles`` and a few of its images."""
    n = len(files)
    rows = np.unique(np.linspace(0, n - 1, min(n, _MOST)).astype(int))
    figures = "".join(_figure(files, row) for row in rows.tolist())
    return f"<div><code>{html.escape(repr(files))}</code><br>{figures}</div>"


def _figure(files: Any, row: int) -> str:
    path = html.escape(files.paths[row], quote=True)
    try:
        image = files[row]
    except ImageReadError as error:
        return f'<span title="{path}">{html.escape(error.reason)}</span> '
    image = _as_shown(image)
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(image.shape[2], slice(None))
    _, file = cv2.imencode(".png", image[:, :, order])
    data = base64.b64encode(file.tobytes()).decode()
    return f'<img src="data:image/png;base64,{data}" height="{_PIXELS}" title="{path}"> '


def _as_shown(image: np.ndarray) -> np.ndarray:
    """Return 8 bits, from black to white; only the first channel if PNG needs it."""
    if image.shape[2] not in (1, 3, 4):
        image = image[:, :, :1]
    if image.dtype == np.uint8:
        return image
    # Files of 16 bits often use 12 of them.
    values = image.astype(np.float64)
    low, high = values.min(), values.max()
    levels: np.ndarray = 255 * (values - low) / (high - low or 1)
    return levels.astype(np.uint8)
