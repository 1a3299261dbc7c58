"""Peak memory of judging one large volume with a monitor of scale `small`, each size in a process of its own.

The monitor is untrained, which costs as much as a trained one: U-Net, SPADE and F of the variant `ours` with its fused
anomaly score, three classes, one channel. The volume is noise, so that every class is predicted somewhere. Memory is
the peak resident set of the process, libraries included; seconds are those of the processor.

Run: OMP_NUM_THREADS=1 python benchmarks/volume_memory.py [--sizes 128x128x96 512x512x96] [--limit 8]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import torch

from synthcp.comparison.anomaly_fusion import AnomalyFusion
from synthcp.comparison.blend import Blend
from synthcp.config.scales import VOLUME_SCALES
from synthcp.config.variants import VARIANTS
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.networks import build_generator, build_network, build_segmenter
from synthcp.monitor.settings import Learnt, MonitorSettings
from synthcp.records import Classes
from synthcp.segmentation.catalogue import SEGMENTERS
from synthcp.segmentation.settings import ModelSettings
from synthcp.system.runtime import choose_runtime

GB = 1e9 / (1024 if sys.platform != "darwin" else 1)  # the unit of ru_maxrss is KiB, on macOS bytes


def main() -> None:
    """Measure every size in a fresh process, and fail where one needs more than the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["128x128x96", "512x512x96"], metavar="XxYxZ")
    parser.add_argument("--limit", type=float, default=8.0, help="in GB, which no size may exceed")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measured(size_of(arguments.measure))))
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
    for size in arguments.sizes:
        command = [sys.executable, __file__, "--measure", size]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"{size:>12}: peak {found['peak']:.2f} GB, {found['seconds']:.0f} s of the processor", flush=True)
        if found["peak"] > arguments.limit:
            sys.exit(f"{size} needs more than {arguments.limit:g} GB")


def size_of(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split("x")))


def measured(size: tuple[int, ...]) -> dict[str, float]:
    """Peak memory in GB and seconds of the processor of one assessment."""
    monitor, volume = untrained_monitor(), torch.rand(1, *size)
    start = time.process_time()
    monitor.assess(volume, "volume")
    seconds = time.process_time() - start
    return {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / GB, "seconds": seconds}


def untrained_monitor() -> Monitor:
    """A monitor of volumes as a fit leaves it, but for the weights."""
    torch.manual_seed(0)
    settings = MonitorSettings(
        classes=Classes(("background", "organ", "lesion"), ((0, 0, 0), (0, 120, 0), (200, 0, 0))),
        channels=1,
        spatial_dims=3,
        variant=VARIANTS["ours"],
        scale=VOLUME_SCALES["small"],
        learnt=Learnt(Blend(), AnomalyFusion((0.5, -1.0, -1.0, -1.0, 0.0), (0.2, 1.0, 1.0, 1.0, 1.0))),
        model=ModelSettings("unet", layers=SEGMENTERS["unet"].layers),
    )
    runtime = choose_runtime("cpu", "fp32")
    return Monitor(settings, build_segmenter(settings), build_generator(settings), build_network(settings), runtime)


if __name__ == "__main__":
    main()
