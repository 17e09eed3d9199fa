"""What the README shows runs, and what it names is there."""

import re
from pathlib import Path

import pytest

import skimgcv

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
LINKS = set(re.findall(r"\]\(([^)]+)\)", README + SECURITY + CONTRIBUTING))


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_python_code_runs(code, capsys):
    exec(compile(code, "README.md", "exec"), {})
    scores = [float(score) for score in capsys.readouterr().out.strip("[] \n").split()]
    assert len(scores) == 5
    assert min(scores) > 0.5  # ten classes: far above guessing


@pytest.mark.parametrize("target", sorted(LINKS))
def test_linked_files_exist(target):
    assert target.startswith("https://") or (ROOT / target).is_file()


def test_one_version_is_released():
    version = skimgcv.__version__
    for name, line in [
        ("CITATION.cff", f"version: {version}"),
        ("CHANGES.md", f"## {version}"),
        ("pyproject.toml", f'version = "{version}"'),
    ]:
        assert line in (ROOT / name).read_text(encoding="utf-8").splitlines(), name
    assert f"{{{version}}}" in (ROOT / "docs" / "citing.rst").read_text(encoding="utf-8")


def test_make_has_the_commands():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = set(re.findall(r"\bmake ([\w-]+)", README)) - {"the"}
    commands |= set(re.findall(r"`make ([\w-]+)`", CONTRIBUTING))
    assert {"demo", "test", "lint", "coverage", "package", "minimum", "audit"} <= commands
    for command in commands:
        assert re.search(rf"^{command}:", makefile, re.MULTILINE), command


# The first column of a table of files, without the folder that all of them are in.
@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([a-z_/]+\.py)`", CONTRIBUTING))))
def test_files_to_begin_with_are_there(name):
    assert (ROOT / name).is_file() or (ROOT / "skimgcv" / name).is_file()
