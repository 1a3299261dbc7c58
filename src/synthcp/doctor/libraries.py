"""The libraries: are they there, new enough, sound?"""

from __future__ import annotations

import importlib.util
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from synthcp.doctor.base import Finding, Scope

PURPOSES = {
    "medical": "volumes",
    "crf": "the MSP + CRF detector",
    "export": "ONNX models",
    "smiyc": "score files for SegmentMeIfYouCan",
    "hf": "models of Hugging Face",
    "hub": "monitors on the Hugging Face hub",
    "serve": "a monitor behind HTTP",
    "zoo": "models of torchvision, timm and smp",
}
"""What a user gets by each extra; "dev" and "all" are left out."""

MALICIOUS = {"lightning": ("2.6.2", "2.6.3")}
"""Releases that steal credentials (GHSA-w37p-236h-pfx3)."""


def needed(_: Scope) -> Iterator[Finding]:
    """Find a Python, or a library that everything needs, that is missing or too old."""
    try:
        wanted = str(metadata("synthcp")["Requires-Python"])
    except PackageNotFoundError:
        line = "synthcp runs from its source and is not installed, so that nothing says which versions it needs"
        yield Finding("libraries", "note", line, "pip install -e .")
        return
    python, libraries = platform.python_version(), _requirements()
    flaws = [Finding(one.name, "bad", _flaw(one), f'pip install "{one.name}{one.specifier}"') for one in libraries]
    if not SpecifierSet(wanted).contains(python, prereleases=True):
        yield Finding("python", "bad", f"is {python} (needed: {wanted})", "make an environment of a newer Python")
    yield from (finding for finding in flaws if finding.what)
    if not any(finding.what for finding in flaws):
        yield Finding("libraries", "good", f"Python {python} and the {len(libraries)} libraries that everything needs")


def extras(_: Scope) -> Iterator[Finding]:
    """Tell which extras are there; one that is not is no flaw, one that is too old is."""
    for extra, purpose in PURPOSES.items():
        wrong = {one.name: _flaw(one) for one in _requirements(extra) if _flaw(one)}
        if wrong:
            line = ", ".join(f"{name} {flaw}" for name, flaw in wrong.items())
            old = any(_installed(name) for name in wrong)
            remedy = f'pip install "synthcp[{extra}]"'
            yield Finding(f"extra {extra}", "note" if old else "good", f"{line} ({purpose})", remedy)
        else:
            yield Finding(f"extra {extra}", "good", f"is there ({purpose})")


def malicious(_: Scope) -> Iterator[Finding]:
    """Find releases that are known to be malicious, without importing them."""
    for name, releases in MALICIOUS.items():
        if _installed(name) in releases:
            what = "is a malicious release, which steals credentials as soon as it is imported"
            remedy = f"pip uninstall {name}; renew every password and token that this account can read"
            yield Finding(name, "bad", f"{name} {_installed(name)} {what}", remedy)


def torchvision(_: Scope) -> Iterator[Finding]:
    """Find a torchvision that does not import; it is tried in a process of its own, so that nothing of it stays."""
    if importlib.util.find_spec("torchvision") is None:
        return
    tried = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, text=True)
    if tried.returncode:
        reason = (tried.stderr.strip().splitlines() or [f"the import ended with code {tried.returncode}"])[-1]
        what = f"installed, but does not import ({reason}); torchmetrics and transformers fail with it"
        remedy = "pip uninstall torchvision, or install its build for this torch, from the index that torch came from"
        yield Finding("torchvision", "bad", what, remedy)


def _requirements(extra: str = "") -> list[Requirement]:
    """What an extra adds; without one, what everything needs."""
    requirements = [Requirement(text) for text in requires("synthcp") or []]
    plain = [one for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})]
    if not extra:
        return plain
    return [one for one in requirements if one not in plain and one.marker and one.marker.evaluate({"extra": extra})]


def _flaw(requirement: Requirement) -> str:
    """What is wrong with an installed library; empty when nothing is."""
    installed = _installed(requirement.name)
    if not installed:
        return "is not installed"
    if requirement.specifier.contains(installed, prereleases=True):
        return ""
    return f"is {installed} (needed: {requirement.specifier})"


def _installed(name: str) -> str:
    """The version of a library; empty when there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
