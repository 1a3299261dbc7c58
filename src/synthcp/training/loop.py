"""The training loop: step, report, checkpoint; continues after a kill with the weights it would have had anyway."""

from __future__ import annotations

import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from synthcp.errors import DataError, SynthCPError
from synthcp.system.files import load_tensors, restore_training_state, save_tensors, training_state
from synthcp.system.progress import Progress, silent
from synthcp.system.run_folder import PICTURES, STEPS, checkpoint_path
from synthcp.system.runtime import seed_of

CHECKPOINT_SECONDS = 20.0
TAUGHT = "taught"
"""In a checkpoint: whether a batch had a pixel with a class."""


@dataclass(frozen=True)
class Stage:
    """One training of a run.

    Attributes:
        folder: Of the run; the checkpoint, metrics.jsonl and pictures/ go there.
        name: Unique within the run.
        seed: Of the run.
        progress: Called after every step.
    """

    folder: Path
    name: str
    seed: int = 0
    progress: Progress = silent

    @property
    def checkpoint(self) -> Path:
        """Where the state of the training is kept until it is forgotten."""
        return checkpoint_path(self.folder, self.name)

    def forget(self) -> None:
        """Remove the checkpoint, once what is wanted of the training is written."""
        self.checkpoint.unlink(missing_ok=True)

    def note(self, step: int, losses: Mapping[str, float]) -> None:
        """Add the losses of a step to metrics.jsonl."""
        line = {"stage": self.name, "step": step, **{name: round(value, 5) for name, value in losses.items()}}
        with (self.folder / STEPS).open("a") as file:
            file.write(json.dumps(line) + "\n")


class Training(ABC):
    """What the loop needs to know of a training: its parts, and what one step does.

    Attributes:
        modules: The networks being trained and their averages, by name.
        optimizers: By name.
        average: An average of the trained network that is kept in its place; None keeps the network.
        pictures: Number of pictures to draw on the way, at equal distances; the last one at the end.
    """

    modules: dict[str, nn.Module]
    optimizers: dict[str, Optimizer]
    average: nn.Module | None = None
    pictures: int = 0

    @abstractmethod
    def step(self, step: int) -> dict[str, float]:
        """Do step number `step`, drawing all randomness from its number, and return the losses by name.

        A batch without a pixel that has a class teaches nothing: it changes nothing, and there are no losses.
        """

    def picture(self, path: Path) -> None:  # noqa: B027
        """Draw the state of training for a person; networks without pictures draw none."""


def train(training: Training, steps: int, stage: Stage) -> None:
    """Train for a number of steps, resuming from the checkpoint of the stage if it is there.

    Every step seeds the global generator with (seed, stage, step), so what it draws depends on no history. The
    checkpoint stays until the stage forgets it: the caller first saves what it wants to keep.

    Args:
        training: The parts and the step.
        steps: Total number of steps, those before an interruption included.
        stage: Which training of the run this is.

    Raises:
        SynthCPError: A loss became NaN or infinite.
        DataError: Not one batch had a pixel with a class.
    """
    saved = time.monotonic()
    done, taught = _resumed(training, stage.checkpoint)
    for step in range(done, steps):
        torch.manual_seed(seed_of(stage.seed, stage.name, step))
        losses = training.step(step)
        taught = taught or bool(losses)
        _require_finite(losses, stage.name, step)
        stage.progress(stage.name, step + 1, steps, losses)
        if step % 10 == 0:
            stage.note(step, losses)
        if training.pictures and (step + 1) % max(1, steps // training.pictures) == 0:
            training.picture(stage.folder / PICTURES / f"{stage.name.replace('/', '-')}-{step + 1:06d}.png")
        if time.monotonic() - saved > CHECKPOINT_SECONDS or step + 1 == steps:
            state = training_state(training.modules, training.optimizers)
            save_tensors(stage.checkpoint, state, {"step": str(step + 1), TAUGHT: str(taught)})
            saved = time.monotonic()
    if not taught:
        stage.forget()  # else a fit with mended labels would take it up
        raise DataError(
            f"{stage.name}: no pixel of its {steps} batches has a class, so nothing was learnt; label more pixels, or "
            "correct the ignore index"
        )


def _resumed(training: Training, checkpoint: Path) -> tuple[int, bool]:
    """The number of steps that were done before, whose result the training takes up, and whether one taught."""
    if not checkpoint.exists():
        return 0, False
    tensors, metadata = load_tensors(checkpoint)
    restore_training_state(tensors, training.modules, training.optimizers)
    return int(metadata["step"]), metadata[TAUGHT] == str(True)


def linear_decay(step: int, steps: int, start: float) -> float:
    """Return the factor of the learning rate: 1 until the share `start` of the steps, then linearly to 0."""
    return min(1.0, (steps - step) / max(1.0, steps * (1 - start)))


def polynomial_decay(step: int, steps: int) -> float:
    """Return the factor of the learning rate (1 - step / steps) ** 0.9, DeepLab's "poly"."""
    return math.pow(1 - step / steps, 0.9)


def set_learning_rate(optimizer: Optimizer, learning_rate: float) -> None:
    """Set one learning rate for all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def descend(optimizer: Optimizer, loss: Tensor) -> None:
    """Take one step down the gradient of a loss."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, step: int, decay: float) -> None:
    """Move the exponential average of the weights towards the network; it starts short and lengthens up to `decay`.

    Statistics (of batch and spectral norms) are copied: an average of unit vectors is none.
    """
    weight = 1 - min(decay, (1 + step) / (10 + step))
    for mean, value in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(value, weight)
    for kept, buffer in zip(average.buffers(), network.buffers(), strict=True):
        kept.copy_(buffer)


def _require_finite(losses: Mapping[str, float], stage: str, step: int) -> None:
    for name, value in losses.items():
        if not math.isfinite(value):
            raise SynthCPError(f"{stage}: {name} became {value} at step {step}; lower the learning rate and fit again")
