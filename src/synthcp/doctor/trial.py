"""A fit of a few steps on a few images, as a program of its own whose peak memory is its own: what does a step cost?

It reads a Wish as JSON from its input and prints a Cost as JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from synthcp.config.scales import Scale, scales
from synthcp.config.values import choose
from synthcp.config.variants import VARIANTS
from synthcp.data.base import Dataset
from synthcp.data.check import check_labels
from synthcp.data.specs import open_dataset
from synthcp.data.subset import Subset, spread
from synthcp.errors import SynthCPError
from synthcp.fitting.config import FitConfig
from synthcp.fitting.imperfect import HeldOut, KFold
from synthcp.fitting.run import fit
from synthcp.nn.spatial import dims_of
from synthcp.segmentation.catalogue import BUILT_IN, SEGMENTERS

IMAGES, STEPS = 8, 3
FEWEST = 4
"""Images without which no stage takes two steps."""
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Wish:
    """The fit to be tried; the names are those of `synthcp fit`."""

    data: str
    scale: str = "small"
    model: str = BUILT_IN
    features: str = ""
    device: str = "auto"
    threads: int = 1


@dataclass(frozen=True)
class Cost:
    """What the trial took.

    Attributes:
        seconds: Of one step of each stage, by its name in the progress of a fit: the fastest one.
        memory: Peak of the resident memory, in bytes; None when unknown.
        gpu_memory: Peak on the GPU, in bytes.
        prediction: Bytes of one imperfect prediction on disk.
    """

    seconds: Mapping[str, float]
    memory: int | None
    gpu_memory: int
    prediction: int


class Clock:
    """The progress of a fit that takes the time of its steps, and the size of the files that it leaves on the way."""

    def __init__(self, folder: Path) -> None:
        self.seconds: dict[str, float] = {}
        self.prediction = 0
        self._folder = folder
        self._last = 0.0

    def __call__(self, stage: str, step: int, steps: int, losses: Mapping[str, float]) -> None:
        """Note the time since the last step; the first of a stage prepares it and does not count."""
        now = time.perf_counter()
        if step > 1:
            self.seconds[stage] = min(self.seconds.get(stage, float("inf")), now - self._last)
        sizes = [path.stat().st_size for path in self._folder.glob("imperfect/*.safetensors")]
        self.prediction = max([self.prediction, *sizes])
        self._last = time.perf_counter()


def run_trial(wish: Wish) -> Cost:
    """Fit on a few images in a few steps.

    Raises:
        InputError: A name is unknown, or the data or the model is unusable.
    """
    torch.set_num_threads(wish.threads)
    few = spread(open_dataset(wish.data), IMAGES)
    check_labels(few)
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock(Path(folder))
        fit(*_task(few, wish, Path(folder)), progress=clock)
    on_gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    return Cost(clock.seconds, peak_memory(), on_gpu, clock.prediction)


def peak_memory() -> int | None:
    """Return the peak of this process' resident memory in bytes; None when unknown.

    Linux' getrusage is of no use: a new process inherits the peak of the one that started it.
    """
    lines = _STATUS.read_text().splitlines() if _STATUS.is_file() else []
    peaks = [1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    return peaks[0] if peaks else None


def _task(few: Dataset, wish: Wish, folder: Path) -> tuple[Dataset, Path, FitConfig]:
    variant = replace(VARIANTS["ours"], score="raw")  # a blend cannot be fitted to so little
    sizes = scales(dims_of(few[0].image[None]))
    options = FitConfig(variant, _short(choose(sizes, wish.scale, "scale")), device=wish.device)
    if wish.model in SEGMENTERS:
        return few, folder, replace(options, model=wish.model, imperfect=KFold(2))
    half = len(few) // 2
    seen, held_out = Subset(few, range(half)), Subset(few, range(half, len(few)))
    imperfect = HeldOut(held_out)
    return seen, folder, replace(options, model=wish.model, features=wish.features, imperfect=imperfect)


def _short(scale: Scale) -> Scale:
    return replace(
        scale,
        segmentation=replace(scale.segmentation, steps=STEPS),
        gan=replace(scale.gan, steps=STEPS),
        comparator=replace(scale.comparator, steps=STEPS),
    )


def main() -> None:
    """Read a wish, try it, print its cost; an error is one line on stderr and code 1."""
    try:
        print(json.dumps(asdict(run_trial(Wish(**json.load(sys.stdin))))))
    except SynthCPError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
