"""Where and how precisely networks run: device, cores, precision, memory layout, randomness without a history."""

from __future__ import annotations

import hashlib
import math
import os
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from synthcp.errors import InputError

Precision = Literal["fp32", "bf16"]
Module = TypeVar("Module", bound=nn.Module)

BF16_GAIN = 1.2
"""How much faster bf16 must be than fp32 before "auto" takes it."""
SAFE_CHANNELS = 8
"""Input channels from which strided kernels of one pixel are safe on images channels last."""
_CGROUPS, _OWN_CGROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Runtime:
    """One device and one precision for a whole run.

    Attributes:
        device: Where the networks live.
        precision: "bf16" runs convolutions under autocast; "fp32" is the reference.
    """

    device: torch.device
    precision: Precision = "fp32"

    def place(self, module: Module) -> Module:
        """Move a network to the device; kernels of images are stored channels last, which CPUs and GPUs prefer."""
        module.to(self.device)
        for parameter in module.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        for part in module.modules():
            if breaks_channels_last(part) and _in_default_layout not in part._forward_pre_hooks.values():
                part.register_forward_pre_hook(_in_default_layout)
        return module

    def send(self, tensor: Tensor) -> Tensor:
        """Move a tensor to the device, batches of images channels last."""
        tensor = tensor.to(self.device)
        return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context in which networks run at this precision."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)


def breaks_channels_last(module: nn.Module) -> bool:
    """Whether the gradient of a convolution's weights may write outside of its memory on images channels last.

    So it does in torch up to 2.13 at least, on CPUs without AVX-512, of kernels of one pixel with a stride and fewer
    than eight input channels: oneDNN gathers the strided pixels into a block of eight channels
    (github.com/uxlfoundation/oneDNN/issues/6035; `benchmarks/convolutions.py` tells which others are wrong).
    """
    return (
        isinstance(module, nn.Conv2d)
        and max(module.kernel_size) == 1
        and max(module.stride) > 1
        and module.in_channels < SAFE_CHANNELS
    )


def _in_default_layout(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    """Lay an image out anew, also one of a single channel, of which both layouts count as contiguous."""
    return (inputs[0].clone(memory_format=torch.contiguous_format),)


def choose_runtime(device: str = "auto", precision: str = "auto") -> Runtime:
    """Choose device and precision; "auto" takes CUDA where it is, and bf16 where a probe shows that it is faster.

    Raises:
        InputError: The device does not exist here, or the precision is unknown.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen).item()  # "meta" computes nothing
    except (RuntimeError, AssertionError) as error:
        usable = "auto, cpu or cuda" if torch.cuda.is_available() else "auto or cpu"
        raise InputError(f"device {device!r} is not usable here; use {usable}") from error
    if precision == "auto":
        return Runtime(chosen, "bf16" if bf16_gain(chosen) > BF16_GAIN else "fp32")
    if precision not in ("fp32", "bf16"):
        raise InputError(f"precision {precision!r} is unknown; use auto, fp32 or bf16")
    return Runtime(chosen, "bf16" if precision == "bf16" else "fp32")


def bf16_gain(device: torch.device) -> float:
    """Time of a small convolution step in fp32 over its time in bf16, channels last; above 1 means bf16 is faster."""
    fp32, bf16 = (step_seconds(Runtime(device, precision)) for precision in ("fp32", "bf16"))
    return fp32 / bf16


def step_seconds(runtime: Runtime, repeats: int = 3) -> float:
    """Time of a small convolution step, forward and backward: the best of several."""
    network = runtime.place(nn.Sequential(*[nn.Conv2d(64, 64, 3, padding=1) for _ in range(3)]))
    features = runtime.send(torch.ones(2, 64, 48, 64))
    best = float("inf")
    for _ in range(repeats + 1):  # the first pass prepares the kernels; the minimum drops it
        start = time.perf_counter()
        with runtime.autocast():
            network(features).float().mean().backward()
        if runtime.device.type == "cuda":
            torch.cuda.synchronize(runtime.device)
        best = min(best, time.perf_counter() - start)
    return best


def usable_cores() -> int:
    """Cores that this process may use; fewer than the machine has under an affinity mask or a container's quota."""
    mask = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = (limit.split() for limit in cgroup_limits("cpu.max"))
    return min([mask, *(math.ceil(int(quota) / int(period)) for quota, period in quotas)])


def cgroup_limits(name: str) -> list[str]:
    """What a control file (cgroup v2) of this process' group and of the groups above it says, where it limits."""
    own = _OWN_CGROUP.read_text() if _OWN_CGROUP.is_file() else ""
    paths = [line.removeprefix("0::").lstrip("/") for line in own.splitlines() if line.startswith("0::")]
    groups = [group for path in paths for group in (_CGROUPS / path, *(_CGROUPS / path).parents)]
    files = [group / name for group in groups if group.is_relative_to(_CGROUPS) and (group / name).is_file()]
    return [text for text in (file.read_text().strip() for file in files) if not text.startswith("max")]


def seed_of(*parts: str | int) -> int:
    """Return a seed that depends on the parts alone, so that step 500 draws the same numbers after any interruption."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big")


def generator_of(*parts: str | int) -> torch.Generator:
    """Return a CPU generator seeded by the parts."""
    return torch.Generator().manual_seed(seed_of(*parts))
