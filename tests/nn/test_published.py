"""Weights from a file or from a hub; the libraries of the hub are not installed here, and so are played."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from synthcp.errors import InputError, MissingExtraError, WeightsError
from synthcp.nn.catalogue import new_trunk
from synthcp.nn.published import load_published, published_weights
from synthcp.nn.trunk import Trunk, TrunkShape
from synthcp.system.files import save_tensors


def trunk(seed: int = 0) -> Trunk:
    torch.manual_seed(seed)
    return new_trunk("resnet18", TrunkShape(2, width=4))


def equal(ours: Trunk, theirs: Trunk) -> bool:
    return all(value.equal(theirs.state_dict()[key]) for key, value in ours.state_dict().items())


def test_a_file_is_loaded(tmp_path: Path) -> None:
    source, other = trunk(), trunk(1)
    save_tensors(tmp_path / "w.safetensors", source.state_dict())
    assert not equal(source, other)
    load_published(other, tmp_path / "w.safetensors", "")
    assert equal(source, other)


def test_weights_of_another_network_are_refused_by_their_file(tmp_path: Path) -> None:
    save_tensors(tmp_path / "w.safetensors", {"conv1.weight": torch.zeros(1)})
    with pytest.raises(
        WeightsError, match=r"w.safetensors: weights do not fit ResNet-18: missing .*; use a state dict"
    ):
        load_published(trunk(), tmp_path / "w.safetensors", "resnet18")


def played_torchvision(name: str, weights: dict[str, Tensor]) -> SimpleNamespace:
    default = SimpleNamespace(get_state_dict=lambda progress: weights)
    return SimpleNamespace(
        models=SimpleNamespace(get_model_weights={name: SimpleNamespace(DEFAULT=default)}.__getitem__)
    )


def test_the_hub_of_most_trunks_is_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    source, other = trunk(), trunk(1)
    monkeypatch.setitem(sys.modules, "torchvision", played_torchvision("resnet18", source.state_dict()))
    load_published(other, "hub", "resnet18")
    assert equal(source, other)


@pytest.mark.parametrize(("name", "asked"), [("efficientnet_lite0", "tf_efficientnet_lite0"), ("timm:hrnet", "hrnet")])
def test_that_of_others_is_timm(monkeypatch: pytest.MonkeyPatch, name: str, asked: str) -> None:
    class Timm:
        @staticmethod
        def create_model(name: str, pretrained: bool) -> torch.nn.Module:
            assert name == asked and pretrained
            return torch.nn.Linear(1, 1, bias=False)

    monkeypatch.setitem(sys.modules, "timm", Timm)
    assert list(published_weights("hub", name)) == ["weight"]


def test_a_hub_that_cannot_be_reached_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> None:
        raise OSError("no route\nto host")

    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace(models=SimpleNamespace(get_model_weights=fails)))
    told = r"^the hub has no weights of vgg16 \(OSError: no route to host\); give a safetensors file instead$"
    with pytest.raises(InputError, match=told):
        published_weights("hub", "vgg16")


@pytest.mark.parametrize("name", ["resnet18", "timm:hrnet"])
def test_a_missing_library_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for library in ("torchvision", "timm"):
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=r"is not installed; it comes with: pip install \"synthcp\[zoo\]\""):
        published_weights("hub", name)


def test_the_hub_must_be_told_of_which_trunk() -> None:
    with pytest.raises(InputError, match="'hub' are those of a trunk by its name; name the trunk, such as resnet50"):
        published_weights("hub", "")
