"""The folds of the command line, and what is wrong with them."""

from __future__ import annotations

import argparse

import numpy as np

from skimgcv._cli.images import Images
from skimgcv._cli.tasks import Splits, Task
from skimgcv.model_selection import SplitReport, check_splits


def make_folds(asked: argparse.Namespace, task: Task, images: Images) -> Splits:
    """Return stratified folds, that keep groups whole where there are any.

    Raises
    ------
    ValueError
        Where there are too few groups, or a fold would train without a class or label.
    """
    y, groups = images.y, images.X.groups
    n_groups = len(y) if groups is None else len(np.unique(groups))
    if n_groups < asked.folds:
        raise ValueError(f"--folds {asked.folds} needs as many groups; there are {n_groups}")
    splits = [
        split
        for repeat in range(asked.repeats)
        for split in task.splits(y, groups, asked.folds, (asked.seed + repeat) % 2**32)
    ]
    for fold, (train, _) in enumerate(splits, 1):
        lacking = task.untrained(y, images.target_names, train)
        if lacking:
            raise ValueError(
                f"fold {fold} would be trained without any image of {lacking[0]!r}, since "
                "all are of a few groups; use other --folds or --seed, or leave it out"
            )
    return splits


def checked(task: Task, images: Images, splits: Splits) -> SplitReport:
    """Look at the folds for copies, groups and classes."""
    return check_splits(
        None,
        images.y,
        cv=splits,
        groups=images.X.groups,
        duplicates=images.duplicates,
        classifier=task.kind != "numbers",
    )


def in_words(asked: argparse.Namespace, task: Task, groups: np.ndarray | None) -> str:
    """Say how the folds are made."""
    repeated = f", made {asked.repeats} times" if asked.repeats > 1 else ""
    whole = "" if groups is None else "; no group is parted"
    return (
        f"{asked.folds}{repeated}; shuffled with seed {asked.seed}; each with the same mixture "
        f"of {task.mixture}, as far as that goes{whole}"
    )
