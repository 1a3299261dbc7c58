"""Where a number comes from: command, commit, versions, hardware."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from datetime import datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

from synthcp import __version__

_CPU_INFO = Path("/proc/cpuinfo")


def command_line() -> str:
    """Return the command that is running, as one would type it."""
    program = Path(sys.argv[0]).name
    return shlex.join(["synthcp" if program == "__main__.py" else program, *sys.argv[1:]])


@cache
def commit(root: Path = Path(__file__).parents[3]) -> str:
    """Return the commit of a source tree ("-dirty" if it was changed since); of an installed package, the version.

    It is that of the first call, when the code was loaded; commits made while a program runs are not its own.
    """
    installed = f"synthcp {__version__}"
    if not (root / ".git").exists():
        return installed
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git here, or no commit yet
        return installed
    return answer.stdout.strip()


def hardware(device: torch.device) -> str:
    """Return the model of the processor and its number of cores, or the model of the accelerator."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {os.cpu_count()} cores"


def versions() -> dict[str, str]:
    """Return the version of every part that a number may depend on."""
    libraries = {name: version(name) for name in ("torch", "numpy", "pillow")}
    return {"synthcp": __version__, "python": platform.python_version(), **libraries}


def now() -> str:
    """Return date and time, ISO 8601, to the second."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def _processor() -> str:
    lines = _CPU_INFO.read_text().splitlines() if _CPU_INFO.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
