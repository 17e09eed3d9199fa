"""sampling_strategy -> row numbers: rare classes more often, common classes less often."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

from skimgcv._data.labels import warn_unless_found

Counts = dict[int, int]


def resolve_sampling(strategy: Any, y: np.ndarray, classes: np.ndarray) -> Counts | None:
    """Return how many rows an epoch draws of each class that the strategy names.

    The words are those of imbalanced-learn. Words with two meanings have that of over-sampling
    (``RandomOverSampler``):

    ====================== ========================================================
    ``None``               every row once
    ``"auto"``             the same as ``"not majority"``
    ``"not majority"``     every class but the largest is raised to the largest
    ``"not minority"``     every class but the smallest is raised to the largest
    ``"all"``              every class is raised to the largest
    ``"minority"``         the smallest class alone is raised to the largest
    ``"majority"``         the largest class alone is lowered to the smallest
    ``float`` in (0, 1]    of two classes, the smaller is raised to this share of
                           the larger
    ``{label: count}``     the count: above what exists it over-samples, below it
                           under-samples; classes left out keep their rows
    ``callable(labels)``   gives such a dict, from the original labels of these rows
    ====================== ========================================================

    Among classes of equal size, the first label in sorted order counts as the largest or smallest.
    For any other under-sampling pass a callable, for instance ``lambda y:
    imblearn.utils.check_sampling_strategy("auto", y, "under-sampling")``.

    Two things differ from imbalanced-learn, both because these rows may be a fold:
    labels in a dict that `y` lacks are ignored, with a warning if it lacks all of
    them, and a single class is already balanced.

    Parameters
    ----------
    strategy : None, str, float, mapping or callable
        As above.
    y : ndarray of int, shape (n_samples,)
        Encoded labels of the training rows.
    classes : ndarray of shape (n_classes,)
        The original labels, sorted.

    Returns
    -------
    dict of int to int, or None
        Encoded class to rows an epoch; classes that are left out keep each row
        once. ``None`` for the strategy ``None``.

    Raises
    ------
    TypeError
        If `strategy` is none of the forms.
    ValueError
        If a word is unknown, a ratio out of range, with more than two classes,
        or below what the smaller class has already; when a count is negative or
        no integer, or when no row is left.

    References
    ----------
    https://imbalanced-learn.org/stable/references/generated/imblearn.over_sampling.RandomOverSampler.html

    Examples
    --------
    >>> y, classes = np.array([0, 0, 0, 0, 1, 1]), np.array(["cat", "lynx"])
    >>> resolve_sampling("auto", y, classes)
    {1: 4}
    >>> resolve_sampling({"cat": 2, "lynx": 6}, y, classes)
    {0: 2, 1: 6}
    """
    if strategy is None:
        return None
    codes, sizes = np.unique(y, return_counts=True)
    present: Counts = dict(zip(codes.tolist(), sizes.tolist(), strict=True))
    if isinstance(strategy, str) and strategy not in _WORDS:
        raise ValueError(
            f"sampling_strategy must be one of {_WORDS} when it is a string; got {strategy!r}"
        )
    if isinstance(strategy, str):
        return _from_imbalanced_learn(strategy, y, present)
    if not isinstance(strategy, bool) and isinstance(strategy, Real):
        ratio: Any = strategy  # not yet a float: whole numbers may be too large for one
        if not 0 < ratio <= 1:
            raise ValueError(
                "sampling_strategy must be in (0, 1] when it is a float, the smaller class's "
                f"rows over the larger's; got {strategy}"
            )
        return _from_imbalanced_learn(float(strategy), y, present)
    if callable(strategy):
        strategy = strategy(classes[y])
    if not isinstance(strategy, Mapping):
        raise TypeError(
            "sampling_strategy must be None, a str, a float, a dict {label: count} or a "
            f"callable that returns such a dict; got {type(strategy).__name__}"
        )
    return _from_dict(strategy, present, classes)


_WORDS = ("all", "auto", "majority", "minority", "not majority", "not minority")


def _from_imbalanced_learn(strategy: Any, y: np.ndarray, present: Counts) -> Counts:
    """Let imbalanced-learn interpret a word or a ratio."""
    # Imported here: it takes longer to import than all of skimgcv.
    from imblearn.utils import check_sampling_strategy

    if len(present) == 1:
        return {}
    if strategy == "majority":  # which no over-sampler knows
        counts = check_sampling_strategy(strategy, y, "under-sampling")
    else:
        added = check_sampling_strategy(strategy, y, "over-sampling")
        counts = {code: present[code] + more for code, more in added.items()}
    return {int(code): int(count) for code, count in counts.items()}


def _from_dict(wanted: Mapping[Any, Any], present: Counts, classes: np.ndarray) -> Counts:
    for label, count in wanted.items():
        if isinstance(count, bool) or not isinstance(count, Integral) or count < 0:
            raise ValueError(
                "sampling_strategy needs a whole number of rows, at least 0, for each label; "
                f"{label!r} has {count!r}"
            )
    labels = {code: classes.tolist()[code] for code in present}
    counts = {code: int(wanted[label]) for code, label in labels.items() if label in wanted}
    warn_unless_found("sampling_strategy", wanted, classes.tolist())
    if not any((present | counts).values()):
        raise ValueError("sampling_strategy leaves no row to train on: every class has 0 rows")
    return counts


def sample_rows(counts: Counts, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw the rows of one epoch, each class as evenly as possible.

    If a class of m rows has the count c, each of its rows is drawn floor(c / m) or ceil(c / m)
    times. Each call draws again which rows come once more. So fewer rows than exist are drawn
    without replacement.

    Parameters
    ----------
    counts : dict of int to int
        As :func:`resolve_sampling` gives it for this `y`.
    y : ndarray of int, shape (n_samples,)
        Encoded labels of the training rows.
    rng : numpy.random.Generator
        The only source of randomness.

    Returns
    -------
    ndarray of intp
        Positions in `y`. Their order has no meaning: shuffle them.

    Examples
    --------
    >>> y = np.array([0, 0, 0, 0, 1, 1])
    >>> np.sort(sample_rows({1: 4}, y, np.random.default_rng(0))).tolist()
    [0, 1, 2, 3, 4, 4, 5, 5]
    """
    drawn = []
    for code in np.unique(y).tolist():
        members = np.flatnonzero(y == code)
        rounds, rest = divmod(counts.get(code, len(members)), len(members))
        drawn += [np.tile(members, rounds), rng.permutation(members)[:rest]]
    return np.concatenate(drawn)
