"""A network as its maker left it, before it is adapted to the data, and the fingerprint of its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from synthcp.segmentation.input_size import InputSize
from synthcp.segmentation.output import Last, Output

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class LoadedNetwork:
    """A network, how images are shown to it, and how what it says is read.

    Attributes:
        network: From a normalised image (B, C, *S) to its output, in any of the forms that adapters.logits_in reads.
        class_names: What it calls its classes, in their order; empty when it does not say.
        mean: To which it wants images normalised, per channel; one number serves all.
        std: Likewise.
        features: Where f_M is: a module, whose input it is, an entry of the output, or "logits"; searched when empty.
        fingerprint: Of its file; None takes that of its parameters.
        input_size: At which size it sees an image.
        mapping: JSON file from its classes to those of the data (see class_mapping.choose_mapping).
        output: What it returns (see output.told_output); told by itself when None.
        last: What its output comes out of, where its graph says so and its gradient does not.
    """

    network: Callable[[Tensor], object]
    class_names: tuple[str, ...] = ()
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    features: str = ""
    fingerprint: str | None = None
    input_size: InputSize = InputSize()
    mapping: Path | None = None
    output: Output | None = None
    last: Last = ""

    @property
    def weights_fingerprint(self) -> str:
        """The fingerprint of its file, or of its parameters; "" where its weights cannot be seen."""
        if self.fingerprint is not None:
            return self.fingerprint
        return fingerprint_of_module(self.network) if isinstance(self.network, nn.Module) else ""


def fingerprint_of_module(module: nn.Module) -> str:
    """Return a digest of the names and values of all parameters and buffers; "" when there are none."""
    state = module.state_dict()
    digest = hashlib.blake2b(digest_size=16)
    for name, value in sorted(state.items()):
        if torch.is_tensor(value):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest() if state else ""


def fingerprint_of_files(paths: Iterable[Path]) -> str:
    """Return a digest of the contents of files."""
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).digest())
    return digest.hexdigest()
