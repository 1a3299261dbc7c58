from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from synthcp.errors import InputError
from synthcp.system import runtime
from synthcp.system.runtime import Runtime, cgroup_limits, choose_runtime, generator_of, seed_of, usable_cores

CPU = torch.device("cpu")


def test_seeds_stay_what_they_are() -> None:
    assert seed_of(0, "segmenter", 7) == 48690910076868455
    assert seed_of("0/segmenter/7") == seed_of(0, "segmenter", 7)


def test_seeds_differ_and_fit_a_generator() -> None:
    seeds = {seed_of(seed, stage, step) for seed in range(3) for stage in ("a", "b") for step in range(50)}
    assert len(seeds) == 300 and max(seeds) < 2**56
    assert generator_of(0, "a", 1).initial_seed() == seed_of(0, "a", 1)
    assert not torch.rand(4, generator=generator_of(0)).equal(torch.rand(4, generator=generator_of(1)))


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "cpu:x", "", "mps:3"])
@pytest.mark.parametrize(("cuda", "usable"), [(False, "auto or cpu"), (True, "auto, cpu or cuda")])
def test_devices_that_are_not_here(monkeypatch: pytest.MonkeyPatch, device: str, cuda: bool, usable: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    with pytest.raises(InputError, match=f"is not usable here; use {usable}$") as caught:
        choose_runtime(device, "fp32")
    assert "\n" not in str(caught.value)


def test_unknown_precision() -> None:
    with pytest.raises(InputError, match="precision 'fp16' is unknown; use auto, fp32 or bf16"):
        choose_runtime("cpu", "fp16")


@pytest.mark.parametrize(("gain", "precision"), [(0.3, "fp32"), (1.1, "fp32"), (4.0, "bf16")])
def test_auto_takes_bf16_where_it_is_faster(gain: float, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "bf16_gain", lambda device: gain)
    assert choose_runtime("cpu") == Runtime(CPU, "bf16" if precision == "bf16" else "fp32")


def test_the_probe_measures_something() -> None:
    assert runtime.bf16_gain(CPU) > 0


def test_kernels_and_batches_of_images_lie_channels_last() -> None:
    here = Runtime(CPU)
    assert here.place(nn.Conv2d(4, 6, 3)).weight.is_contiguous(memory_format=torch.channels_last)
    assert here.place(nn.Conv3d(4, 6, 3)).weight.is_contiguous()
    image = torch.rand(2, 4, 5, 6)
    assert here.send(image).is_contiguous(memory_format=torch.channels_last) and here.send(image).equal(image)
    assert here.send(torch.rand(2, 4, 3, 5, 6)).is_contiguous()


STRIDED_KERNELS_OF_ONE_PIXEL = """
import sys, torch
from torch import nn
from synthcp.system.runtime import Runtime

here, (threads, channels) = Runtime(torch.device("cpu")), map(int, sys.argv[1:])
torch.set_num_threads(threads)
first, strided = nn.Conv2d(3, channels, 3, padding=1), nn.Conv2d(channels, 8, 1, stride=2, bias=False)
network = here.place(nn.Sequential(first, strided))
image, weight = here.send(torch.rand(4, 3, 32, 40)), network[1].weight
for _ in range(30):
    weight.grad = None
    features = network[0](image).detach()
    network[1](features).square().sum().backward()
    blocks = [bytearray(37 * index % 900 + 16) for index in range(300)]  # whoever writes beside, hits one
seen = features[..., ::2, ::2].double()
output = torch.einsum("oi,bihw->bohw", weight[..., 0, 0].double(), seen)
expected = 2 * torch.einsum("bohw,bihw->oi", output, seen)
torch.testing.assert_close(weight.grad[..., 0, 0].double(), expected, rtol=1e-4, atol=1e-4)
"""


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("channels", [1, 4, 7])
def test_strided_kernels_of_one_pixel_write_nowhere_else(threads: int, channels: int) -> None:
    """On processors without AVX-512, which the two variables have every other one behave like."""
    oldest = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, "-c", STRIDED_KERNELS_OF_ONE_PIXEL, str(threads), str(channels)]
    ended = subprocess.run(command, env=os.environ | oldest, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast_runs_convolutions_at_the_precision(precision: runtime.Precision, dtype: torch.dtype) -> None:
    here = Runtime(CPU, precision)
    with here.autocast():
        assert nn.Conv2d(1, 1, 3)(torch.rand(1, 1, 5, 5)).dtype == dtype


@pytest.fixture
def control_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put this process into a control group, with a file of this name in some of the groups."""
    monkeypatch.setattr(runtime, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(runtime, "_OWN_CGROUP", tmp_path / "own")

    def put(own: str, name: str = "cpu.max", **limits: str) -> None:
        (tmp_path / "own").write_text(f"4:memory:/other\n0::/{own}\n")
        for group, text in limits.items():
            folder = tmp_path / "cgroup" / group.replace("_", "/")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(f"{text}\n")

    return put


@pytest.mark.parametrize(
    ("mask", "limits", "cores"),
    [
        (8, {}, 8),
        (8, {"job": "max 100000"}, 8),
        (8, {"job": "300000 100000"}, 3),
        (8, {"job": "max 100000", "job_step": "250000 100000"}, 3),  # two and a half
        (8, {"job": "200000 100000", "job_step": "500000 100000"}, 2),  # the group above limits too
        (8, {"job": "20000 100000"}, 1),
        (2, {"job": "600000 100000"}, 2),
        (8, {"other": "100000 100000"}, 8),  # not ours
    ],
)
def test_usable_cores_are_those_of_mask_and_quota(
    control_group: Callable[..., None], monkeypatch: pytest.MonkeyPatch, mask: int, limits: dict[str, str], cores: int
) -> None:
    control_group("job/step", **limits)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(mask)), raising=False)
    assert usable_cores() == cores


def test_the_limits_of_a_container_are_at_the_root(control_group: Callable[..., None], tmp_path: Path) -> None:
    control_group("")
    (tmp_path / "cgroup").mkdir()
    (tmp_path / "cgroup" / "memory.max").write_text("7000\n")
    assert cgroup_limits("memory.max") == ["7000"] and cgroup_limits("cpu.max") == []


def test_without_control_groups_and_masks_every_core_is_usable(
    control_group: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert cgroup_limits("cpu.max") == [] and usable_cores() == 5
