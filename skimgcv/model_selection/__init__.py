"""Can a cross-validation be trusted: what its scores and its folds say.

Folds are looked at for copies, groups and classes; scores are compared with the error that they
have, since folds share training rows.
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
