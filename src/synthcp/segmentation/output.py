"""What a model returns: logits, or what an activation made of them; and how that becomes logits again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from synthcp.errors import DataError, InputError
from synthcp.segmentation.base import EPSILON, log_probabilities

Output = Literal["logits", "probabilities", "sigmoid", "log_probabilities"]
"""Logits; probabilities that sum to 1 over the classes; one probability a class, or of the second class alone; or the
logarithm of one of these."""
OUTPUTS: tuple[Output, ...] = get_args(Output)

Last = Literal["", "linear", "activation"]
"""What an output came out of: unknown, a convolution or linear layer, or an activation such as a softmax."""
MOVING = tuple("Alias Clone Flip Permute Slice Squeeze ToCopy Transpose Unsqueeze Upsample View".split())
LINEAR = ("Addmm", "Bmm", "Convolution", "Mm", "Mkldnn", "SlowConv", "ThnnConv")
ACTIVATIONS = ("Hardsigmoid", "LogSigmoid", "LogSoftmax", "Sigmoid", "Softmax")
"""How the names of torch's gradients begin, of what only moves or resizes and of these two."""

TOLERANCE = 1e-3
"""By which a sum of probabilities may miss 1."""
ROUGH = 3e-2
"""The same in bfloat16."""
IN_WORDS: dict[Output, str] = {
    "logits": "logits",
    "probabilities": "probabilities that sum to 1",
    "sigmoid": "probabilities of a sigmoid",
    "log_probabilities": "logarithms of probabilities",
}


def last_operation(output: Tensor) -> Last:
    """Tell from its gradient what an output came out of, leaving aside what only moves or resizes it."""
    node: Any = output.grad_fn
    while node is not None and node.name().startswith(MOVING):
        node = node.next_functions[0][0]
    name = "" if node is None else node.name()
    return "linear" if name.startswith(LINEAR) else "activation" if name.startswith(ACTIVATIONS) else ""


def told_output(scores: Sequence[Tensor], last: Last = "") -> Output:
    """Tell from what a model says of several images what it returns.

    What comes out of a linear layer are logits. Numbers in [0, 1] are the probabilities of a sigmoid where they come
    out of an activation, or take both sides of one half: as the logit of one channel they would say one class.

    Args:
        scores: What it says of each, shape (B, K, *s), float32; an image with a number that is not finite is left out.
        last: What the scores came out of, as far as it is known.

    Raises:
        InputError: These are class indices, or it cannot be told.
    """
    if last == "linear":
        return "logits"
    known = [part for part in scores if bool(part.isfinite().all())]
    low, high = min(float(part.min()) for part in known), max(float(part.max()) for part in known)
    several = scores[0].shape[1] > 1
    if not several and low >= 0 and high > 1 and all(torch.equal(part, part.round()) for part in known):
        raise InputError(f"the model gives class indices up to {high:g}; return logits, before any argmax")
    if several and low >= 0 and all(_sums_to_one(part) for part in known):
        return "probabilities"
    if several and high <= TOLERANCE and all(_sums_to_one(part.exp()) for part in known):
        return "log_probabilities"
    if 0 <= low and high <= 1 and (last == "activation" or low < 0.5 < high):
        return "sigmoid"
    if not several and high <= 0 and last == "activation":
        return "log_probabilities"
    if (0 <= low and high <= 1) or (not several and high <= 0):
        raise _question(several, low, high)
    return "logits"


def is_plain(scores: Tensor, last: Last) -> bool:
    """Whether one image is enough to see that these are logits."""
    return last == "linear" or float(scores.min()) < 0 < float(scores.max())


def as_logits(scores: Tensor, output: Output) -> Tensor:
    """Return logits, shape (B, L, *s), of what a model returns, shape (B, K, *s); one channel tells two classes apart.

    That channel is of the second class, and the first has the logit 0.

    Raises:
        DataError: The scores are none of this kind.
    """
    _check(scores, output)
    one = scores.shape[1] == 1
    if output == "log_probabilities" and one:
        scores = scores.exp()
    if output == "sigmoid" or (one and output != "logits"):
        scores = scores.clamp(EPSILON, 1 - EPSILON).logit()
    elif output == "probabilities":
        scores = log_probabilities(scores.clamp(0, 1))
    return torch.cat([torch.zeros_like(scores), scores], dim=1) if one else scores


def _check(scores: Tensor, output: Output) -> None:
    low, high = float(scores.detach().min()), float(scores.detach().max())
    inside = {
        "logits": True,
        "probabilities": low >= -ROUGH and high <= 1 + ROUGH,
        "sigmoid": low >= -ROUGH and high <= 1 + ROUGH,
        "log_probabilities": high <= ROUGH,
    }
    sums = output != "probabilities" or scores.shape[1] == 1 or _sums_to_one(scores, ROUGH)
    if not (inside[output] and sums):
        raise DataError(
            f"the model returns numbers from {low:.4g} to {high:.4g}, which are no longer {IN_WORDS[output]}; "
            f"say what it returns: ?output={'|'.join(OUTPUTS)}"
        )


def _sums_to_one(scores: Tensor, tolerance: float = TOLERANCE) -> bool:
    total = scores.sum(dim=1)
    return bool(((total - 1).abs() <= tolerance).all())


def _question(several: bool, low: float, high: float) -> InputError:
    channels = "several channels" if several else "one channel"
    return InputError(
        f"the model gives {channels} of numbers from {low:.4g} to {high:.4g} for several images, logits or "
        f"probabilities; say which: ?output={'|'.join(OUTPUTS)}"
    )
