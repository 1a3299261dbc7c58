"""Fingerprints of weights: whether M is still the one that a monitor was fitted to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn


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
