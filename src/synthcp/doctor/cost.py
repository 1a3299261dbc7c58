"""What a fit will cost here: time, memory and disk, reckoned from a fit of a few steps on a few images.

That is tried by this file as a program, in a process whose peak memory is its own; it reads a Scope and prints a Cost,
both as JSON.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from synthcp.config.overrides import read_overrides
from synthcp.config.scales import Scale, scales
from synthcp.config.values import choose
from synthcp.config.variants import VARIANTS, Variant
from synthcp.data.base import Dataset
from synthcp.data.check import check_labels
from synthcp.data.subset import Subset, spread
from synthcp.data.transforms import short_side
from synthcp.doctor.base import Finding, Scope, trouble
from synthcp.doctor.machine import amount, free_disk, free_memory
from synthcp.errors import InputError, SynthCPError
from synthcp.fitting.config import FitConfig
from synthcp.fitting.heads import CONTROLS
from synthcp.fitting.imperfect_sources import HeldOut, KFold
from synthcp.fitting.run import fit
from synthcp.nn.spatial import dims_of

IMAGES, STEPS = 8, 3
OURS = VARIANTS["ours"]
FEWEST = 4
"""Images without which no stage takes two steps."""
PATIENCE = 600.0
"""Seconds that the trial may take."""
LONG = 24 * 3600.0
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Cost:
    """What the trial took.

    Attributes:
        step: Seconds of one step of each training, the fastest, by its name in the progress of a fit.
        image: Seconds to read an image, or to predict it imperfectly, whichever takes longer.
        memory: Peak of the resident memory, in bytes; None when unknown.
        gpu_memory: Peak on the GPU, in bytes.
        prediction: Bytes of one imperfect prediction on disk.
    """

    step: Mapping[str, float]
    image: float
    memory: int | None
    gpu_memory: int
    prediction: int


def check_cost(scope: Scope) -> list[Finding]:
    """Try a fit with its controls, and say what the whole of it will take."""
    dataset = scope.dataset
    if len(dataset) < FEWEST:
        return [Finding("fit", "note", f"{len(dataset)} images are too few to try a fit", f"bring {FEWEST} or more")]
    command = [sys.executable, "-m", "synthcp.doctor.cost"]
    given = json.dumps(asdict(scope))
    try:
        tried = subprocess.run(command, input=given, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        line = f"a few steps took more than {duration(PATIENCE)}"
        return [Finding("fit", "bad", line, "use a smaller --scale, or a GPU")]
    if tried.returncode < 0:
        return [Finding("fit", "bad", f"the trial was killed by signal {-tried.returncode}", "is there enough memory?")]
    if tried.returncode:
        return [trouble("fit", InputError(tried.stderr.strip().rpartition("\n")[2]))]
    return list(_reckoned(Cost(**json.loads(tried.stdout.splitlines()[-1])), scope))


def _reckoned(cost: Cost, scope: Scope) -> Iterator[Finding]:
    (variant, scale), images, fits_model = _chosen(scope), len(scope.dataset), not scope.brings_model
    stages = stage_seconds(cost, scale, images, fits_model, variant)
    total = sum(stages.values())
    line = f"about {duration(total)}: {', '.join(f'{name} {duration(seconds)}' for name, seconds in stages.items())}"
    yield Finding("fit: time", *(("note", line, "use a smaller --scale, or a GPU") if total > LONG else ("good", line)))
    if cost.memory is None:
        yield Finding("fit: memory", "note", "unknown on this system")
    else:
        needed, remedy = cost.memory + images_in_memory(scope.dataset, scale), "use a smaller --scale, or fewer images"
        yield _fits("fit: memory", needed, free_memory(), remedy)
    if cost.gpu_memory:
        yield Finding("fit: GPU", "good", f"about {amount(cost.gpu_memory)} of its memory")
    needed = cost.prediction * images * views(scale, fits_model, variant)
    yield _fits("fit: disk", needed, free_disk(Path(scope.out)), "make room, or write elsewhere: --out DIR")


def stage_seconds(cost: Cost, scale: Scale, images: int, fits_model: bool, variant: Variant = OURS) -> dict[str, float]:
    """Reckon the time of each part of a fit: the steps that it takes, each as long as in the trial.

    Args:
        cost: Of the trial.
        scale: Of the fit.
        images: Of the fit.
        fits_model: Whether M is fitted, too, and again by folds.
        variant: Of the fit.
    """
    model = scale.segmentation.steps * cost.step["segmenter"] if fits_model else 0.0
    folds = scale.folds * variant.fold_seeds * scale.fold_steps
    stages = {
        "M": model,
        "G": scale.gan.steps * cost.step["generator"],
        "imperfect predictions": images * (1 + views(scale, fits_model, variant)) * cost.image + folds * model,
        "F and controls": scale.comparator.steps * sum(cost.step[name] for name in ("comparator", *CONTROLS)),
    }
    return {name: seconds for name, seconds in stages.items() if seconds}


def views(scale: Scale, fits_model: bool, variant: Variant = OURS) -> int:
    """Imperfect predictions of each image."""
    return variant.fold_seeds * (1 + len(variant.early_views) + scale.degraded_views) if fits_model else 1


def images_in_memory(dataset: Dataset, scale: Scale) -> int:
    """Bytes of the images and label maps that a fit holds at the working size, if all are like the first one."""
    image = dataset[0].image
    size = short_side(image.shape[1:], scale.side or min(image.shape[1:]))
    return len(dataset) * (len(image) + 1) * math.prod(size)


def duration(seconds: float) -> str:
    """Say a time in its largest unit: "40 s", "25 min", "3.5 h" or "12 days"."""
    for unit, length, digits in (("days", 86400, 0), ("h", 3600, 1), ("min", 60, 0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.{digits}f} {unit}"
    return f"{seconds:.0f} s"


def _fits(name: str, needed: int, free: int | None, remedy: str) -> Finding:
    line = f"about {amount(needed)}" + ("" if free is None else f"; {amount(free)} are free")
    return Finding(name, "bad", line, remedy) if free is not None and needed > free else Finding(name, "good", line)


def _chosen(scope: Scope) -> tuple[Variant, Scale]:
    """Variant and scale of the fit, with the changes of its file."""
    dims = dims_of(scope.dataset[0].image[None])
    what: str | Variant = scope.variant
    size: str | Scale = scope.scale
    if scope.config:
        what, size = read_overrides(Path(scope.config), scope.variant, scope.scale, dims)
    return (
        choose(VARIANTS, what, "variant") if isinstance(what, str) else what,
        choose(scales(dims), size, "scale") if isinstance(size, str) else size,
    )


class Clock:
    """The progress of a fit that takes the time of its steps, and the size of the files that it leaves on the way."""

    def __init__(self, folder: Path) -> None:
        self.step: dict[str, float] = {}
        self.passes: dict[str, float] = {}
        self.prediction = 0
        self._folder = folder
        self._last = 0.0

    def __call__(self, stage: str, step: int, steps: int, losses: Mapping[str, float]) -> None:
        """Note the time since the last step; the first of a stage prepares it and does not count."""
        taken = time.perf_counter() - self._last
        if step > 1:
            seconds = self.step if losses else self.passes  # a pass over images has no loss
            seconds[stage] = min(seconds.get(stage, math.inf), taken)
        sizes = [path.stat().st_size for path in self._folder.glob("imperfect/*.safetensors")]
        self.prediction = max([self.prediction, *sizes])
        self._last = time.perf_counter()


def try_fit(scope: Scope) -> Cost:
    """Fit on a few images in a few steps.

    Raises:
        InputError: A name is unknown, or the data or the model is unusable.
    """
    torch.set_num_threads(scope.threads)
    few = spread(scope.dataset, IMAGES)
    check_labels(few)
    variant, scale = _chosen(scope)
    variant = replace(variant, score="raw")  # a blend cannot be fitted to so little
    options = FitConfig(variant, _short(scale), device=scope.device, model=scope.model, features=scope.features)
    if scope.brings_model:
        half = len(few) // 2
        options = replace(options, imperfect=HeldOut(Subset(few, range(half, len(few)))))
        few = Subset(few, range(half))
    else:
        options = replace(options, imperfect=KFold(2))
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock(Path(folder))
        fit(few, Path(folder), options, progress=clock)
    on_gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    return Cost(clock.step, max(clock.passes.values()), peak_memory(), on_gpu, clock.prediction)


def _short(scale: Scale) -> Scale:
    trainings = {name: replace(getattr(scale, name), steps=STEPS) for name in ("segmentation", "gan", "comparator")}
    return replace(scale, **trainings)


def peak_memory() -> int | None:
    """Return the peak of this process' resident memory in bytes; None when unknown.

    Linux' getrusage is of no use: a new process inherits the peak of the one that started it.
    """
    lines = _STATUS.read_text().splitlines() if _STATUS.is_file() else []
    peaks = [1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    return peaks[0] if peaks else None


def main() -> None:
    """Read a scope, try its fit, print the cost; an error is one line on stderr and code 1."""
    try:
        print(json.dumps(asdict(try_fit(Scope(**json.load(sys.stdin))))))
    except SynthCPError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
