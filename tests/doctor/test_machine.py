from __future__ import annotations

import os
import shutil
from collections import namedtuple

import pytest
import torch

from synthcp.doctor import machine, strided
from synthcp.doctor.base import Scope
from synthcp.doctor.examine import CHECKS
from synthcp.doctor.machine import (
    accelerators,
    amount,
    bf16,
    convolutions,
    free_disk,
    free_memory,
    idle_threads,
    memory,
    output,
    threads,
)

SCOPE = Scope()
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def cores(monkeypatch):
    """The finding of threads with planted usable cores, chosen threads, and seconds on one and on two threads."""

    def found(usable, chosen, one=0.020, two=0.011):
        counts = []
        monkeypatch.setattr(machine, "usable_cores", lambda: usable)
        monkeypatch.setattr(torch, "get_num_threads", lambda: chosen)
        monkeypatch.setattr(torch, "set_num_threads", counts.append)
        monkeypatch.setattr(machine, "step_seconds", lambda runtime: {1: one, 2: two}[counts[-1]])
        (finding,) = threads(Scope(threads=chosen))
        assert counts == ([1, chosen, 2, chosen] if counts else [])  # set back each time
        return finding

    return found


def test_every_check_says_something(tmp_path):
    found = [finding for check in CHECKS["Machine"].values() for finding in check(Scope(out=str(tmp_path)))]
    assert [finding.name for finding in found] == list(CHECKS["Machine"])
    assert not any("\n" in finding.what + finding.remedy for finding in found)


@pytest.mark.parametrize(
    ("policy", "state", "what"),
    [
        ("PASSIVE", "good", "sleep"),
        ("passive", "good", "sleep"),
        ("ACTIVE", "note", "OMP_WAIT_POLICY is ACTIVE"),
        (None, "note", "OMP_WAIT_POLICY is not set"),
    ],
)
def test_idle_threads(monkeypatch, policy, state, what):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if policy:
        monkeypatch.setenv("OMP_WAIT_POLICY", policy)
    (finding,) = idle_threads(SCOPE)
    assert finding.state == state and what in finding.what


@pytest.mark.parametrize(
    ("program", "state", "what"),
    [
        ("", "good", "are sound (torch "),
        ("import os; os.abort()", "note", "overwrites memory (torch "),
        ("assert False", "note", "overwrites memory (torch "),
        ("while True: pass", "note", "overwrites memory (torch "),
    ],
)
def test_convolutions_that_die_fail_or_hang_are_noted(monkeypatch, program, state, what):
    monkeypatch.setattr(strided, "STRIDED_CONVOLUTION", program)
    monkeypatch.setattr(strided, "PATIENCE", 2.0)
    strided.begin.cache_clear()
    (finding,) = convolutions(SCOPE)
    assert finding.state == state and what in finding.what
    strided.begin.cache_clear()


def test_the_convolution_that_is_tried_is_right_in_the_default_layout():
    exec(strided.STRIDED_CONVOLUTION.replace("memory_format=torch.channels_last", ""), {})


@pytest.mark.parametrize(
    ("usable", "chosen", "seconds", "state", "what", "remedy"),
    [
        (3, 64, (), "note", "64 threads are used", "--threads 3"),
        (4, 4, (0.020, 0.011), "good", "20 ms on one thread, 11 ms on two", ""),
        (2, 2, (0.020, 0.050), "note", "20 ms on one thread, 50 ms on two", "--threads 1"),
        (1, 1, (), "good", "usable", ""),
    ],
)
def test_threads(cores, usable, chosen, seconds, state, what, remedy):
    finding = cores(usable, chosen, *seconds)
    assert finding.state == state and what in finding.what and finding.remedy.startswith(remedy)
    assert finding.what.startswith(f"{usable} of {os.cpu_count()} cores") and bool(finding.remedy) == bool(remedy)


@pytest.mark.parametrize(
    ("info", "gain", "units", "precision"),
    [
        ("flags\t\t: fpu avx512_bf16 amx_bf16 sse\n", 3.0, "amx_bf16, avx512_bf16; 3.00 times", "takes bf16"),
        ("flags\t\t: fpu avx512_bf16\n", 1.1, ": avx512_bf16; 1.10 times", "takes fp32"),
        ("flags\t\t: fpu sse\n", 0.4, "no unit for it is known; 0.40 times", "takes fp32"),
    ],
)
def test_bf16(monkeypatch, tmp_path, info, gain, units, precision):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{info}")
    monkeypatch.setattr(machine, "_CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(machine, "bf16_gain", lambda device: gain)
    (finding,) = bf16(SCOPE)
    assert units in finding.what and precision in finding.what


def test_each_gpu_is_named_with_its_memory(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU {'AB'[index]}")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: [(70e9, 80e9), (1e9, 40e9)][index])
    first, second = accelerators(SCOPE)
    assert (first.name, first.state, first.what) == ("cuda:0", "good", "GPU A, 70.0 GB of 80.0 GB are free")
    assert (second.name, second.state) == ("cuda:1", "note") and "1.0 GB of 40.0 GB" in second.what


@pytest.mark.parametrize(
    ("mps", "build", "driver", "state", "what"),
    [
        (True, None, None, "note", "9.0 GB of memory; auto does not take it"),
        (False, "12.8", None, "note", "built for CUDA 12.8, but finds no GPU"),
        (False, None, "/usr/bin/nvidia-smi", "note", "this torch is built for the CPU"),
        (False, None, None, "good", "none"),
    ],
)
def test_without_cuda(monkeypatch, mps, build, driver, state, what):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 9_000_000_000)
    monkeypatch.setattr(torch.version, "cuda", build)
    monkeypatch.setattr(shutil, "which", lambda name: driver)
    (finding,) = accelerators(SCOPE)
    assert finding.state == state and what in finding.what


@pytest.mark.parametrize(
    ("limits", "free", "state"),
    [([], 8_192_000_000, "good"), (["1500000000"], 1_500_000_000, "note"), (["99000000000"], 8_192_000_000, "good")],
)
def test_memory_is_what_machine_and_container_leave(monkeypatch, tmp_path, limits, free, state):
    (tmp_path / "meminfo").write_text("MemTotal: 16000000 kB\nMemFree: 2000000 kB\nMemAvailable: 8000000 kB\n")
    monkeypatch.setattr(machine, "_MEMORY_INFO", tmp_path / "meminfo")
    monkeypatch.setattr(machine, "cgroup_limits", lambda name: limits)
    assert free_memory() == free
    assert memory(SCOPE)[0].state == state and amount(free) in memory(SCOPE)[0].what


def test_memory_is_unknown_on_other_systems(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_MEMORY_INFO", tmp_path / "none")
    monkeypatch.setattr(machine, "cgroup_limits", lambda name: [])
    assert free_memory() is None and "unknown" in memory(SCOPE)[0].what


@pytest.mark.parametrize(("free", "state"), [(3_000_000_000, "good"), (400_000_000, "note")])
def test_the_room_for_the_output_is_told(monkeypatch, tmp_path, free, state):
    asked = []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: asked.append(path) or Usage(10**12, 0, free))
    (finding,) = output(Scope(out=str(tmp_path / "not" / "yet")))
    assert finding.state == state and f"{amount(free)} are free" in finding.what and asked == [tmp_path]
    assert list(tmp_path.iterdir()) == []


def test_free_disk_is_what_the_file_system_says(tmp_path):
    blocks = os.statvfs(tmp_path)
    assert free_disk(tmp_path / "new") == pytest.approx(blocks.f_bavail * blocks.f_frsize, rel=0.02)


def test_an_output_that_cannot_be_written_is_bad(monkeypatch, tmp_path):
    (tmp_path / "runs").write_text("no folder")
    (finding,) = output(Scope(out=str(tmp_path / "runs")))
    assert finding.state == "bad" and "cannot be written" in finding.what

    def refused(dir):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(machine.tempfile, "TemporaryFile", refused)
    assert output(Scope(out=str(tmp_path)))[0].what == f"{tmp_path} cannot be written: Permission denied"
