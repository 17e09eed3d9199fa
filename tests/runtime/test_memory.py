"""What memory there is: of the machine, and of each control group that the process is in."""

import numpy as np
import psutil
import pytest

from skimgcv import ImageAugmenter
from skimgcv._runtime import memory

GIB = 2**30


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with 64 GiB, 48 of them free, and control groups as the test writes them."""
    write(
        tmp_path / "meminfo",
        f"MemTotal: {64 << 20} kB\nMemFree: 1 kB\nMemAvailable: {48 << 20} kB",
    )
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(memory, "_GROUPS", tmp_path / "groups")
    return tmp_path


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


def group(folder, limit, used, *, inactive=0, version=2):
    limit_name, used_name, inactive_name = [memory._VERSION_1, memory._VERSION_2][version - 1]
    write(folder / limit_name, limit)
    write(folder / used_name, used)
    write(folder / "memory.stat", f"anon 5\n{inactive_name} {inactive}")


def test_without_groups_it_is_the_machines(machine):
    assert memory.total_bytes() == 64 * GIB
    assert memory.free_bytes() == 48 * GIB


def test_a_containers_limit_counts_and_files_it_has_read_do_not(machine):
    write(machine / "own", "0::/")
    group(machine / "groups", 8 * GIB, 7 * GIB, inactive=5 * GIB)
    assert memory.total_bytes() == 8 * GIB
    assert memory.free_bytes() == 6 * GIB


def test_the_tightest_of_nested_groups_counts(machine):
    write(machine / "own", "0::/slurm/job_7/step_0")
    group(machine / "groups", "max", 0)
    group(machine / "groups/slurm", 32 * GIB, 31 * GIB)
    group(machine / "groups/slurm/job_7", 16 * GIB, 2 * GIB)
    group(machine / "groups/slurm/job_7/step_0", "max", 2 * GIB)
    assert memory.total_bytes() == 16 * GIB
    assert memory.free_bytes() == 1 * GIB


@pytest.mark.parametrize("own", ["", "docker/4f2a"])
def test_version_1_counts_too_and_a_container_sees_its_own_group_as_the_root(machine, own):
    write(machine / "own", "5:cpu,cpuacct:/x\n4:memory:/docker/4f2a\n0::/")
    group(machine / "groups/memory" / own, 4 * GIB, 1 * GIB, inactive=GIB // 2, version=1)
    assert memory.total_bytes() == 4 * GIB
    assert memory.free_bytes() == 3.5 * GIB


def test_version_1_without_a_limit(machine):
    write(machine / "own", "4:memory:/")
    group(machine / "groups/memory", 2**63 - 4096, 1 * GIB, version=1)
    assert memory.free_bytes() == 48 * GIB


def test_more_in_use_than_allowed_leaves_nothing(machine):
    write(machine / "own", "0::/")
    group(machine / "groups", 2 * GIB, 3 * GIB)
    assert memory.free_bytes() == 0


def test_where_there_is_no_proc_psutil_is_asked(machine, monkeypatch):
    (machine / "meminfo").unlink()
    there = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: there)
    assert memory.total_bytes() == there.total
    assert memory.free_bytes() == there.available


def test_this_machine_has_what_psutil_says():
    assert memory.total_bytes() <= psutil.virtual_memory().total
    assert 0 < memory.free_bytes() <= psutil.virtual_memory().available * 1.1  # others allocate


def test_whitening_is_refused_by_the_same_limit(machine):
    write(machine / "own", "4:memory:/")
    group(machine / "groups/memory", 30 << 20, 0, version=1)
    # A matrix of 3072 x 3072 float32 values alone is 36 MiB.
    with pytest.raises(MemoryError, match=r"3072 x 3072 values .* this machine has 0\.0 GiB"):
        ImageAugmenter(zca_whitening=True).fit(np.zeros((4, 32, 32, 3), np.uint8))
