"""Files, written whole or not at all: weights and training states as safetensors, never a pickle, records as JSON."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.overrides import TorchFunctionMode

from synthcp.errors import InputError, SynthCPError, WeightsError, is_disk_full

Network = TypeVar("Network", bound=nn.Module)
Shapes = Mapping[str, tuple[int, ...]]

FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn}
"""What makes the tensors of a network; the size comes first, or by this name."""

LARGEST_JSON = 2**26
"""Bytes of a JSON file."""
DEEPEST_JSON = 32
"""Objects and lists inside each other."""
TOO_DEEP = f"it is nested more than {DEEPEST_JSON} deep"

LARGEST_WEIGHT = 1e18
"""Of a network that works: the square of a larger one, as normalisations take it, is no float32."""


@contextmanager
def writing(path: Path, rule: str = "") -> Iterator[None]:
    """Name a file, the rule and the remedy when it cannot be written.

    Args:
        path: Of the file.
        rule: What else must be known, with "; " in front.

    Raises:
        InputError: The body fails for want of a right, of room or of a legal name.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        problem = getattr(error, "strerror", None) or " ".join(str(error).split())
        full = is_disk_full(error)
        remedy = "make room there" if full else "choose a folder that you may write to, or choose another name"
        raise InputError(f"{path} cannot be written ({problem}){rule}; {remedy}") from error


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


def load_tensors(path: Path, *, finite: bool = True) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata.

    Args:
        path: Of a safetensors file.
        finite: Whether every number must be one that a network can work with; results may be NaN where undefined.

    Raises:
        WeightsError: The file is missing, is not a safetensors file (a pickle, say), is damaged, or holds a number that
            is NaN, infinite or beyond LARGEST_WEIGHT.
    """
    with _opened(path) as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = dict(file.metadata() or {})
    if finite:
        require_weights(str(path), tensors)
    return tensors, metadata


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A safetensors file to read from; errors as load_tensors."""
    if not path.is_file():
        raise WeightsError(f"{path} does not exist; give a safetensors file")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path} {_diagnosis(path)}") from error


def require_weights(owner: str, tensors: Mapping[str, Tensor]) -> None:
    """Refuse numbers that no network can work with.

    Args:
        owner: Whose they are, for the message: a file or a model.
        tensors: By name; those of whole numbers are passed over.

    Raises:
        WeightsError: A number is NaN, infinite or beyond LARGEST_WEIGHT.
    """
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not tensor.numel():
            continue
        if not bool(tensor.detach().abs().amax() <= LARGEST_WEIGHT):  # neither is NaN
            wrong = int((~(tensor.abs() <= LARGEST_WEIGHT)).sum())
            raise WeightsError(
                f"{owner} holds {wrong} numbers in {name} that are NaN, infinite or beyond {LARGEST_WEIGHT:g}; weights "
                "are finite; restore them or fit again"
            )


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


def load_json(
    path: Path, remedy: str = "give a file written by synthcp", error: type[InputError] = InputError
) -> dict[str, Any]:
    """Read a JSON object; arguments as read_json.

    Raises:
        InputError: As read_json, or the file holds no JSON object.
    """
    value = read_json(path, remedy, error)
    if not isinstance(value, dict):
        raise error(f"{path} holds no JSON object {{...}}; {remedy}")
    return value


def read_json(path: Path, remedy: str, error: type[InputError] = InputError) -> Any:
    """Read a JSON file; every one is read here.

    Args:
        path: Of the file.
        remedy: What to do when it is unusable.
        error: Of the kind that is raised.

    Raises:
        InputError: The file is missing, too large or no JSON (see parse_json).
    """
    if not path.is_file():
        raise error(f"{path} is missing or not JSON (no such file); {remedy}")
    if path.stat().st_size > LARGEST_JSON:
        raise error(f"{path} has {path.stat().st_size} bytes, a JSON file has at most {LARGEST_JSON}; {remedy}")
    try:
        return parse_json(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as problem:
        raise error(f"{path} is missing or not JSON ({problem}); {remedy}") from problem


def parse_json(text: str) -> Any:
    """Return what a JSON text holds.

    Raises:
        ValueError: It is no JSON, a number in it is not finite or beyond 64 bits, a key comes twice in one object, or
            it is nested more than DEEPEST_JSON deep.
    """
    try:
        value = json.loads(
            text, parse_constant=_finite, parse_float=_finite, parse_int=_whole, object_pairs_hook=_object
        )
    except RecursionError as error:
        raise ValueError(TOO_DEEP) from error
    _check_depth(value)
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is no number")
    return number


def _whole(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
        raise ValueError(f"{text[:40]} is beyond 64 bits")
    return int(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    for key in content if len(content) < len(pairs) else ():
        if sum(key == other for other, _ in pairs) > 1:
            raise ValueError(f"the key {key[:40]!r} comes twice")
    return content


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST_JSON):
        parts = [part.values() if isinstance(part, dict) else part for part in level if isinstance(part, dict | list)]
        level = [item for items in parts for item in items]
    if level:
        raise ValueError(TOO_DEEP)


def save_module(path: Path, module: nn.Module) -> None:
    """Write the weights of a network."""
    save_tensors(path, module.state_dict())


def load_network(path: Path, build: Callable[[], Network]) -> Network:
    """Build a network and read its weights; nothing is allocated that the file has no weights for.

    Args:
        path: Of the weights.
        build: The network with fresh weights.

    Raises:
        WeightsError: The file is missing, damaged, or made for another network, or no network can be built.
    """
    stored = _stored_numbers(path)
    try:
        with AtMost(2 * stored + 2**20):  # of some weights a copy is normalised
            network = build()
    except SynthCPError:
        raise
    except MemoryError as error:
        raise WeightsError(
            f"{path} holds {stored} numbers, the settings beside it tell of a larger network; use the run's own files"
        ) from error
    except Exception as error:  # whatever torch says of sizes that do not go together
        problem = " ".join(str(error).split())[:200]
        raise WeightsError(f"{path}: the settings beside it tell of no network ({problem}); restore them") from error
    load_module(path, network)
    return network


class AtMost(TorchFunctionMode):
    """While it is entered, torch makes no more numbers than these; raises MemoryError instead.

    Args:
        numbers: In all tensors together.
    """

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.left = numbers

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of torch; of those that make tensors, the numbers are counted first."""
        if func in FACTORIES:
            size = (kwargs or {}).get("size", args[0] if args and isinstance(args[0], tuple | list) else args)
            self.left -= math.prod(side for side in size if isinstance(side, int))
            if self.left < 0:
                raise MemoryError
        return func(*args, **(kwargs or {}))


def _stored_numbers(path: Path) -> int:
    """How many numbers a file holds, by its header alone; errors as load_tensors."""
    with _opened(path) as file:
        return sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118


def load_module(path: Path, module: nn.Module) -> None:
    """Read the weights of a network.

    Raises:
        WeightsError: The file is missing, damaged, or made for another network.
    """
    tensors, _ = load_tensors(path)
    _require_fit(path, module, shapes_of(tensors))
    module.load_state_dict(tensors)


def _require_fit(path: Path, module: nn.Module, shapes: Shapes) -> None:
    wrong = first_difference(module, shapes)
    if wrong:
        raise WeightsError(f"{path} does not fit the network (first difference: {wrong}); use the run's own file")


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor, by its name."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def first_difference(module: nn.Module, shapes: Shapes) -> str:
    """Return the first name at which weights of these shapes do not fit a network; empty when all do."""
    expected = shapes_of(module.state_dict())
    wrong = sorted(shapes.keys() ^ expected.keys()) or [
        name for name, shape in expected.items() if shape != shapes[name]
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
