"""Files, written whole or not at all: weights and training states as safetensors, never a pickle, records as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from synthcp.errors import InputError, WeightsError, is_disk_full


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name a file, the rule and the remedy when it cannot be written.

    Raises:
        InputError: The body fails for want of a right, of room or of a legal name.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        problem = getattr(error, "strerror", None) or " ".join(str(error).split())
        full = is_disk_full(error)
        remedy = "make room there" if full else "choose a folder that you may write to, or choose another name"
        raise InputError(f"{path} cannot be written ({problem}); {remedy}") from error


@contextmanager
def replace_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path beside a file, which takes the file's place in one step once all is written.

    A reader sees the old file or the new one. The temporary name is hidden and ends like that of the file.

    Raises:
        InputError: The folder cannot be written.
    """
    temporary = path.with_name(f".{os.getpid()}.partial.{path.name}")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink()


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as safetensors, whole or not at all; errors as replace_whole."""
    contiguous = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    with replace_whole(path) as temporary:
        save_file(contiguous, temporary, dict(metadata or {}))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata.

    Raises:
        WeightsError: The file is missing, is not a safetensors file (a pickle, say), or is damaged.
    """
    if not path.is_file():
        raise WeightsError(f"{path} does not exist; give a safetensors file")
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path} {_diagnosis(path)}") from error


def _diagnosis(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(2)
    if head[:1] == b"\x80" or head == b"PK":
        convert = "safetensors.torch.save_file(torch.load(FILE, weights_only=True), NEW_FILE)"
        return f"is a pickle, which is never loaded because it can run code; convert it once: {convert}"
    return "is damaged or not a safetensors file; restore it or fit again"


def save_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, file names as the disk has them, whole or not at all; errors as replace_whole."""
    with replace_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")


def save_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write an object as JSON, whole or not at all.

    Raises:
        InputError: A number in it is not finite, or the folder cannot be written.
    """
    try:
        text = json.dumps(value, indent=2, allow_nan=False)
    except ValueError as error:
        raise InputError(f"{path} cannot hold a number that is not finite; fit again, with finite settings") from error
    save_text(path, f"{text}\n")


def load_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: The file is missing or holds no JSON object, or a number in it is not finite.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is missing or not JSON ({error}); give a file written by synthcp") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} holds no JSON object; give a file written by synthcp")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def save_module(path: Path, module: nn.Module) -> None:
    """Write the weights of a network."""
    save_tensors(path, module.state_dict())


def load_module(path: Path, module: nn.Module) -> None:
    """Read the weights of a network.

    Raises:
        WeightsError: The file is missing, damaged, or made for another network.
    """
    tensors, _ = load_tensors(path)
    wrong = first_difference(module, tensors)
    if wrong:
        raise WeightsError(f"{path} does not fit the network (first difference: {wrong}); use the run's own file")
    module.load_state_dict(tensors)


def first_difference(module: nn.Module, tensors: Mapping[str, Tensor]) -> str:
    """Return the first name at which weights do not fit a network; empty when all do."""
    expected = module.state_dict()
    wrong = sorted(tensors.keys() ^ expected.keys()) or [
        name for name, value in expected.items() if value.shape != tensors[name].shape
    ]
    return wrong[0] if wrong else ""


def training_state(modules: Mapping[str, nn.Module], optimizers: Mapping[str, Optimizer]) -> dict[str, Tensor]:
    """Flatten networks and optimizers into named tensors, enough to continue training bit for bit."""
    tensors = {
        f"module/{name}/{key}": value for name, module in modules.items() for key, value in module.state_dict().items()
    }
    for name, optimizer in optimizers.items():
        for index, values in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{name}/{index}/{key}": torch.as_tensor(value) for key, value in values.items()}
    return tensors


def restore_training_state(
    tensors: Mapping[str, Tensor], modules: Mapping[str, nn.Module], optimizers: Mapping[str, Optimizer]
) -> None:
    """Put back what training_state flattened."""
    for name, module in modules.items():
        prefix = f"module/{name}/"
        module.load_state_dict({key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)})
    for name, optimizer in optimizers.items():
        _restore_optimizer(name, optimizer, tensors)


def _restore_optimizer(name: str, optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    prefix = f"optimizer/{name}/"
    for key, value in tensors.items():
        if key.startswith(prefix):
            index, entry = key.removeprefix(prefix).split("/")
            parameter = parameters[int(index)]
            # moments take the parameter's memory layout, as in a run that was never interrupted
            like = torch.empty_like(parameter) if value.shape == parameter.shape else torch.empty_like(value)
            optimizer.state[parameter][entry] = like.detach().copy_(value)
