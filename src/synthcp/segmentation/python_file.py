"""file.py:factory and pkg.mod:factory, a function of the user's own that returns the model."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from torch import nn

from synthcp.errors import InputError
from synthcp.segmentation.loaded import LoadedNetwork
from synthcp.system.spec import choices, path_of


def load_factory(place: str, name: str) -> LoadedNetwork:
    """Call a factory without arguments.

    Args:
        place: A Python file, or the name of a module that can be imported.
        name: Of the factory in there; a module (torch.nn.Module) of this name is taken as it is.

    Raises:
        InputError: There is no such file, module or factory, it fails, or returns nothing that can be called.
    """
    spec = f"{place}:{name}"
    with _folder_of(place):
        module = _imported(place)
        factory = getattr(module, name, None)
        if not callable(factory):
            known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
            raise InputError(f"{spec}: {place} has no function {name!r}; {choices(name, known)}")
        try:
            network = factory if isinstance(factory, nn.Module) else factory()
        except (Exception, SystemExit) as error:  # the user's own code may raise anything, and end the program
            raise InputError(f"{spec} raised {_told(error)}; it is called without arguments") from error
    if not callable(network):
        raise InputError(f"{spec} returned {type(network).__name__}; return the model, a callable from image to logits")
    return LoadedNetwork(network)


def _imported(place: str) -> ModuleType:
    path = path_of(place)
    if place.endswith(".py") and not path.is_file():
        raise InputError(f"{path}: no such file; paths begin at the current folder, {Path.cwd()}")
    try:
        if not place.endswith(".py"):
            return importlib.import_module(place)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        remedy = "check the name and the folder" if isinstance(error, ModuleNotFoundError) else "make it importable"
        raise InputError(f"{place} cannot be imported: it raised {_told(error)}; {remedy}") from error
    return module


@contextmanager
def _folder_of(place: str) -> Iterator[None]:
    """Let a file import its neighbours, as when it is run by itself."""
    folder = str(path_of(place).resolve().parent)
    if place.endswith(".py"):
        sys.path.insert(0, folder)
    try:
        yield
    finally:
        if place.endswith(".py"):
            sys.path.remove(folder)


def _told(error: BaseException) -> str:
    """An error in one line, with the place where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}"
