"""Images as a notebook shows them."""

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
    """Return HTML: what an ``ImageFiles`` says of itself, and a few of its images."""
    n = len(files)
    rows = np.unique(np.linspace(0, n - 1, min(n, _MOST)).astype(int))
    shown = "".join(_figure(files, row) for row in rows.tolist())
    return f"<div><code>{html.escape(repr(files))}</code><br>{shown}</div>"


def _figure(files: Any, row: int) -> str:
    path = html.escape(files.paths[row], quote=True)
    try:
        image = files[row]
    except ImageReadError as error:
        return f'<span title="{path}">{html.escape(error.reason)}</span> '
    if image.dtype == np.uint16:
        image = (image // 257).astype(np.uint8)
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(image.shape[2], slice(None))
    _, file = cv2.imencode(".png", image[:, :, order])
    data = base64.b64encode(file.tobytes()).decode()
    return f'<img src="data:image/png;base64,{data}" height="{_PIXELS}" title="{path}"> '
