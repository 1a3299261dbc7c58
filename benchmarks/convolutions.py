"""Which convolutions of this torch, on this processor, are wrong or write where they must not.

Every case runs forward and backward, again and again beside small blocks of memory, in a process that may die; its
gradients are compared with those of float64 and with themselves.

Run: python benchmarks/convolutions.py [--dims 2 3] [--seconds 30]
To see what a processor without AVX-512 would do: ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2
"""

from __future__ import annotations

import argparse
import collections
import itertools
import multiprocessing
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
TOLERANCE = {"fp32": 1e-4, "bf16": 4e-2}
"""Of a gradient, relative to its largest value; bfloat16 keeps eight bits."""
LAYOUTS = {"default": (torch.contiguous_format,) * 2, "channels last": (torch.channels_last, torch.channels_last_3d)}
SIZES = {2: (32, 40), 3: (8, 10, 12)}
REPEATS = 8
BATCH = 40


@dataclass(frozen=True)
class Case:
    """One convolution: its kernel, and how it is run."""

    dims: int
    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    dilation: int
    depthwise: bool
    dtype: str
    layout: str
    threads: int

    @property
    def groups(self) -> int:
        """Groups of the convolution."""
        return self.in_channels if self.depthwise else 1


def cases(dims: int) -> Iterator[Case]:
    """Yield every case."""
    shapes = [(1, stride, 1) for stride in (1, 2)] + list(itertools.product((3, 7), (1, 2), (1, 2)))
    runs = list(itertools.product(DTYPES, LAYOUTS, (1, 2)))
    for in_channels, (kernel, stride, dilation) in itertools.product(range(1, 17), shapes):
        plain = [(out_channels, False) for out_channels in (1, 4, 8, 16)]
        for (out_channels, depthwise), run in itertools.product([*plain, (in_channels, True)], runs):
            yield Case(dims, in_channels, out_channels, kernel, stride, dilation, depthwise, *run)


def fault_of(case: Case) -> str:
    """Run a case in this process; return what is wrong, or nothing."""
    torch.set_num_threads(case.threads)
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(4, case.in_channels, *SIZES[case.dims], generator=generator)
    weight = torch.randn(
        case.out_channels, case.in_channels // case.groups, *(case.kernel,) * case.dims, generator=generator
    )
    layout, dtype = LAYOUTS[case.layout][case.dims - 2], DTYPES[case.dtype]
    image, weight = image.to(dtype), weight.to(dtype)
    expected = gradients(case, image.double(), weight.double(), torch.contiguous_format)
    blocks, first = [], None
    for _ in range(REPEATS):
        found = gradients(case, image, weight, layout)
        blocks = [bytearray(37 * index % 900 + 16) for index in range(300)]  # whoever writes beside, hits one
        first = first or found
        if any(not one.equal(other) for one, other in zip(found, first, strict=True)):
            return "differs from itself"
    worst = max(difference(*pair) for pair in zip(first or (), expected, strict=True))
    return f"off by {worst:.0e}" if not worst < TOLERANCE[case.dtype] and blocks else ""


def gradients(case: Case, image: Tensor, weight: Tensor, layout: torch.memory_format) -> tuple[Tensor, Tensor]:
    """Return the gradients of a convolution by image and weights."""
    image, weight = (tensor.clone(memory_format=layout).requires_grad_() for tensor in (image, weight))
    convolve = F.conv2d if case.dims == 2 else F.conv3d
    padding = case.dilation * (case.kernel - 1) // 2
    output = convolve(image, weight, None, case.stride, padding, case.dilation, case.groups)
    output.backward((torch.arange(output.numel()) % 7 - 3).to(output.dtype).reshape(output.shape))
    assert image.grad is not None and weight.grad is not None
    return image.grad, weight.grad


def difference(found: Tensor, expected: Tensor) -> float:
    """Largest difference, relative to the largest value; NaN where anything is not a number."""
    return float((found.double() - expected).abs().max() / expected.abs().max())


def work(batch: list[Case], answers: multiprocessing.SimpleQueue[str]) -> None:
    """Answer for each case of a batch, in order."""
    for case in batch:
        answers.put(fault_of(case))


def faults(batch: list[Case], seconds: float) -> list[tuple[Case, str]]:
    """Run cases in a child; the case in which it dies or hangs is at fault, and the rest goes to another child."""
    answers: multiprocessing.SimpleQueue[str] = multiprocessing.SimpleQueue()
    child = multiprocessing.Process(target=work, args=(batch, answers))
    child.start()
    child.join(seconds)
    ended = not child.is_alive()
    child.kill()
    child.join()
    said = []
    while not answers.empty():
        said.append(answers.get())
    found = [(case, fault) for case, fault in zip(batch, said, strict=False) if fault]
    rest = batch[len(said) :]
    if rest and not ended and len(batch) > 1:  # late is not hung: alone, a case has all the time
        found += faults(rest[:1], seconds) + (faults(rest[1:], seconds) if rest[1:] else [])
    elif rest:
        found.append((rest[0], f"dies ({child.exitcode})" if ended else "hangs"))
        found += faults(rest[1:], seconds) if rest[1:] else []
    elif ended and child.exitcode:
        found.append((batch[-1], f"dies ({child.exitcode}) in the end"))
    return found


def main() -> int:
    """Print the faults, by kind; the exit code is 1 where there is one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dims", type=int, nargs="+", choices=(2, 3), default=[2, 3])
    parser.add_argument("--seconds", type=float, default=30, help="after which a batch of 40 cases hangs")
    arguments = parser.parse_args()
    multiprocessing.set_start_method("fork")
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}", flush=True)
    count = 0
    for dims in arguments.dims:
        everything, found = list(cases(dims)), list[tuple[Case, str]]()
        for start in range(0, len(everything), BATCH):
            for case, fault in faults(everything[start : start + BATCH], arguments.seconds):
                print(f"{fault:24} {case}", flush=True)
                found.append((case, fault))
        kinds = collections.Counter(
            (case.kernel, case.stride, case.dilation, case.depthwise, case.dtype, case.layout) for case, _ in found
        )
        print(f"{dims}D: {len(everything)} cases, {len(found)} faults {dict(kinds)}", flush=True)
        count += len(found)
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
