"""Time of one training step of M, G and F at small scale: fp32 and bf16, with and without channels last.

Run: python benchmarks/precision.py [--steps 3] [--threads N]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from synthcp.config.scales import SCALES
from synthcp.config.variants import VARIANTS
from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.data.working_size import Prepared
from synthcp.monitor.networks import build_generator, build_network, build_segmenter
from synthcp.monitor.settings import MonitorSettings
from synthcp.synthesis.discriminator import DiscriminatorConfig, MultiScaleDiscriminator
from synthcp.system.runtime import Module, Runtime, bf16_gain, choose_runtime
from synthcp.training.comparator import ComparatorTraining, ImperfectExamples
from synthcp.training.gan import GanTraining
from synthcp.training.imperfect_predictions import ImperfectPredictions, Synthesizer
from synthcp.training.loop import Training
from synthcp.training.segmentation import SegmentationTraining

SCALE, CPU = SCALES["small"], torch.device("cpu")


class ChannelsFirst(Runtime):
    """A runtime that leaves the memory layout alone."""

    def place(self, module: Module) -> Module:
        """Move a network to the device."""
        return module.to(self.device)

    def send(self, tensor: Tensor) -> Tensor:
        """Move a tensor to the device."""
        return tensor.to(self.device)


RUNTIMES = {
    "fp32": ChannelsFirst(CPU, "fp32"),
    "fp32 channels last": Runtime(CPU, "fp32"),
    "bf16": ChannelsFirst(CPU, "bf16"),
    "bf16 channels last": Runtime(CPU, "bf16"),
}


def main() -> None:
    """Print seconds per step, and how many times faster than plain fp32 that is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=3, help="the median of so many")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    size = SCALE.side, SCALE.side * 4 // 3
    dataset = Prepared(Scenes(ScenesConfig(count=8, height=size[0], width=size[1])), SCALE.side)
    settings = MonitorSettings(dataset.classes, 3, 2, VARIANTS["ours"], SCALE)
    print(f"seconds per step at {size[0]} x {size[1]} pixels, {arguments.threads} threads\n")
    print(f"{'':4}" + "".join(f"{name:>26}" for name in RUNTIMES))
    with tempfile.TemporaryDirectory() as folder:
        for name, build in BUILDERS.items():
            seconds = [
                time_of(build(settings, dataset, runtime, Path(folder)), arguments.steps)
                for runtime in RUNTIMES.values()
            ]
            print(
                f"{name:4}" + "".join(f"{value:16.2f} ({seconds[0] / value:4.1f} x)" for value in seconds), flush=True
            )
    chosen = choose_runtime("cpu").precision
    print(f"\nprobe: fp32 takes {bf16_gain(CPU):.1f} times as long as bf16; auto chooses {chosen}")


def time_of(training: Training, steps: int) -> float:
    """Return the median seconds of some steps, after one that prepares the kernels."""
    seconds = []
    for step in range(steps + 1):
        start = time.perf_counter()
        training.step(step)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def segmentation(settings: MonitorSettings, dataset: Prepared, runtime: Runtime, folder: Path) -> Training:
    """Return the training of M."""
    return SegmentationTraining(build_segmenter(settings), dataset, SCALE.segmentation, runtime, seed=0)


def gan(settings: MonitorSettings, dataset: Prepared, runtime: Runtime, folder: Path) -> Training:
    """Return the training of G and D, with M's trunk for the perceptual loss."""
    config = DiscriminatorConfig(len(dataset.classes), width=SCALE.discriminator_width)
    discriminator = MultiScaleDiscriminator(2, config)
    features = runtime.place(build_segmenter(settings)).eval().requires_grad_(False).features
    generator = build_generator(settings)
    return GanTraining(
        generator, dataset, SCALE.gan, runtime, seed=0, discriminator=discriminator, perceptual_network=features
    )


def comparator(settings: MonitorSettings, dataset: Prepared, runtime: Runtime, folder: Path) -> Training:
    """Return the training of F, on syntheses by an untrained G of what an untrained M says."""
    imperfect = ImperfectPredictions(folder)
    segmenter = runtime.place(build_segmenter(settings)).eval()
    generators = {"untrained": runtime.place(build_generator(settings)).eval()}
    for index, sample in enumerate(dataset):
        prediction = segmenter.predict("", runtime.send(sample.image[None]))
        imperfect.write("last", index, Synthesizer(segmenter, generators, runtime)(sample.image, prediction))
    examples = ImperfectExamples(dataset, imperfect, ("last",), range(len(dataset)), "untrained")
    return ComparatorTraining(build_network(settings), examples, SCALE.comparator, runtime, seed=0)


BUILDERS: dict[str, Callable[[MonitorSettings, Prepared, Runtime, Path], Training]] = {
    "M": segmentation,
    "G, D": gan,
    "F": comparator,
}


if __name__ == "__main__":
    main()
