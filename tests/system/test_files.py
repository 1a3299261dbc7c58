from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from synthcp.errors import InputError, WeightsError
from synthcp.system.files import (
    load_json,
    load_module,
    load_network,
    load_tensors,
    restore_training_state,
    save_json,
    save_module,
    save_tensors,
    training_state,
)


def fails(error: type[InputError], *texts: str) -> pytest.RaisesExc[InputError]:
    return pytest.raises(error, check=lambda e: "\n" not in str(e) and all(text in str(e) for text in texts))


def test_tensors_and_metadata_come_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "x.safetensors"
    tensors = {
        "half": torch.rand(2, 3).half(),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "channels last": torch.rand(1, 2, 3, 4).contiguous(memory_format=torch.channels_last),
        "scalar": torch.tensor(7),
        "with gradient": torch.rand(2, requires_grad=True),
    }
    save_tensors(path, tensors, {"step": "12"})
    loaded, metadata = load_tensors(path)
    assert metadata == {"step": "12"} and loaded.keys() == tensors.keys()
    assert all(loaded[key].equal(value) and loaded[key].dtype == value.dtype for key, value in tensors.items())


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.safetensors"
    save_tensors(path, {"x": torch.zeros(3)})

    def full_disk(source: Path, target: Path) -> None:
        assert load_tensors(path)[0]["x"].equal(torch.zeros(3))  # until the last moment, the old file
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full_disk)
    with fails(InputError, "x.safetensors cannot be written (no space left)"):
        save_tensors(path, {"x": torch.ones(3)})
    with fails(InputError, "x.json cannot be written"):
        save_json(tmp_path / "x.json", {})
    assert load_tensors(path)[0]["x"].equal(torch.zeros(3))
    assert list(tmp_path.iterdir()) == [path]  # nothing half written is left


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for write in (save_json, save_tensors):
        with fails(InputError, "cannot be written", "choose a folder"):
            write(tmp_path / "file" / "x", {})


def write_cut(path: Path) -> None:
    save_tensors(path, {"x": torch.rand(1000)})
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("write", "text"),
    [
        (lambda path: torch.save({"x": torch.zeros(3)}, path), "is a pickle, which is never loaded"),
        (lambda path: path.write_bytes(pickle.dumps({"x": 1})), "is a pickle, which is never loaded"),
        (lambda path: torch.save({}, path, _use_new_zipfile_serialization=False), "is a pickle, which is never loaded"),
        (write_cut, "is damaged or not a safetensors file"),
        (lambda path: path.write_text("weights"), "is damaged or not a safetensors file"),
        (Path.touch, "is damaged or not a safetensors file"),
        (lambda path: None, "does not exist"),
        (Path.mkdir, "does not exist"),
    ],
)
def test_what_is_no_safetensors_file_is_named(tmp_path: Path, write: Callable[[Path], None], text: str) -> None:
    path = tmp_path / "weights.pth"
    write(path)
    with fails(WeightsError, str(path), text):
        load_tensors(path)


def test_modules_come_back_and_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    network, twin = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    network(torch.rand(2, 3, 4, 4))
    save_module(path, network)
    load_module(path, twin)
    assert all(value.equal(twin.state_dict()[key]) for key, value in network.state_dict().items())
    for other, difference in ((nn.BatchNorm2d(4), "weight"), (nn.BatchNorm2d(3, affine=False), "bias")):
        with fails(WeightsError, str(path), difference):
            load_module(path, other)


@pytest.mark.parametrize(
    "make",
    [
        lambda parameters: SGD(parameters, lr=0.1, momentum=0.9),
        lambda parameters: Adam(parameters, lr=0.1),
        lambda parameters: AdamW(parameters, lr=0.1),
    ],
    ids=["sgd", "adam", "adamw"],
)
def test_training_goes_on_from_its_state_bit_by_bit(tmp_path: Path, make: Callable[[object], Optimizer]) -> None:
    def begin(seed: int) -> tuple[dict[str, nn.Module], dict[str, Optimizer]]:
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, 1, 3))
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return {"m": network}, {"o": make(network.parameters())}

    def go(modules: dict[str, nn.Module], optimizers: dict[str, Optimizer], steps: range) -> None:
        for step in steps:
            torch.manual_seed(step)
            optimizers["o"].zero_grad()
            (modules["m"](torch.rand(2, 2, 8, 8)) - 1).square().mean().backward()
            optimizers["o"].step()

    whole = begin(0)
    go(*whole, range(6))
    half = begin(0)
    go(*half, range(3))
    save_tensors(tmp_path / "state", training_state(*half))
    resumed = begin(1)
    restore_training_state(load_tensors(tmp_path / "state")[0], *resumed)
    go(*resumed, range(3, 6))
    expected, state = training_state(*whole), training_state(*resumed)
    assert expected.keys() == state.keys()
    assert [key for key, value in expected.items() if not value.equal(state[key])] == []


def test_a_network_is_built_only_as_large_as_its_file(tmp_path: Path) -> None:
    def small() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Linear(5, 2))

    path, network = tmp_path / "a.safetensors", small()
    save_module(path, network)
    again = load_network(path, small).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in network.state_dict().items())
    for large in (lambda: nn.Linear(2**20, 2**20), lambda: nn.ModuleList(nn.Linear(512, 512) for _ in range(10**9))):
        with fails(WeightsError, "a.safetensors holds 173 numbers", "a larger network; use the run's own files"):
            load_network(path, large)
    with fails(WeightsError, "does not fit the network (first difference: "):
        load_network(path, lambda: nn.Linear(5, 3))
    with fails(WeightsError, "tell of no network (num_channels"):
        load_network(path, lambda: nn.GroupNorm(3, 5))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": NaN}', "NaN is no number"),
        ('{"a": [1, {"b": 1e999}]}', "1e999 is no number"),
        ('{"a": 9223372036854775808}', "9223372036854775808 is beyond 64 bits"),
        (f'{{"a": {"9" * 5000}}}', "is beyond 64 bits"),
        ('{"a": {"b": 1, "c": 2, "b": 3}}', "the key 'b' comes twice"),
        (f'{{"a": {"[" * 40}{"]" * 40}}}', "nested more than 32 deep"),
        ("[" * 100_000, "nested more than 32 deep"),
        ('{"a": 1', "is missing or not JSON"),
        ("[1]", "holds no JSON object"),
    ],
)
def test_a_json_file_that_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with fails(InputError, str(path), problem, "; give a file written by synthcp"):
        load_json(path)


def test_a_json_file_as_it_is_written_and_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    save_json(path, {"a": [1, -(2**63), 1e-300, None, {"b": "é"}]})
    assert load_json(path) == {"a": [1, -(2**63), 1e-300, None, {"b": "é"}]}
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_json(path)["a"][0] == 1


def test_json_files_that_are_none_or_endless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    for name in ("pipe.json", "nowhere.json", "."):
        with fails(InputError, "is missing or not JSON (no such file)"):
            load_json(tmp_path / name)
    (tmp_path / "x.json").write_text(" " * 100 + "{}")
    monkeypatch.setattr("synthcp.system.files.LARGEST_JSON", 50)
    with fails(InputError, "x.json has 102 bytes, a JSON file has at most 50"):
        load_json(tmp_path / "x.json")
