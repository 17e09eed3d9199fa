"""y of numbers: one or several for each row."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_array

from skimgcv._data.labels import check_is_given, check_length, refuse_masks

_MOST_STRATA = 10


def check_numbers(y: Any, *, n_rows: int, name: str) -> np.ndarray:
    """Check y of numbers: return it as float64, (n,) or (n, outputs).

    Raises
    ------
    ValueError, TypeError
        If it is not numeric, not finite, or has another shape.
    """
    check_is_given(y, name)
    refuse_masks(y, "y")
    if isinstance(y, np.ndarray) and y.dtype.kind in "mM":
        raise TypeError(f"y must be numbers; its dtype is {y.dtype}. Pass them in a unit of time.")
    numbers = check_array(
        y, dtype=np.float64, ensure_2d=False, allow_nd=True, ensure_min_samples=0, input_name="y"
    )
    if numbers.ndim not in (1, 2) or 0 in numbers.shape[1:]:
        raise ValueError(f"y must have shape (n,) or (n, outputs); it has {numbers.shape}.")
    if np.abs(numbers).max(initial=0) > np.finfo(np.float32).max:
        raise ValueError(
            "y must fit float32, in which the model computes; its largest number is "
            f"{np.abs(numbers).max():.3g}. Scale it: sklearn.compose.TransformedTargetRegressor."
        )
    check_length(len(numbers), n_rows)
    return numbers


def strata_of_numbers(y: np.ndarray, n_held: int) -> np.ndarray:
    """Return strata of similar numbers: about ``n_held`` quantiles, one for each held-out row.

    Parameters
    ----------
    y : ndarray of float, shape (n,) or (n, outputs)
    n_held : int
        Number of rows to hold out.

    Returns
    -------
    ndarray of int, shape (n,) or (n, outputs * strata)
        The number of the stratum. For several outputs, a table of 0 and 1 with a column for each
        stratum of each output.

    Examples
    --------
    >>> strata_of_numbers(np.array([0.1, 9.0, 0.2, 8.0]), 2).tolist()
    [0, 1, 0, 1]
    """
    cuts = np.linspace(0, 1, min(_MOST_STRATA, max(1, n_held)) + 1)[1:-1]
    columns = y.reshape(len(y), -1).T
    # Equal numbers are in one stratum.
    codes = [np.searchsorted(np.quantile(c, cuts), c, side="right") for c in columns]
    if len(codes) == 1:
        return np.unique(codes[0], return_inverse=True)[1]
    return np.hstack([np.eye(len(cuts) + 1, dtype=np.int8)[c] for c in codes])
