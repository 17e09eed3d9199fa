"""The folds of the command line, and what is wrong with them."""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from skimgcv._cli.images import Images
from skimgcv.model_selection import SplitReport, check_splits

Splits = list[tuple[np.ndarray, np.ndarray]]


def check_classes(asked: argparse.Namespace, y: np.ndarray) -> None:
    """Refuse a single class, and classes with fewer images than folds."""
    labels, sizes = np.unique(y, return_counts=True)
    if len(labels) < 2:
        raise ValueError(
            f"{asked.folder or asked.table!r} needs images of 2 classes or more; it has "
            f"{labels.tolist()}"
        )
    if sizes.min() < asked.folds:
        raise ValueError(
            f"--folds {asked.folds} needs as many images of each class; "
            f"{str(labels[sizes.argmin()])!r} has {sizes.min()}"
        )


def make_folds(asked: argparse.Namespace, images: Images) -> Splits:
    """Return stratified folds, that keep groups whole where there are any.

    Raises
    ------
    ValueError
        Where there are too few groups, or a fold would train without a class.
    """
    y, groups = images.y, images.X.groups
    n_groups = len(y) if groups is None else len(np.unique(groups))
    if n_groups < asked.folds:
        raise ValueError(f"--folds {asked.folds} needs as many groups; there are {n_groups}")
    splitter = StratifiedKFold if groups is None else StratifiedGroupKFold
    splits = [
        split
        for repeat in range(asked.repeats)
        for split in splitter(
            asked.folds, shuffle=True, random_state=(asked.seed + repeat) % 2**32
        ).split(y, y, groups)
    ]
    for fold, (train, _) in enumerate(splits, 1):
        lacking = np.setdiff1d(y, y[train])
        if len(lacking):
            raise ValueError(
                f"fold {fold} would be trained without any image of {str(lacking[0])!r}, since "
                "all are of a few groups; use other --folds or --seed, or leave that class out"
            )
    return splits


def checked(images: Images, splits: Splits) -> SplitReport:
    """Look at the folds for copies, groups and classes."""
    return check_splits(
        None, images.y, cv=splits, groups=images.X.groups, duplicates=images.duplicates
    )


def in_words(asked: argparse.Namespace, groups: np.ndarray | None) -> str:
    """Say how the folds are made."""
    repeated = f", made {asked.repeats} times" if asked.repeats > 1 else ""
    whole = "" if groups is None else "; no group is parted"
    return (
        f"{asked.folds}{repeated}; shuffled with seed {asked.seed}; each with the same mixture "
        f"of classes, as far as that goes{whole}"
    )
