"""How Sphinx builds the site: `make docs`, offline, with warnings as errors."""

import builtins
import os
import sys
from pathlib import Path

# TensorFlow reports its build, and progress bars their terminal; a page should not show it.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import matplotlib

matplotlib.use("Agg")

# sphinx-gallery looks up what examples name, also in one that it does not run.
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sphinx_gallery.scrapers import figure_rst

import skimgcv

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent / "examples"
sys.path.insert(0, str(HERE))

project = "skimgcv"
author = copyright = "the skimgcv developers"  # noqa: A001, Sphinx's name for it
release = version = skimgcv.__version__

extensions = [
    "augmented_pictures",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["build"]
# A function among sphinx-gallery's settings only makes each build begin anew.
suppress_warnings = ["config.cache"]
templates_path = ["templates"]

autosummary_generate = True
# numpydoc's sections say the types.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
add_module_names = False
# Prompts and output are not copied.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = "skimgcv"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["augmented.css"]


def saved_figure(block, block_vars, gallery_conf):
    """Show the figure that an example has saved beside itself."""
    saved = Path(block_vars["src_file"]).with_suffix(".png")
    if not saved.is_file():
        return ""
    shown = next(block_vars["image_path_iterator"])
    Path(shown).write_bytes(saved.read_bytes())
    saved.unlink()
    return figure_rst([shown], gallery_conf["src_dir"])


def file_name(gallery_conf, fname):
    """Let an example find itself by `__file__`, which sphinx-gallery leaves undefined."""
    builtins.__file__ = str(EXAMPLES / Path(fname).name)


sphinx_gallery_conf = {
    "examples_dirs": str(EXAMPLES),
    "gallery_dirs": "auto_examples",
    # Shown without output: what needs more than the extra "docs", or takes minutes by itself.
    "filename_pattern": r"/(?!optuna_|halving_)\w+\.py$",
    "image_scrapers": (saved_figure,),
    "reset_modules": (file_name,),
    "within_subsection_order": "FileNameSortKey",
    "show_memory": False,
    "write_computation_times": False,
    "show_signature": False,
    "remove_config_comments": True,
    "download_all_examples": False,
    "abort_on_example_error": True,
}
