"""From a model's own classes to those of the data, such as from Cityscapes' 34 label ids to its 19 training classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from synthcp.errors import InputError, ShapeError
from synthcp.records import Classes
from synthcp.system.files import load_json
from synthcp.system.spec import choices

EXAMPLE = '{"7": "road", "8": "sidewalk", "9": null}'


@dataclass(frozen=True)
class ClassMapping:
    """Which of a model's classes make up each class of the data.

    Attributes:
        outputs: Number of the model's classes; 0 where a model only says which class it found.
        sources: For each class of the data, the indices of the model's classes.
        note: What was decided without being asked, for the user to know; empty when nothing was.
    """

    outputs: int
    sources: tuple[tuple[int, ...], ...]
    note: str = ""

    @property
    def is_identity(self) -> bool:
        """Whether the model's classes are those of the data."""
        return self.sources == tuple((index,) for index in range(self.outputs or len(self.sources)))

    def logits(self, raw: Tensor) -> Tensor:
        """Return logits of the data's classes; classes that are one in the data add their probabilities.

        Args:
            raw: The model's logits, shape (B, outputs, *S).

        Returns:
            Shape (B, L, *S): for each class the logarithm of the sum of exp over its sources.

        Raises:
            ShapeError: The model gives another number of classes.
        """
        if raw.shape[1] != self.outputs:
            raise ShapeError(f"the model gives {raw.shape[1]} classes, and gave {self.outputs} when it was opened")
        if self.is_identity:
            return raw
        return torch.stack([raw[:, list(source)].logsumexp(dim=1) for source in self.sources], dim=1)

    def label_map(self, labels: Tensor, ignore_index: int) -> Tensor:
        """Return class indices of the data for those of the model; a class of the model that no class takes is ignored.

        Args:
            labels: int64, not negative.
            ignore_index: Value of the ignored pixels.
        """
        if self.is_identity:
            return labels
        mapped = torch.full_like(labels, ignore_index)  # a table by label would be as long as the largest label says
        for index, source in enumerate(self.sources):
            for label in source:
                mapped[labels == label] = index
        return mapped


def choose_mapping(outputs: int, names: Sequence[str], classes: Classes, file: Path | None = None) -> ClassMapping:
    """Decide how a model's classes become those of the data: by a file, by their names, or one by one.

    Args:
        outputs: Number of the model's classes.
        names: What the model calls its classes; empty when it does not say.
        classes: Of the data.
        file: JSON of the mapping, from a class of the model (its index or name) to the name of a class of the data, or
            to null; classes of the model that it leaves out are dropped like those mapped to null.

    Raises:
        InputError: The file is unusable, or without one the classes of both do not agree.
    """
    if file is not None:
        return ClassMapping(outputs, read_mapping(file, classes, outputs, names))
    by_name = _by_name(names, classes)
    for label, index in _shared(by_name):
        raise InputError(
            f"class {index} of the model, {names[index]!r}, is by its name two classes of the data, one of them "
            f"{classes.names[label]!r}; rename one, or add ?mapping=FILE.json, such as {EXAMPLE}"
        )
    if all(by_name):
        mapping = ClassMapping(outputs, tuple(by_name))
        note = f"the {len(classes)} classes of the data were found by name among the {outputs} of the model"
        return mapping if mapping.is_identity else replace(mapping, note=note)
    if outputs != len(classes):
        raise InputError(
            f"the model gives {outputs} classes, the data has {len(classes)}; add ?mapping=FILE.json, from each class "
            f"of the model to one of the data, such as {EXAMPLE}, or bring a model of the data's classes"
        )
    for index, found in enumerate(by_name):
        if found and index not in found:
            raise InputError(
                f"class {index} of the data is {classes.names[index]!r}, which the model has as its class {found[0]}, "
                f"but it does not know all of the data's classes by name; add ?mapping=FILE.json, such as {EXAMPLE}"
            )
    return ClassMapping(outputs, tuple((index,) for index in range(outputs)))


def read_mapping(
    file: Path, classes: Classes, outputs: int = 0, names: Sequence[str] = ()
) -> tuple[tuple[int, ...], ...]:
    """Read the sources of each class of the data from JSON (see choose_mapping); 0 outputs are any number.

    Raises:
        InputError: The file is missing or no JSON, names an unknown class, or leaves a class of the data without any.
    """
    sources: list[list[int]] = [[] for _ in classes.names]
    for key, name in load_json(file, f"write a mapping such as {EXAMPLE}").items():
        index = _model_class(file, str(key), outputs, names)
        if name is None:
            continue
        if name not in classes.names:
            raise InputError(f"{file}: the data has no class {name!r}; {choices(str(name), classes.names)}")
        _require_free(file, index, classes.names, sources)
        sources[classes.names.index(name)].append(index)
    for name, source in zip(classes.names, sources, strict=True):
        if not source:
            raise InputError(f"{file}: no class of the model becomes {name!r}; map at least one to each of the data's")
    return tuple(map(tuple, sources))


def _require_free(file: Path, index: int, names: Sequence[str], sources: Sequence[Sequence[int]]) -> None:
    """A class of the model becomes one class of the data, even if it is named twice: by "7", "07" and its name."""
    taken = next((name for name, source in zip(names, sources, strict=True) if index in source), None)
    if taken is not None:
        raise InputError(
            f"{file} maps class {index} of the model twice, first to {taken!r}; a class becomes one; keep one"
        )


def _model_class(file: Path, key: str, outputs: int, names: Sequence[str]) -> int:
    """The index of a class of the model that is given by index or by name."""
    if list(names).count(key) > 1:
        raise InputError(f"{file}: {key!r} is the name of several of the model's classes; write the index of each")
    if key in names:
        return list(names).index(key)
    if not key.isdecimal():
        known = choices(key, names) if names else "write its index"
        raise InputError(f"{file}: the model has no class {key!r}; {known}")
    if outputs and int(key) >= outputs:
        raise InputError(f"{file}: the model has no class {key}; its {outputs} classes are 0 to {outputs - 1}")
    return int(key)


def _by_name(names: Sequence[str], classes: Classes) -> list[tuple[int, ...]]:
    """For each class of the data, the model's classes of that name; capitals, "-" and "_" do not count."""
    plain = [_plain(name) for name in names]
    return [tuple(i for i, name in enumerate(plain) if name == _plain(wanted)) for wanted in classes.names]


def _shared(by_name: Sequence[Sequence[int]]) -> Iterator[tuple[int, int]]:
    """Classes of the data, each with a class of the model that an earlier one has too."""
    taken = set[int]()
    for label, source in enumerate(by_name):
        yield from ((label, index) for index in source if index in taken)
        taken |= set(source)


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("-", " ").replace("_", " ").split())
