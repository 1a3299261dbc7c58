"""The convolution that some CPUs compute outside of its memory, tried in a process that may die of it.

No torch is imported here: the trial, which imports it too, can begin before and run beside.
"""

from __future__ import annotations

import subprocess
import sys
from functools import cache

PATIENCE = 20.0
"""Seconds after which the trial hangs."""
STRIDED_CONVOLUTION = """
import torch
for _ in range(30):
    image = torch.ones(4, 4, 32, 40).contiguous(memory_format=torch.channels_last)
    weight = torch.ones(8, 4, 1, 1, requires_grad=True)
    torch.nn.functional.conv2d(image, weight, stride=2).sum().backward()
    blocks = [bytearray(37 * index % 900 + 16) for index in range(300)]
    assert (weight.grad == 4 * 16 * 20).all()
"""
"""A program that dies, hangs or computes wrongly where runtime.breaks_channels_last matters."""


@cache
def begin() -> subprocess.Popen[bytes]:
    """Begin the trial, once; it ends by itself, also where it hangs and nobody waits for it."""
    end = f"import faulthandler; faulthandler.dump_traceback_later({PATIENCE}, exit=True)"
    command = [sys.executable, "-c", f"{end}\n{STRIDED_CONVOLUTION}"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def is_sound() -> bool:
    """Whether the convolution is computed as it should be; waits for the trial."""
    return begin().wait() == 0
