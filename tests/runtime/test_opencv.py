"""A cv2 that cannot be used is named at import, with what mends it."""

import subprocess
import sys
import textwrap

import pytest

OTHERS = ("opencv-python", "opencv-python-headless")
FAKES = {
    "an empty shell": "sys.modules['cv2'] = types.ModuleType('cv2')",
    "an old one": "sys.modules['cv2'] = types.SimpleNamespace(warpAffine=1, __version__='4.9.0')",
    "none": "sys.modules['cv2'] = None",
    "no libGL": """
        class Finder:
            def find_spec(self, name, path=None, target=None):
                if name == "cv2":
                    raise ImportError("libGL.so.1: cannot open shared object file")
        sys.meta_path.insert(0, Finder())
    """,
}


def importing(tmp_path, fake, installed):
    """Import skimgcv beside a fake cv2, where only these packages seem to be installed."""
    for name, version in installed.items():
        folder = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"
        )
    script = f"""
import importlib.metadata as m, sys, types
real = m.version
def version(name, here=m.MetadataPathFinder.find_distributions):
    if not name.startswith("opencv"):
        return real(name)
    found = list(here(m.DistributionFinder.Context(name=name, path=[{str(tmp_path)!r}])))
    if not found:
        raise m.PackageNotFoundError(name)
    return found[0].version
m.version = version
{textwrap.dedent(fake)}
import skimgcv
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.returncode == 1
    return run.stderr.partition("\nImportError: ")[2]


def test_an_empty_shell_is_named_with_all_its_owners(tmp_path):
    said = importing(tmp_path, FAKES["an empty shell"], dict.fromkeys(OTHERS, "5.0.0.93"))
    assert "empty folder" in said
    assert "opencv-python 5.0.0.93, opencv-python-headless 5.0.0.93" in said
    assert "pip uninstall --yes opencv-python opencv-python-headless\n" in said
    # The one with windows, since somebody wanted it.
    assert 'pip install --force-reinstall --no-deps "opencv-python>=4.10"' in said


@pytest.mark.parametrize(
    ("kind", "installed", "fault", "wanted"),
    [
        ("none", {}, "no module cv2", "opencv-python-headless"),
        ("none", {"opencv-python": "4.11.0.86"}, "no module cv2", "opencv-python"),
        ("an old one", {"opencv-contrib-python": "4.9.0.80"}, "4.9.0", "opencv-contrib-python"),
        ("no libGL", {"opencv-python": "4.11.0.86"}, "libGL.so.1", "opencv-python-headless"),
    ],
)
def test_each_fault_has_its_command(tmp_path, kind, installed, fault, wanted):
    said = importing(tmp_path, FAKES[kind], installed)
    assert fault in said
    assert f'"{wanted}>=4.10"' in said
    assert all(f"pip uninstall --yes {name}\n" in said for name in installed)


def test_what_a_shell_is_in_truth():
    """An uninstall leaves folders without modules, which Python imports as a namespace."""
    script = "import pathlib, sys, tempfile; folder = pathlib.Path(tempfile.mkdtemp())\n"
    script += "(folder / 'cv2' / 'data').mkdir(parents=True)\n"
    # Real packages are found first: the folder has to be the only place to look in.
    script += "here = sys.path[:]; sys.path[:] = [str(folder)]; import cv2; sys.path[:] = here\n"
    script += "import skimgcv"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "cv2 is an empty folder" in run.stderr
