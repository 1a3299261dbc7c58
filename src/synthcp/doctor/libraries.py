"""The libraries: are they there, new enough, sound?"""

from __future__ import annotations

import importlib.util
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from synthcp.doctor.findings import Finding

PURPOSES = {
    "medical": "volumes",
    "crf": "the MSP + CRF detector",
    "export": "ONNX models",
    "smiyc": "score files for SegmentMeIfYouCan",
    "hf": "models of Hugging Face",
    "zoo": "models of torchvision, timm and smp",
}
"""What a user gets by each extra; "dev" and "all" are left out."""

MALICIOUS = {"lightning": ("2.6.2", "2.6.3")}
"""Releases that steal credentials (GHSA-w37p-236h-pfx3)."""


def check_libraries() -> list[Finding]:
    """Check Python, the libraries that SynthCP needs, its extras, and what is known to do harm."""
    try:
        needed = requires("synthcp") or []
        wanted = str(metadata("synthcp")["Requires-Python"])
    except PackageNotFoundError:
        line = "synthcp runs from its source and is not installed, so that nothing says which versions it needs"
        return [Finding("libraries", "note", line, "pip install -e ."), *malicious_libraries(), *torchvision()]
    requirements = [Requirement(text) for text in needed]
    return [
        _python(wanted),
        *_core([requirement for requirement in requirements if _applies(requirement, "")]),
        *(_extra(name, purpose, requirements) for name, purpose in PURPOSES.items()),
        *malicious_libraries(),
        *torchvision(),
    ]


def malicious_libraries() -> list[Finding]:
    """Find releases that are known to be malicious, without importing them."""
    found = [(name, release) for name, releases in MALICIOUS.items() for release in releases if _at(name) == release]
    what = "is a malicious release, which steals credentials as soon as it is imported"
    remedy = "pip uninstall {}; renew every password and token that this account can read"
    return [Finding(name, "bad", f"{name} {release} {what}", remedy.format(name)) for name, release in found]


def torchvision() -> list[Finding]:
    """Find a torchvision that does not import; it is tried in a process of its own, so that nothing of it stays."""
    if importlib.util.find_spec("torchvision") is None:
        return []
    statement = "import torchvision; print(torchvision.__version__)"
    tried = subprocess.run([sys.executable, "-c", statement], capture_output=True, text=True)
    if tried.returncode == 0:
        return [Finding("torchvision", "good", f"{tried.stdout.split()[-1]} imports")]
    lines = tried.stderr.strip().splitlines() or [f"the import ended with code {tried.returncode}"]
    what = f"installed, but does not import ({lines[-1]}); lightning, torchmetrics and transformers fail with it"
    remedy = "pip uninstall torchvision, or install its build for this torch, from the index that torch came from"
    return [Finding("torchvision", "bad", what, remedy)]


def _python(wanted: str) -> Finding:
    here = platform.python_version()
    if SpecifierSet(wanted).contains(here, prereleases=True):
        return Finding("python", "good", f"{here} (needed: {wanted})")
    return Finding("python", "bad", f"is {here} (needed: {wanted})", "make an environment of a newer Python")


def _core(requirements: list[Requirement]) -> list[Finding]:
    """One line for all libraries that are as they should be, and one for each that is not."""
    right = ", ".join(f"{one.name} {_at(one.name)}" for one in requirements if not _flaw(one))
    wrong = [one for one in requirements if _flaw(one)]
    return [
        Finding("libraries", "good", right),
        *(Finding(one.name, "bad", _flaw(one), f'pip install "{one.name}{one.specifier}"') for one in wrong),
    ]


def _extra(extra: str, purpose: str, requirements: list[Requirement]) -> Finding:
    """An extra that is not there is no flaw, one that is too old is."""
    added = [one for one in requirements if _applies(one, extra) and not _applies(one, "")]
    missing = [one.name for one in added if not _at(one.name)]
    old = [f"{one.name} {_flaw(one)}" for one in added if _at(one.name) and _flaw(one)]
    there = [f"{one.name} {_at(one.name)}" for one in added if not _flaw(one)]
    absent = [f"not installed: {', '.join(missing)}"] if missing else []
    line = f"{', '.join([*there, *old, *absent])} ({purpose})"
    remedy = f'pip install "synthcp[{extra}]"' if missing or old else ""
    return Finding(f"extra {extra}", "note" if old else "good", line, remedy)


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _flaw(requirement: Requirement) -> str:
    """What is wrong with an installed library; empty when nothing is."""
    installed = _at(requirement.name)
    if not installed:
        return "is not installed"
    if requirement.specifier.contains(installed, prereleases=True):
        return ""
    return f"is {installed} (needed: {requirement.specifier})"


def _at(name: str) -> str:
    """The installed version of a library; empty when there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
