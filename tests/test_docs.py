"""The pages of docs/: their code runs, and nothing public or to be seen is missing."""

import ast
import doctest
import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import skimgcv.exceptions

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.rst"))
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

PACKAGES = ("augment", "cluster", "display", "model_selection", "models", "report")


@pytest.fixture(autouse=True)
def _headless():
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.close("all")  # those of other files' tests; before 3.10 a switch warns of them
    plt.switch_backend("agg")
    yield
    plt.close("all")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_of_a_page_runs(page):
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed, _ = doctest.testfile(str(page), module_relative=False, optionflags=options)
    assert not failed
    # Python without prompts would not be run. Clusters are tests of their own.
    if page.stem != "beyond_one_machine":
        assert "code-block:: python" not in page.read_text(encoding="utf-8")


def test_every_public_name_has_its_page():
    listed, module = set(), None
    for line in (ROOT / "docs" / "api.rst").read_text(encoding="utf-8").splitlines():
        if match := re.match(r"\.\. currentmodule:: (.+)", line):
            module = match[1]
        elif match := re.fullmatch(r"   ([A-Za-z_]+)", line):
            listed.add(f"{module}.{match[1]}")
    names = {f"skimgcv.{name}" for name in skimgcv.__all__}
    packages = [import_module(f"skimgcv.{name}") for name in PACKAGES]
    for package in packages:
        names |= {f"{package.__name__}.{name}" for name in package.__all__}
    errors = {
        f"skimgcv.exceptions.{name}"
        for name, item in vars(skimgcv.exceptions).items()
        if isinstance(item, type)
    }
    # Each has one page, under the shortest of its names.
    at_the_top = {name.rpartition(".")[2] for name in names if name.count(".") == 1}
    wanted = {n for n in names | errors if n.count(".") == 1 or n.split(".")[-1] not in at_the_top}
    assert listed == wanted


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "index.rst").read_text(encoding="utf-8")
    entries = set(re.findall(r"^   ([a-z_]+)$", index, re.MULTILINE))
    assert {page.stem for page in PAGES} - {"index"} == entries


def test_every_parameter_of_the_augmenter_has_its_picture():
    page = (ROOT / "docs" / "augmentation_gallery.rst").read_text(encoding="utf-8")
    drawn, _, listed = page.partition("What no picture shows")
    blocks = re.findall(r"\.\. augmented::\n((?:   .*\n|\n)+)", drawn)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    calls = [f"ImageAugmenter({line})" for line in lines if line and not line.startswith(":")]
    of_calls = {word.arg for call in calls for word in ast.parse(call).body[0].value.keywords}
    without = set(re.findall(r"^   \* - ``(\w+)``$", listed, re.MULTILINE))
    assert not of_calls & without
    assert of_calls | without == set(skimgcv.ImageAugmenter().get_params())
    images = np.arange(4 * 16 * 16 * 3, dtype=np.uint8).reshape(4, 16, 16, 3)
    for call in calls:
        augmenter = eval(call, {"ImageAugmenter": skimgcv.ImageAugmenter}).fit(images)
        table = augmenter.draw(np.random.default_rng(0), 4, images.shape[1:])
        prepared = augmenter.prepare(images, table)
        assert augmenter.mixes or not np.array_equal(prepared, images), call


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_an_example_opens_with_what_one_learns_and_has_a_figure(example):
    source = example.read_text(encoding="utf-8")
    opening = ast.get_docstring(ast.parse(source))
    title, line, *rest = opening.splitlines()
    # sphinx-gallery needs a title, which Sphinx reads by the line below it.
    assert set(line) == {"="}
    assert len(line) == len(title)
    assert rest[1].startswith("You learn ")
    assert "**What comes out.**" in "\n".join(rest)
    # What the documentation runs draws its figure; for the rest a picture is stored.
    stored = re.findall(r"sphinx_gallery_thumbnail_path = '(.+)'", source)
    assert stored or example.stem in ("kfold_two_ways",) or example.stem.startswith("plot_")
    assert all((ROOT / "docs" / name).is_file() for name in stored)
    assert all(f".. image:: /{name}" in opening for name in stored)


def test_each_promise_names_tests_that_are_there():
    page = (ROOT / "docs" / "guarantee.rst").read_text(encoding="utf-8")
    named = re.findall(r"``([a-z_/]+\.py)``", page.partition("Which test holds")[2])
    assert len(named) > 20
    assert all((ROOT / "tests" / name).is_file() for name in named)


def test_the_first_page_shows_the_code_of_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", readme, re.DOTALL)[1]
    index = (ROOT / "docs" / "index.rst").read_text(encoding="utf-8")
    shown = re.findall(r"^(?:>>>|\.\.\.) (.*?)(?:  # doctest: .*)?$", index, re.MULTILINE)
    lines = [line for line in code.splitlines() if line]
    assert shown[: len(lines)] == lines


def _text(node):
    """Return a text of the source, with ``...`` for each value in it; None for other nodes."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(getattr(part, "value", "...") for part in map(_part, node.values))
    return None


def _part(value):
    return value if isinstance(value, ast.Constant) else ast.Constant("...")


def _texts():
    """Return the messages of all warnings of the package, and all of its texts."""
    warned, texts = [], []
    for path in sorted((ROOT / "skimgcv").rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        texts += filter(None, map(_text, nodes))
        for node in nodes:
            if not isinstance(node, ast.Call) or ast.unparse(node.func) != "warnings.warn":
                continue
            if not isinstance(node.args[0], ast.Name):
                warned.append(_text(node.args[0]))
                continue
            # Another function of the module returns the message, or None.
            returned = [n.value for n in nodes if isinstance(n, ast.Return) and n.value]
            warned += filter(None, map(_text, returned))
    return warned, texts


def _matches(term, message):
    """Whether a message begins as a term of the page, whose dots stand for values."""
    term, message = (re.sub(r"\.{3,}", "...", " ".join(t.split())) for t in (term, message))
    return re.match(re.escape(term).replace(r"\.\.\.", ".*?"), message) is not None


def test_every_warning_is_on_its_page_and_every_message_there_is_one_of_the_package():
    page = (ROOT / "docs" / "warnings.rst").read_text(encoding="utf-8")
    terms = re.findall(r'^"(.+)"$', page, re.MULTILINE)
    warned, texts = _texts()
    assert len(warned) > 20
    missing = [m for m in warned if not m or not any(_matches(term, m) for term in terms)]
    assert not missing
    assert not [term for term in terms if not any(_matches(term, text) for text in texts)]
    kinds = [n for n in vars(skimgcv.exceptions) if n.endswith("Warning")]
    assert all(f"`~skimgcv.exceptions.{kind}`" in page for kind in kinds if kind != "UserWarning")
