"""Print the oldest versions that pyproject.toml allows, as constraints for pip.

What they bring in themselves is left to pip, and so are the tools of dev and docs.
"""

import itertools
import re
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
OURSELVES = re.compile(r"skimgcv\[.*\]")


def main():
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    tested = [names for extra, names in extras.items() if extra not in {"dev", "docs"}]
    for requirement in itertools.chain(project["dependencies"], *tested):
        if OURSELVES.fullmatch(requirement):
            continue
        bound = re.fullmatch(r"([\w-]+)>=([\d.]+)(;.*)?", requirement)
        if bound is None:
            raise SystemExit(
                f"{requirement!r} must be of the form NAME>=VERSION or NAME>=VERSION; MARKER"
            )
        name, version, marker = bound.groups(default="")
        print(f"{name}=={version}{marker}")


if __name__ == "__main__":
    main()
