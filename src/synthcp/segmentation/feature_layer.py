"""Where f_M is found: the input of M's last layer, which one forward finds and a hook reads.

The layer is searched by what it does, not by its name. Layers that give as many channels as there are classes come
into question; each is silenced in turn, from the last to the first. A layer whose silence changes nothing has no say
(an auxiliary head). A layer in whose silence M says the same of every image is the one through which everything passes.
"""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from synthcp.errors import InputError, ShapeError

LOGITS = "logits"
"""Name under which the logits themselves stand in for f_M."""

REMEDY = "say whose input is f_M with --features MODULE, or take the logits with --features logits"
CONVOLUTIONS: dict[int, tuple[type[nn.Module], type[nn.Module]]] = {
    2: (nn.Conv2d, nn.ConvTranspose2d),
    3: (nn.Conv3d, nn.ConvTranspose3d),
}


@dataclass(frozen=True)
class Call:
    """One layer at work: its name, itself, and what it was given; None when it gives no classes."""

    name: str
    module: nn.Module
    input: Tensor | None


@torch.no_grad()
def find_feature_layer(network: nn.Module, logits_of: Callable[[Tensor], Tensor], image: Tensor, logits: Tensor) -> str:
    """Find the name of the module whose input is f_M.

    Args:
        network: In which to search, in eval mode.
        logits_of: From an image to the logits that the network gives.
        image: A normalised image, shape (1, C, *S).
        logits: Of the image, shape (1, outputs, *s).

    Raises:
        InputError: No layer will do, or it is not clear which.
    """
    other = torch.randn(image.shape, generator=torch.Generator().manual_seed(0)).to(image)
    calls = _traced(network, logits_of, image, logits.shape[1])
    in_question = list[str]()
    for call in reversed(calls):
        if call.input is None:
            if in_question:  # a layer before it would not hand over classes but features
                break
            continue
        with _silenced([peer.module for peer in calls if peer.input is call.input]):
            silent = logits_of(image)
            if torch.equal(silent, logits):
                continue
            if torch.equal(silent, logits_of(other)):
                return call.name
        in_question.append(call.name)
    raise _question(list(dict.fromkeys(reversed(in_question))), logits.shape[1])


def named_layer(network: nn.Module, name: str) -> nn.Module:
    """Return the module of a name.

    Raises:
        InputError: There is none.
    """
    modules = dict(network.named_modules())
    if not name or name not in modules:
        close = difflib.get_close_matches(name, modules, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"its parts are {', '.join(_children(network))};"
        raise InputError(f"the model has no module {name!r}; {hint} {REMEDY}")
    return network.get_submodule(name)


@contextmanager
def inputs_of(module: nn.Module | None) -> Iterator[list[object]]:
    """Collect what a module is given while the context is open."""
    seen: list[object] = []
    with ExitStack() as stack:
        if module is not None:
            hook = partial(_first, seen.append)
            stack.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)
        yield seen


def feature_map(given: object, module: nn.Module | None, name: str, image: Tensor) -> Tensor:
    """Bring what a module was given into the shape of a feature map.

    Args:
        given: Shape (B, K, *s); of a linear layer (B, *s, K), or (B, N, K) with the N places in reading order.
        module: Which was given it; None where it is an output of the model.
        name: Of the module.
        image: That the model was given, shape (B, C, *S).

    Returns:
        Shape (B, K, *s).

    Raises:
        ShapeError: This is no feature map of the image.
    """
    if not isinstance(given, Tensor) or not given.is_floating_point():
        raise ShapeError(f"{name} is given no feature map but {type(given).__name__}; {REMEDY}")
    features: Tensor = given.to(image.device)
    if features.shape[0] != image.shape[0]:
        batch, came = image.shape[0], features.shape[0]
        raise ShapeError(f"{name} is given features of a batch of {came} for a batch of {batch}; {REMEDY}")
    channels_last = isinstance(module, nn.Linear | nn.LayerNorm)
    if features.ndim == 3:
        grid = folded(features.shape[1], tuple(image.shape[2:]))
        if grid:
            features, channels_last = features.reshape(len(features), *grid, -1), True
    if features.ndim != image.ndim:
        shape = tuple(features.shape)
        raise ShapeError(f"{name} is given features of shape {shape}, which do not lie on the image; {REMEDY}")
    return features.movedim(-1, 1) if channels_last else features


def folded(places: int, size: tuple[int, ...]) -> tuple[int, ...]:
    """Return the grid of so many places that has the aspect of the image; () when there is none.

    >>> folded(12, (48, 64))
    (3, 4)
    """
    stride = (math.prod(size) / places) ** (1 / len(size))
    sides = [side / stride for side in size]
    grids = itertools.product(*((math.floor(side), math.ceil(side)) for side in sides))
    fits = [grid for grid in grids if math.prod(grid) == places]
    return min(fits, key=lambda grid: max(abs(a - b) for a, b in zip(grid, sides, strict=True)), default=())


def _traced(network: nn.Module, logits_of: Callable[[Tensor], Tensor], image: Tensor, outputs: int) -> list[Call]:
    """The layers that work on an image, in order, with the input of those that give so many channels."""
    calls: list[Call] = []

    def keep(name: str, module: nn.Module, given: Tensor) -> None:
        width = module.out_features if isinstance(module, nn.Linear) else module.out_channels
        calls.append(Call(name, module, given if width == outputs else None))

    layers = (*CONVOLUTIONS[image.ndim - 2], nn.Linear)
    with ExitStack() as stack:
        for name, module in network.named_modules():
            if isinstance(module, layers):
                hook = partial(_first, partial(keep, name, module))
                stack.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)
        logits_of(image)
    return calls


def _first(keep: Callable[[Any], object], _: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
    """A hook that keeps the first thing a module is given."""
    keep(next(iter([*args, *kwargs.values()]), None))


@contextmanager
def _silenced(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Let modules give zeros while the context is open."""
    with ExitStack() as stack:
        for module in modules:
            handle = module.register_forward_hook(lambda module, args, output: torch.zeros_like(output))
            stack.callback(handle.remove)
        yield


def _children(network: nn.Module) -> list[str]:
    return [name for name, _ in network.named_children()] or ["none"]


def _question(names: Sequence[str], outputs: int) -> InputError:
    if not names:
        return InputError(f"no layer of the model is seen to give its {outputs} classes; {REMEDY}")
    several = "no one of them decides alone" if len(names) > 1 else "it does not decide alone"
    return InputError(f"the model's last layer could be {' or '.join(names)}, but {several}; {REMEDY}")
