"""Tools that check folds and compare scores.

``check_splits`` and ``duplicate_groups`` look for copies, groups and missing classes.
``compare_scores``, ``compare_candidates`` and ``corrected_interval`` take into account that folds
share training rows.
"""

from ._candidates import compare_candidates
from ._comparison import ScoreComparison, compare_scores
from ._duplicates import duplicate_groups
from ._multilabel import MultilabelStratifiedKFold
from ._resampled import corrected_interval
from ._splits import SplitReport, check_splits

__all__ = [
    "MultilabelStratifiedKFold",
    "ScoreComparison",
    "SplitReport",
    "check_splits",
    "compare_candidates",
    "compare_scores",
    "corrected_interval",
    "duplicate_groups",
]
