"""Imports point downward, and each heavy package has the one door it is meant to have."""

import ast
import graphlib
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import skimgcv

PACKAGE = Path(skimgcv.__file__).parent

# From the ground up. A module imports from its own layer, without circles, or from below.
LAYERS = [
    {"exceptions", "_runtime"},
    {"_data"},
    {"_files"},
    {"augment"},
    {"_models", "_batches"},
    {"_compiled"},
    {"_features"},
    {"_persistence"},
    {"_training"},
    {"_prediction"},
    {"_classifier", "_estimator", "_parameters", "_regressor"},
    {"__init__"},
    {"model_selection", "display", "cluster", "models"},
    {"report"},
    {"_cli", "__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

# What users can see is all that these build on; and how rows are cut, the error that names an
# extra, and how numbers and rows of several labels are checked and shared out, as the hold-out's
# are.
ON_PUBLIC_NAMES = {"model_selection", "display", "cluster"}
PUBLIC = {
    "skimgcv",
    "skimgcv.augment",
    "skimgcv.exceptions",
    "skimgcv.model_selection",
    "skimgcv._data.label_tables",
    "skimgcv._data.numeric_targets",
    "skimgcv._data.stratification",
    "skimgcv._runtime.chunks",
    "skimgcv._runtime.optional",
}

# Who may import a package at all.
DOORS = {
    "scikeras": {"skimgcv._runtime.scikeras_internals"},
    "albumentations": {"skimgcv.augment._albumentations"},
    "jinja2": {"skimgcv.report._rendering"},
    "matplotlib": {"skimgcv.display"},
    "ray": {"skimgcv.cluster"},
}
OPTIONAL = {
    "albumentations",
    "jinja2",
    "matplotlib",
    "imblearn",
    "pandas",
    "polars",
    "PIL",
    "rich",
    "jax",
    "torch",
    "distributed",
    "ray",
}
KERAS = {"keras", "tensorflow"}
# What becomes a Keras data set, adapts a Keras object or is put into a model imports Keras. They
# are imported themselves only where they are used: by `flow`, `to_layers`, and as an adapter.
KERAS_DOORS = {
    "skimgcv.augment._keras",
    "skimgcv.augment._layers",
    "skimgcv.augment.keras_api.flow",
}


def module_name(path):
    parts = ["skimgcv", *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def layer_of(module):
    """The name, in LAYERS, of a module or of the subpackage that it is in."""
    return [*module.split("."), "__init__"][1]


@cache
def imports(module, *, at_import_time=False):
    """Full names that a module imports, everywhere or outside its functions."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    found = set()
    for node in _statements(tree, into_functions=not at_import_time):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module)
            # "from skimgcv import augment" imports a module, "from skimgcv import X" a name.
            found |= {
                f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base
                for alias in node.names
            }
    return frozenset(found)


def _statements(tree, *, into_functions):
    for node in ast.iter_child_nodes(tree):
        if not into_functions and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        yield from _statements(node, into_functions=into_functions)


def _absolute(node, module):
    if not node.level:
        return node.module
    is_package = MODULES[module].name == "__init__.py"
    parts = module.split(".")
    parts = parts[: len(parts) - node.level + is_package]
    return ".".join(parts + ([node.module] if node.module else []))


def ours(module):
    return {name for name in imports(module) if name.split(".")[0] == "skimgcv"}


def packages(module, **options):
    return {name.split(".")[0] for name in imports(module, **options)} - {"skimgcv"}


def test_every_module_has_a_layer():
    assert {layer_of(module) for module in MODULES} <= set(LEVEL), "add the new one to LAYERS"


def test_the_page_on_architecture_has_the_same_layers():
    page = (PACKAGE.parent / "docs" / "architecture.rst").read_text(encoding="utf-8")
    cells = re.findall(r"^   \* - (``.*``)$", page, re.MULTILINE)
    rooms = [re.findall(r"``(\w+?)(?:/|\.py)``", cell) for cell in cells]
    assert [set(names) for names in rooms] == LAYERS[::-1]


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downward(module):
    upward = {name for name in ours(module) if LEVEL[layer_of(name)] > LEVEL[layer_of(module)]}
    assert not upward, f"{module} imports from above: {sorted(upward)}"


def test_no_import_goes_round_in_a_circle():
    # A package's __init__ gathers its own modules' names: they may not import it back.
    graphlib.TopologicalSorter({module: ours(module) for module in MODULES}).prepare()


def reached(module):
    """All modules that an import of one brings in, now or when its functions are called."""
    found, waiting = set(), {module}
    while waiting:
        name = waiting.pop()
        found.add(name)
        parents = {name.rpartition(".")[0]} - {""}
        waiting |= ((ours(name) if name in MODULES else set()) | parents) - found
    return found


def test_evaluation_never_imports_training():
    # What a score is made of must not be able to augment for training, weigh or resample.
    reach = reached("skimgcv._prediction")
    assert {"skimgcv._compiled.run", "skimgcv.augment._protocol"} <= reach  # it does look deep
    assert not {name for name in reach if name.startswith("skimgcv._training")}


def test_training_is_entered_by_fit_alone():
    into = {
        module
        for module in MODULES
        if layer_of(module) != "_training"
        and any(name.startswith("skimgcv._training") for name in ours(module))
    }
    assert into == {"skimgcv._estimator"}


@pytest.mark.parametrize("room", [m for m, p in MODULES.items() if p.name == "__init__.py"])
def test_a_room_has_a_face(room):
    tree = ast.parse(MODULES[room].read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"say in a sentence or two what is in {room}"
    if any(part.startswith("_") for part in room.split(".")):
        assert len(tree.body) == 1, f"importing {room} is to bring in nothing else"


def test_tools_on_top_use_public_names_only():
    for module in MODULES:
        if layer_of(module) in ON_PUBLIC_NAMES:
            own = f"skimgcv.{layer_of(module)}"
            private = {name for name in ours(module) if not name.startswith(own)} - PUBLIC
            assert not private, f"{module} imports {sorted(private)}"


@pytest.mark.parametrize("package", DOORS)
def test_one_door_a_package(package):
    importers = {m for m in MODULES if package in packages(m)}
    assert importers <= {
        m for m in MODULES if any(f"{m}.".startswith(f"{door}.") for door in DOORS[package])
    }


@pytest.mark.parametrize("module", MODULES)
def test_optional_packages_are_imported_where_they_are_used(module):
    assert packages(module, at_import_time=True).isdisjoint(OPTIONAL)


@pytest.mark.parametrize("module", [m for m in MODULES if layer_of(m) == "augment"])
def test_augmenting_needs_no_keras_and_no_estimator(module):
    if module not in KERAS_DOORS:
        assert packages(module).isdisjoint(KERAS)
    for name in imports(module):
        top, _, below = name.partition(".")
        assert top != "sklearn" or below.split(".")[0] in {"base", "exceptions", "utils"}, name


def test_importing_brings_in_no_optional_package():
    # SciKeras, scikit-learn and Keras import some of these themselves where they find them,
    # so what counts is what our import adds to theirs.
    script = (
        "import sys, keras, scikeras.wrappers, sklearn.model_selection\n"
        "before = set(sys.modules)\n"
        "from skimgcv import *\n"
        "print(*sorted({m.split('.')[0] for m in set(sys.modules) - before}))\n"
    )
    added = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "skimgcv" in added
    assert OPTIONAL.isdisjoint(added)


# Tests reach rooms by their modules' own names. What begins with _ may change without a word, so
# each test that reaches for it says why nothing else would do.
REACHING = {
    "augment/test_blocks.py": "_blocks: how a batch is cut changes no result that could be seen",
    "augment/test_properties.py": "_blocks: small blocks, so that small batches are cut",
    "augment/test_statistics.py": "_statistics: the memory that is asked for before it is taken",
    "features/test_cache.py": "_fcntl: what other systems lack is skipped",
    "features/test_fits.py": "_compiled: how often a trunk is compiled",
    "files/test_caches.py": "_RECORD, _forget: a file is damaged, and a process begins anew",
    "fuzz_inputs.py": "_prediction: the model is left out, to try ten thousand inputs",
    "on_workers.py": "_twins: how many compiled models a worker keeps",
    "runtime/test_keras_internals.py": "what a private name stands for is changed",
    "runtime/test_memory.py": "the files of control groups that other machines have",
    "runtime/test_platform.py": "_fcntl: what other systems lack is hidden",
    "test_forks.py": "_twins: a lock is held while a child is forked",
    "test_cluster.py": "_cores, _MapFile, ...: a machine of 64 cores, a worker that dies",
}
TESTS = Path(__file__).parent


def private_names_in(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("skimgcv"):
            imported |= {alias.asname or alias.name: alias.name for alias in node.names}
        if isinstance(node, ast.Import):
            ours_only = [a for a in node.names if a.asname and a.name.startswith("skimgcv.")]
            imported |= {alias.asname: alias.name.rpartition(".")[2] for alias in ours_only}
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and imported.get(node.value.id, "").islower()
    }
    names = used | set(imported.values())
    return {name for name in names if name.startswith("_") and not name.startswith("__")}


def test_tests_that_reach_for_private_names_say_why():
    reaching = {
        path.relative_to(TESTS).as_posix()
        for path in TESTS.rglob("*.py")
        if private_names_in(path)
    }
    assert reaching == set(REACHING)
