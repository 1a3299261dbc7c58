"""What a fit will cost here: time, memory and disk, reckoned from a trial of a few steps."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from synthcp.config.scales import Scale, scales
from synthcp.config.values import choose
from synthcp.config.variants import VARIANTS
from synthcp.data.base import Dataset
from synthcp.data.transforms import short_side
from synthcp.doctor.findings import Finding, trouble
from synthcp.doctor.machine import amount, free_disk, free_memory
from synthcp.doctor.trial import FEWEST, Cost, Wish
from synthcp.errors import InputError
from synthcp.fitting.heads import CONTROLS
from synthcp.nn.spatial import dims_of
from synthcp.segmentation.catalogue import SEGMENTERS

PATIENCE = 600.0
"""Seconds that the trial may take."""
LONG = 24 * 3600.0


def check_cost(wish: Wish, dataset: Dataset, out: Path) -> list[Finding]:
    """Try a fit of the variant ours, with controls, and say what the whole of it will take.

    Args:
        wish: The fit.
        dataset: The images of the fit.
        out: Where it would be written.

    Raises:
        InputError: The scale is unknown.
    """
    scale = choose(scales(dims_of(dataset[0].image[None])), wish.scale, "scale")
    if len(dataset) < FEWEST:
        return [Finding("fit", "note", f"{len(dataset)} images are too few to try a fit", f"bring {FEWEST} or more")]
    command = [sys.executable, "-m", "synthcp.doctor.trial"]
    try:
        tried = subprocess.run(
            command, input=json.dumps(asdict(wish)), capture_output=True, text=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        line = f"a few steps took more than {duration(PATIENCE)}"
        return [Finding("fit", "bad", line, "use a smaller --scale, or a GPU")]
    if tried.returncode:
        return [_failed(tried)]
    cost = Cost(**json.loads(tried.stdout.splitlines()[-1]))
    built_in = wish.model in SEGMENTERS
    return [
        _time(stage_seconds(cost, scale, len(dataset), built_in)),
        *_memory(cost, images_in_memory(dataset, scale)),
        _disk(cost.prediction * len(dataset) * views(scale, built_in), out),
    ]


def stage_seconds(cost: Cost, scale: Scale, images: int, built_in: bool) -> dict[str, float]:
    """Reckon the time of each part of a fit: the steps that it takes, each as long as in the trial.

    Args:
        cost: Of the trial.
        scale: Of the fit.
        images: Of the fit.
        built_in: Whether M is fitted, too, and again by folds.
    """
    step = cost.seconds
    prediction = max(seconds for stage, seconds in step.items() if stage.endswith("predictions"))
    folds = scale.folds * VARIANTS["ours"].fold_seeds * scale.fold_steps
    judges = step["comparator"] + sum(step[name] for name in CONTROLS)
    fitted = {"M": scale.segmentation.steps * step["segmenter"]} if built_in else {}
    return {
        **fitted,
        "G": scale.gan.steps * step["generator"],
        "imperfect predictions": images * (step["read"] + views(scale, built_in) * prediction)
        + folds * fitted.get("M", 0.0),
        "F and controls": scale.comparator.steps * judges,
    }


def views(scale: Scale, built_in: bool) -> int:
    """Imperfect predictions of each image."""
    variant = VARIANTS["ours"]
    return variant.fold_seeds * (1 + len(variant.early_views) + scale.degraded_views) if built_in else 1


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


def _time(stages: dict[str, float]) -> Finding:
    total = sum(stages.values())
    line = f"about {duration(total)}: {', '.join(f'{name} {duration(seconds)}' for name, seconds in stages.items())}"
    if total > LONG:
        return Finding("fit: time", "note", line, "use a smaller --scale, or a GPU")
    return Finding("fit: time", "good", line)


def _memory(cost: Cost, images: int) -> list[Finding]:
    gpu = [Finding("fit: GPU", "good", f"about {amount(cost.gpu_memory)} of its memory")] if cost.gpu_memory else []
    if cost.memory is None:
        return [Finding("fit: memory", "note", "unknown on this system"), *gpu]
    remedy = "use a smaller --scale, or fewer images"
    return [_fits("fit: memory", cost.memory + images, free_memory(), remedy), *gpu]


def _disk(needed: int, out: Path) -> Finding:
    return _fits("fit: disk", needed, free_disk(out), "make room, or write elsewhere: --out DIR")


def _fits(name: str, needed: int, free: int | None, remedy: str) -> Finding:
    line = f"about {amount(needed)}" + ("" if free is None else f"; {amount(free)} are free")
    return Finding(name, "bad", line, remedy) if free is not None and needed > free else Finding(name, "good", line)


def _failed(tried: subprocess.CompletedProcess[str]) -> Finding:
    if tried.returncode < 0:
        return Finding("fit", "bad", f"the trial was killed by signal {-tried.returncode}", "is there enough memory?")
    return trouble("fit", InputError(tried.stderr.strip().rpartition("\n")[2]))
