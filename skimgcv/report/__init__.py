"""A cross-validation as one HTML file that one can hand over.

It needs no network and no program but a browser. Needs ``pip install "skimgcv[report]"``.
"""

from skimgcv.report._report import CrossValidationReport

__all__ = ["CrossValidationReport"]
