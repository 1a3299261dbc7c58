"""What the doctor looks at, and what a check finds: one line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch

from synthcp.config.scales import SCALES
from synthcp.config.values import choose
from synthcp.data.base import Dataset
from synthcp.data.specs import open_dataset
from synthcp.errors import InputError, SynthCPError
from synthcp.segmentation.catalogue import BUILT_IN, SEGMENTERS

State = Literal["good", "note", "bad"]


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        name: What was looked at.
        state: "good"; "note", worth knowing; or "bad", it stands in the way.
        what: What is there.
        remedy: What to do about it; empty where nothing has to be done.
    """

    name: str
    state: State
    what: str
    remedy: str = ""


@dataclass(frozen=True)
class Scope:
    """What to look at, beside libraries and machine; plain values, which a trial in a process of its own is given too.

    Attributes:
        data: SPEC of a data set.
        every_image: Whether all of its images are read.
        model: SPEC of a model, tried on the data.
        features: Name of the module whose input is f_M; found by itself when empty.
        monitor: Folder of a monitor; empty for none.
        trust_code: Whether its M may be code that is run.
        fit: Whether a fit on the data is tried.
        scale: Of the fit.
        variant: Of the fit.
        config: File that changes single settings of both, as fit takes it; empty for none.
        out: Folder that would be written.
        device: "auto", "cpu", "cuda", ...
        threads: Of torch on the CPU.

    Raises:
        InputError: The scale is unknown, or a model or a fit is to be tried without data.
    """

    data: str = ""
    every_image: bool = False
    model: str = BUILT_IN
    features: str = ""
    monitor: str = ""
    trust_code: bool = False
    fit: bool = False
    scale: str = "small"
    variant: str = "ours"
    config: str = ""
    out: str = "runs"
    device: str = "auto"
    threads: int = field(default_factory=torch.get_num_threads)

    def __post_init__(self) -> None:
        choose(SCALES, self.scale, "scale")
        if not self.data and (self.fit or self.brings_model):
            raise InputError("a model and a fit are tried on images, and none are given; add --data SPEC")

    @property
    def brings_model(self) -> bool:
        """Whether M is no model that a fit trains."""
        return self.model not in SEGMENTERS

    @cached_property
    def dataset(self) -> Dataset:
        """The data set; opened once."""
        return open_dataset(self.data)


Check = Callable[[Scope], Iterable[Finding]]


def attempt(name: str, check: Check, scope: Scope) -> Iterator[Finding]:
    """Give what a check finds; an error in it, of whatever kind, is a finding too."""
    try:
        yield from check(scope)
    except (Exception, SystemExit) as error:  # of the user's own model or files, anything can come
        yield trouble(name, error)


def trouble(name: str, error: BaseException, state: State = "bad") -> Finding:
    """Return an error as a finding; the last part of a message of ours is the remedy."""
    message = " ".join(str(error).split())
    if not isinstance(error, SynthCPError | OSError):
        return Finding(name, state, f"{type(error).__name__}: {message}".rstrip(": "))
    what, _, remedy = message.rpartition("; ")
    return Finding(name, state, what or remedy, remedy if what else "")
