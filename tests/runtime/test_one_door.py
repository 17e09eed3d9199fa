"""What other packages do not promise is named in the files of one door, and nowhere else."""

import ast
import re
from pathlib import Path

import pytest

import skimgcv

PACKAGE = Path(skimgcv.__file__).parent
DOOR = {
    "_runtime/keras_internals.py",
    "_runtime/graph_internals.py",
    "_runtime/step_internals.py",
    "_runtime/scikeras_internals.py",
    "_runtime/other_internals.py",
}
FILES = [p for p in sorted(PACKAGE.rglob("*.py")) if str(p.relative_to(PACKAGE)) not in DOOR]
PRIVATE_MODULE = re.compile(
    r"\b(keras\.src|tensorflow\.python|joblib\.externals"
    r"|(keras|tensorflow|scikeras|sklearn|joblib|numpy|dask|distributed|ray|np|tf)(\.\w+)*\._[a-z])"
)
# Hooks and attributes of theirs that a subclass could set under its own self.
THEIRS = {
    "_value",
    "_layout",
    "_symbolic_build",
    "_compile_config",
    "_flatten_layers",
    "_compile_loss",
    "_compile_metrics",
    "_post_build",
    "_compute_loss",
    "_maybe_symbolic_build",
    "_all_reduce_sum_gradients",
    "_trainable_variables_indices",
    "_weight_decay_by_var_key",
    "_learning_rate",
    "_inbound_nodes",
    "_keras_history",
    "_seed_generators",
    "_distribute_strategy",
    "_instances",
    "_mmap",
    "_skl_callbacks",
    "_check_model_param",
    "_get_compile_kwargs",
    "_build_keras_model",
    "_initialize_callbacks",
    "_fit_callbacks",
    "_predict_callbacks",
    "_user_params",
    "_random_state",
    "_get_param_names",
}
ALLOWED = {
    # The way to Dask and Ray is made of joblib's own backends, and tested with them.
    "cluster.py": {"joblib._parallel_backends", "joblib._dask", "_to_func_args"},
    # scikit-learn's hook for an estimator's parameters, overridden there: tests of subclasses
    # hold that scikit-learn calls it.
    "_estimator.py": {"_get_param_names"},
    "_training/fit_key.py": {"_get_param_names"},
    # What Albumentations keeps of its last call, which no comparison may see.
    "_compiled/attributes.py": {"_images_was_list", "_masks_was_list"},
    # The method that SciKeras' own page tells subclasses to write.
    "_models/factory.py": {"_keras_build_fn"},
    "_models/routing.py": {"_keras_build_fn"},
    # Names of its own methods, put together.
    "_persistence/encoding.py": {"_read_"},
    # What a callback that Keras calls keeps, and no fit may compare.
    "_training/checkpoint.py": {"_model"},
}


def _strings(tree):
    """Text constants but docstrings, and the parts of f-strings."""
    skipped = {
        id(part) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for part in n.values
    }
    skipped |= {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and id(node) not in skipped:
            yield node.value


def _names(tree):
    """Private names that are read from anything, or are texts of that form."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
    for text in _strings(tree):
        if text.isidentifier():
            yield text


def _own_names():
    """Private names that this package itself defines: functions, classes, attributes of self."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                yield node.name
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                yield node.attr


# Python's own; names of fitted attributes that are set by a dict; scikit-learn's cv_results_.
OF_PYTHON = {"_fields", "_getframe", "_abc_impl"}
OF_FITTED = {"_epochs_run", "_trained_with", "_compiled_here"}
OWN = {*_own_names(), *OF_PYTHON, *OF_FITTED, "_test_"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nothing_private_of_others_is_named(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    allowed = ALLOWED.get(path.relative_to(PACKAGE).as_posix(), set())
    modules = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            modules += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    found = {m for m in [*modules, *_strings(tree)] if PRIVATE_MODULE.search(m)}
    private = {n for n in _names(tree) if re.match(r"_[a-z]", n)}
    found |= {n for n in private if n in THEIRS or n not in OWN}
    found = {n for n in found if not any(n.startswith(a) for a in allowed)}
    assert not found, f"{path.name} names {sorted(found)}: that belongs behind the door"


def test_the_door_is_what_this_test_can_see():
    """The same rules find plenty in the door's own files, so they can find anything."""
    for name in DOOR:
        tree = ast.parse((PACKAGE / name).read_text(encoding="utf-8"))
        assert {n for n in _names(tree) if n in THEIRS or n not in OWN}, name
