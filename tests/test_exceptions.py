"""All errors and warnings of the package have two roots, and the bases that they always had."""

import ast
import re
from pathlib import Path

import pytest

import skimgcv
from skimgcv import exceptions
from skimgcv.exceptions import SkimgcvError, SkimgcvWarning

PACKAGE = Path(skimgcv.__file__).parent
CLASSES = {name: item for name, item in vars(exceptions).items() if isinstance(item, type)}
# What people caught before there were roots.
OTHER_BASES = {
    "ImageReadError": OSError,
    "SavedFileError": ValueError,
    "UnsupportedVersionError": RuntimeError,
}
# Caught where they are raised: no user meets them.
INTERNAL = {"UnprovableError", "UnreadableError", "_NamelessError", "_UnknownError"}

TREES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
}


def is_warn(node):
    return isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "warn"


@pytest.mark.parametrize("name", CLASSES)
def test_each_has_a_root_and_keeps_its_base(name):
    root = SkimgcvWarning if name.endswith("Warning") else SkimgcvError
    assert issubclass(CLASSES[name], root)
    assert issubclass(CLASSES[name], OTHER_BASES.get(name, object))
    assert issubclass(SkimgcvWarning, UserWarning)


def test_the_docstring_tells_the_hierarchy():
    drawn = re.findall(r"[├└]── (\w+)(?:, also an? (\w+))?", exceptions.__doc__)
    assert sorted(name for name, _ in drawn) == sorted(CLASSES)
    assert {name: base.__name__ for name, base in OTHER_BASES.items()} == {
        name: base for name, base in drawn if base
    }


def test_errors_are_nowhere_else():
    elsewhere = {
        node.name
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if path != "exceptions.py"
        and isinstance(node, ast.ClassDef)
        and any(
            ast.unparse(base).endswith(("Error", "Exception", "Warning")) for base in node.bases
        )
    }
    assert elsewhere <= INTERNAL, "move it to exceptions.py, below one of the roots"


@pytest.mark.parametrize(
    "path", [p for p, tree in TREES.items() if any(map(is_warn, ast.walk(tree)))]
)
def test_every_warning_can_be_silenced_by_the_root(path):
    for call in filter(is_warn, ast.walk(TREES[path])):
        options = {keyword.arg: keyword.value for keyword in call.keywords}
        category = call.args[1] if len(call.args) > 1 else options.get("category")
        assert category is not None, f"{path}:{call.lineno} warns without a category"
        assert ast.unparse(category) in CLASSES, f"{path}:{call.lineno}"


def test_an_error_is_caught_by_root_and_by_base(tmp_path):
    (tmp_path / "no.png").write_bytes(b"no image")
    for base in (SkimgcvError, OSError):
        with pytest.raises(base, match="cannot read"):
            skimgcv.ImageFiles([tmp_path / "no.png"], (8, 8))[0]
    (tmp_path / "no.skimgcv").write_bytes(b"no file")
    for base in (SkimgcvError, ValueError):
        with pytest.raises(base):
            skimgcv.AugmentedKerasClassifier.load(tmp_path / "no.skimgcv")
