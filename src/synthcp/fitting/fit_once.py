"""A network that is costly to fit: fitted once, then read from the folder of its run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from synthcp.fitting.context import Context
from synthcp.system.files import load_module, save_module
from synthcp.system.run_folder import weights_path
from synthcp.system.runtime import seed_of
from synthcp.training.loop import Stage, Training, train

Network = TypeVar("Network", bound=nn.Module)


def fit_once(
    path: Path,
    build: Callable[[], Network],
    training_of: Callable[[Network], Training],
    steps: int,
    stage: Stage,
) -> Network:
    """Return a network for use, with the weights of a file; unless it is there, they are fitted and written.

    Args:
        path: Of the weights.
        build: The network with fresh weights, where it will run.
        training_of: How it is fitted.
        steps: Of the training.
        stage: Which training of the run this is; its checkpoint is forgotten once the weights are written.
    """
    network = build()
    if not path.exists():
        training = training_of(network)
        train(training, steps, stage)
        save_module(path, network if training.average is None else training.average)
        stage.forget()
    load_module(path, network)
    return network.eval().requires_grad_(False)


def fitted_once(
    context: Context, name: str, build: Callable[[], Network], training_of: Callable[[Network], Training], steps: int
) -> Network:
    """Return a network of a run for use, fitted unless its weights are in the folder.

    Args:
        context: The run.
        name: Of the network and of its stage; its weights are NAME.safetensors.
        build: The network with fresh weights.
        training_of: How it is fitted.
        steps: Of the training.
    """

    def placed() -> Network:
        torch.manual_seed(seed_of(context.seed, name))
        return context.runtime.place(build())

    return fit_once(weights_path(context.out, name), placed, training_of, steps, context.stage(name))
