"""Find copies of images, so that a splitter can keep them together."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import joblib
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from skimgcv._runtime.chunks import slices
from skimgcv.exceptions import SkimgcvWarning

from ._fingerprints import invariants, orient, orientations, spectra
from ._neighbours import near_pairs
from ._pictures import Pictures, check_images, read_pictures
from ._registration import similarities

_NEIGHBOURS = 16
# Distance between spectra of length 1. Crops are the farthest: crops by 4 % are at most 0.48 for
# blood cells, and 0.57 for photographs that lose a corner.
_NEAR = 0.6
_BATCH = 128
_SMALL = 32
"""Pixels of the shorter side. Below, different images are as similar as copies."""


def duplicate_groups(
    X: Any,
    *,
    groups: Any = None,
    min_similarity: float | None = None,
    n_jobs: int | None = None,
    verbose: bool = False,
) -> np.ndarray:
    """Label images so that identical and nearly identical ones share a label.

    The labels are ``groups`` for ``StratifiedGroupKFold``, ``GroupKFold``,
    ``GroupShuffleSplit`` and for the ``groups`` of ``fit``. Copies of an image then stay on
    one side of every split. The function is made to find the same image encoded again (JPEG
    quality 50), resized to 75 % and back, 10 % brighter or darker, cropped by 4 %, mirrored, or
    rotated by quarter turns.

    Parameters
    ----------
    X : array-like of shape (n, height, width) or (n, height, width, channels)
        Images of 64 pixels or more; from 32 pixels on the result is less certain. X may be
        any object with ``shape``, ``dtype`` and indexing by an integer array, such as a memory
        map or image files. Each image is read once.
    groups : array-like of shape (n,), optional
        Known groups (patients, slides). Images share a label if they share a group, are
        copies, or are linked through other images.
    min_similarity : float, optional
        Smallest similarity of copies, in (0, 1]. The similarity is the mean of two
        correlations, of the outlines and of the finest structure. Default: 0.9, chosen on
        blood cells; 0.99 if images are smaller than 32 pixels.
    n_jobs : int, optional
        Number of threads, by default 1; -1 uses all cores. The labels do not depend on it.
    verbose : bool, default=False
        Show progress bars.

    Returns
    -------
    ndarray of shape (n,), int
        Labels 0, 1, ... in the order of their first image.

    Raises
    ------
    ValueError
        If X does not contain images, or groups does not have one label for each image.

    Warns
    -----
    skimgcv.exceptions.SkimgcvWarning
        If images are smaller than 32 pixels; or if copies link more than a tenth of all images
        into one group, as with frames of a film or overlapping tiles.

    Notes
    -----
    Each image becomes a grey thumbnail of 48 pixels. The 16 nearest thumbnails, by invariants of
    the cosine transform, are aligned with it (rotated, mirrored, shifted and scaled by up to a
    twelfth). Two images are joined if their outlines and their finest structure correlate. The
    search takes n sqrt(n) short distances, and the rest n steps. The peak memory is about 8 kB
    for each image.

    The limits:

    - Images without structure, such as plain sky or areas out of focus, are not recognised
      reliably. Blank images are joined only if they are identical.
    - Images of a single edge, or of parts of a regular pattern such as bricks, can be taken for
      copies. Structure counts, colour does not.
    - For images of 8 pixels, such as scikit-learn's digits, only exact, mirrored, rotated and
      brighter copies are found: a crop, a resize or compression changes them more than two
      digits differ.
    - Overlapping crops with other centres are different images: pass their source as
      ``groups``.

    References
    ----------
    S. Baker and I. Matthews, "Lucas-Kanade 20 years on: a unifying framework", International
    Journal of Computer Vision 56 (2004), 221-255, for laying one image over another.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_sample_image
    >>> from skimgcv.model_selection import duplicate_groups
    >>> photo = load_sample_image("china.jpg")
    >>> house, garden = photo[100:196, 300:396], photo[300:396, 100:196]
    >>> X = np.stack([house, garden, house[:, ::-1], np.rot90(garden)])
    >>> duplicate_groups(X).tolist()
    [0, 1, 0, 1]
    """
    X = check_images(X)
    n = int(X.shape[0])
    known = _edges_of_groups(groups, n)
    threshold = _threshold(min_similarity, X.shape[1:3])
    progress = _progress(verbose)
    pictures = read_pictures(X, progress)
    n_threads = joblib.effective_n_jobs(n_jobs)
    pairs = pictures.rows[_similar_pairs(pictures, threshold, n_threads, progress)]
    found = np.concatenate([pairs, np.c_[np.arange(n), pictures.first_copy]])
    _warn_of_chains(_components(found, n))
    return _components(np.concatenate([found, known]), n)


def _threshold(min_similarity: float | None, image_size: tuple[int, ...]) -> float:
    is_small = min(image_size) < _SMALL
    if is_small:
        warnings.warn(
            f"Images of {image_size[0]}x{image_size[1]} pixels are too small to find crops, or "
            "resized or re-encoded copies. Mostly exact, mirrored, rotated and brighter copies "
            "are found. Pass images of 64 pixels or more.",
            SkimgcvWarning,
            stacklevel=3,
        )
    if min_similarity is None:
        return 0.99 if is_small else 0.9
    if not 0 < min_similarity <= 1:
        raise ValueError(f"min_similarity must be in (0, 1], as in 0.9; got {min_similarity!r}")
    return min_similarity


def _edges_of_groups(groups: Any, n: int) -> np.ndarray:
    """Link each row with the first of its group."""
    if groups is None:
        return np.empty((0, 2), dtype=np.intp)
    groups = np.asarray(groups)
    if groups.shape != (n,):
        raise ValueError(f"groups must be one label an image, ({n},); got shape {groups.shape}")
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    return np.c_[np.arange(n), first[inverse]]


def _similar_pairs(
    pictures: Pictures, threshold: float, n_threads: int, progress: Any
) -> np.ndarray:
    """Return pairs (m, 2) of positions in ``pictures.rows`` that are copies."""
    thumbnails = pictures.thumbnails
    if len(thumbnails) < 2:
        return np.empty((0, 2), dtype=np.intp)
    with progress(total=len(thumbnails), desc="searching", unit="image") as bar:
        low = np.concatenate([spectra(thumbnails[at]) for at in slices(len(thumbnails), 1024)])
        pairs = near_pairs(
            invariants(low),
            n_neighbours=_NEIGHBOURS,
            radius=_NEAR,
            n_threads=n_threads,
            bar=bar,
        )
    number, distance = np.empty(len(pairs), dtype=np.intp), np.empty(len(pairs))
    for at in slices(len(pairs), 8192):
        number[at], distance[at] = orientations(low[pairs[at, 0]], low[pairs[at, 1]])
    near = distance < _NEAR
    pairs, number = pairs[near], number[near]
    batches = [
        rows[at]
        for one in range(8)
        for rows in [np.flatnonzero(number == one)]
        for at in slices(len(rows), _BATCH)
    ]
    alike = np.zeros(len(pairs), dtype=bool)
    compare = joblib.delayed(_compare)
    with progress(total=len(pairs), desc="comparing", unit="pair") as bar:
        results = joblib.Parallel(n_threads, prefer="threads", return_as="generator")(
            compare(thumbnails, pairs[rows], number[rows[0]]) for rows in batches
        )
        for rows, similarity in zip(batches, results, strict=True):
            alike[rows] = similarity >= threshold
            bar.update(len(rows))
    return pairs[alike]


def _compare(thumbnails: np.ndarray, pairs: np.ndarray, number: int) -> np.ndarray:
    first = np.ascontiguousarray(orient(thumbnails[pairs[:, 0]], int(number)))
    return similarities(first, thumbnails[pairs[:, 1]])


def _components(edges: np.ndarray, n: int) -> np.ndarray:
    """Label rows that edges link, in the order of their first row."""
    graph = coo_array((np.ones(len(edges), dtype=bool), tuple(edges.T)), shape=(n, n))
    labels = connected_components(graph, directed=False)[1]
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.intp)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def _warn_of_chains(labels: np.ndarray) -> None:
    largest = int(np.bincount(labels).max(initial=0))
    if largest > max(10, len(labels) // 10):
        warnings.warn(
            f"One group links {largest} of {len(labels)} images, each similar to the next. Look "
            "at it with skimgcv.display.DuplicatesDisplay, or pass a higher min_similarity.",
            SkimgcvWarning,
            stacklevel=3,
        )


def _progress(verbose: bool) -> Any:
    from tqdm.auto import tqdm

    # Dynamic: as wide as the terminal is now.
    return functools.partial(tqdm, dynamic_ncols=True, disable=not verbose)
