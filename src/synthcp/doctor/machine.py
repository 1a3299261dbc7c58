"""The machine: cores, precision, accelerators, memory and disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import torch

from synthcp.doctor.base import Finding, Scope
from synthcp.doctor.strided import is_sound
from synthcp.system.provenance import hardware
from synthcp.system.runtime import BF16_GAIN, Runtime, bf16_gain, cgroup_limits, step_seconds, usable_cores
from synthcp.system.spec import path_of

SLOWER = 1.1
"""Two threads that take this much longer than one are in each other's way."""
SCARCE = 2e9
"""Bytes of memory or disk below which a fit of scale small may not fit in."""

_CPU_INFO, _MEMORY_INFO = Path("/proc/cpuinfo"), Path("/proc/meminfo")
_CPU = torch.device("cpu")


def idle_threads(_: Scope) -> list[Finding]:
    """Tell whether idle threads sleep; those that spin slow each other down."""
    policy = os.environ.get("OMP_WAIT_POLICY", "")
    if policy.upper() == "PASSIVE":
        return [Finding("idle threads", "good", "sleep (OMP_WAIT_POLICY=PASSIVE)")]
    what = f"spin on busy cores (OMP_WAIT_POLICY is {policy or 'not set'})"
    return [Finding("idle threads", "note", what, "set OMP_WAIT_POLICY=PASSIVE before torch is imported")]


def threads(scope: Scope) -> list[Finding]:
    """Compare threads with usable cores, and the speed of two threads with that of one."""
    cores = usable_cores()
    there = f"{cores} of {os.cpu_count()} cores are usable"
    if scope.threads > cores:
        line = f"{there}, but {scope.threads} threads are used; they wait for each other"
        return [Finding("threads", "note", line, f"--threads {cores}")]
    if cores == 1:
        return [Finding("threads", "good", there)]
    one, two = (_seconds_with(count) for count in (1, 2))
    line = f"{there}; a convolution step takes {1e3 * one:.0f} ms on one thread, {1e3 * two:.0f} ms on two"
    if two > SLOWER * one:
        return [Finding("threads", "note", line, "--threads 1, or end what else keeps the cores busy")]
    return [Finding("threads", "good", line)]


def _seconds_with(count: int) -> float:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        return step_seconds(Runtime(_CPU))
    finally:
        torch.set_num_threads(before)


def bf16(_: Scope) -> list[Finding]:
    """Tell whether the processor has bf16 units, and whether they are faster here."""
    flags = _CPU_INFO.read_text().split() if _CPU_INFO.is_file() else []
    units = ", ".join(unit for unit in ("amx_bf16", "avx512_bf16") if unit in flags) or "no unit for it is known"
    gain = bf16_gain(_CPU)
    chosen = "bf16" if gain > BF16_GAIN else "fp32"
    line = f"{hardware(_CPU)}: {units}; {gain:.2f} times as fast as fp32, so auto takes {chosen} on the CPU"
    return [Finding("bf16", "good", line)]


def convolutions(_: Scope) -> list[Finding]:
    """Try the convolution that some CPUs compute outside of its memory, in a process that may die of it."""
    here = f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}"
    if is_sound():
        return [Finding("convolutions", "good", f"strided ones of one pixel are sound ({here})")]
    what = f"training strided ones of one pixel with under 8 channels, channels last, overwrites memory ({here})"
    return [Finding("convolutions", "note", what, "nothing for SynthCP, which avoids them; do so in your own training")]


def accelerators(_: Scope) -> list[Finding]:
    """Name the accelerators with their memory, and say when there is one that torch cannot use."""
    if torch.cuda.is_available():
        return [_cuda(index) for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        room = amount(torch.mps.recommended_max_memory())
        return [Finding("mps", "note", f"{room} of memory; auto does not take it", "--device mps")]
    if torch.version.cuda:
        line = f"torch is built for CUDA {torch.version.cuda}, but finds no GPU"
        return [Finding("accelerator", "note", line, "look at nvidia-smi; without a GPU, torch's CPU build is smaller")]
    if shutil.which("nvidia-smi"):
        line = "there is an NVIDIA driver, but this torch is built for the CPU"
        return [Finding("accelerator", "note", line, "install torch's CUDA build")]
    return [Finding("accelerator", "good", "none; the CPU will do for the scales tiny and small")]


def _cuda(index: int) -> Finding:
    free, total = torch.cuda.mem_get_info(index)
    line = f"{torch.cuda.get_device_name(index)}, {amount(free)} of {amount(total)} are free"
    return _supply(f"cuda:{index}", line, free, "end what else uses the GPU, or use --device cpu")


def memory(_: Scope) -> list[Finding]:
    """Tell how much memory is free."""
    free = free_memory()
    if free is None:
        return [Finding("memory", "note", "unknown on this system")]
    return [_supply("memory", f"{amount(free)} are free", free, "close other programs, or use --scale tiny")]


def output(scope: Scope) -> list[Finding]:
    """Try to write where the output would go, and tell how much room there is; nothing stays."""
    out = Path(scope.out)
    try:
        tempfile.TemporaryFile(dir=_existing(out)).close()
    except OSError as error:
        line = f"{out} cannot be written: {error.strerror}"
        return [Finding("output", "bad", line, "choose another folder, or change its permissions")]
    free = free_disk(out)
    line = f"{out} can be written; {amount(free)} are free"
    return [_supply("output", line, free, "make room, or write elsewhere")]


def _supply(name: str, line: str, free: int, remedy: str) -> Finding:
    return Finding(name, "note", line, remedy) if free < SCARCE else Finding(name, "good", line)


def free_memory() -> int | None:
    """Return the bytes of memory that a new process could use, within a container's limit; None when unknown."""
    lines = _MEMORY_INFO.read_text().splitlines() if _MEMORY_INFO.is_file() else []
    free = [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")]
    return min([*free, *map(int, cgroup_limits("memory.max"))], default=None)


def free_disk(out: Path) -> int:
    """Return the free bytes of the disk that a folder is, or would be, on."""
    return shutil.disk_usage(_existing(out)).free


def _existing(path: Path) -> Path:
    path = path_of(path).absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())


def amount(count: float) -> str:
    """Say a number of bytes: "2.1 GB" or "340 MB"."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
