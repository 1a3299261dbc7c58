"""A network that is costly to fit: fitted once, then read from the folder of its run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from synthcp.fitting.context import Context
from synthcp.system.files import load_module, save_module
from synthcp.system.runtime import seed_of
from synthcp.training.loop import Training, forget_checkpoint, train

Network = TypeVar("Network", bound=nn.Module)


def fitted_once(
    context: Context, name: str, build: Callable[[], Network], training_of: Callable[[Network], Training], steps: int
) -> Network:
    """Return a network for use, fitted unless its weights are in the folder of the run.

    Args:
        context: The run.
        name: Of the network; its weights are NAME.safetensors.
        build: The network with fresh weights.
        training_of: How it is fitted.
        steps: Of the training.
    """
    torch.manual_seed(seed_of(context.seed, name))
    network = context.runtime.place(build())
    path = context.out / f"{name}.safetensors"
    if not path.exists():
        train(training_of(network), steps, context.out, name, context.seed, context.progress)
        save_module(path, network)
        forget_checkpoint(context.out, name)
    load_module(path, network)
    return network.eval().requires_grad_(False)
