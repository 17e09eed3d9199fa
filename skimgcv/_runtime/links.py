"""The link from scikit-learn's diagram of an estimator to its documentation."""

from __future__ import annotations

import functools
from importlib.metadata import PackageNotFoundError, metadata


class DocumentationLink:
    """Lets scikit-learn link an estimator to its documentation.

    The address is the URL "Documentation" of ``pyproject.toml``. Without it there is no link.
    """

    _doc_link_module = "skimgcv"

    @property
    def _doc_link_template(self) -> str:
        address = documentation_address()
        # The page of each name, from docs/api.rst.
        return f"{address}/generated/skimgcv.{{estimator_name}}.html" if address else ""


@functools.cache
def documentation_address() -> str:
    """Return where the documentation is on the web, or ""."""
    try:
        urls = metadata("skimgcv").get_all("Project-URL") or ()
    except PackageNotFoundError:  # imported from a folder that was never installed
        return ""
    named = dict(url.split(", ", 1) for url in urls)
    return named.get("Documentation", "").rstrip("/")
