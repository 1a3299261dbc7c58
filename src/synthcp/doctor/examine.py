"""All checks, in their order."""

from __future__ import annotations

from collections.abc import Iterator

from synthcp.doctor import libraries, machine, monitor
from synthcp.doctor.base import Check, Finding, Scope, attempt
from synthcp.doctor.cost import check_cost
from synthcp.doctor.data import check_data
from synthcp.doctor.model import check_model

CHECKS: dict[str, dict[str, Check]] = {
    "Libraries": {
        "libraries": libraries.needed,
        "extras": libraries.extras,
        "malicious libraries": libraries.malicious,
        "torchvision": libraries.torchvision,
    },
    "Machine": {
        "convolutions": machine.convolutions,  # waits for a process that would disturb what is measured
        "idle threads": machine.idle_threads,
        "threads": machine.threads,
        "bf16": machine.bf16,
        "accelerator": machine.accelerators,
        "memory": machine.memory,
        "output": machine.output,
    },
    "Data": {"data": check_data},
    "Model": {"model": check_model},
    "Fit": {"fit": check_cost},
    "Monitor": {"monitor": monitor.facts, "weights": monitor.weights},
}
"""By group and name; what a check finds may be several findings, or none."""


def examine(scope: Scope) -> Iterator[tuple[str, list[Finding]]]:
    """Give titles and findings, group by group, each as soon as it is there."""
    subjects = {
        "Data": scope.data,
        "Model": scope.model if scope.brings_model else "",
        "Fit": f"of scale {scope.scale}" if scope.fit else "",
        "Monitor": scope.monitor,
    }
    for group, checks in CHECKS.items():
        if subjects.get(group, "always"):
            title = f"{group} {subjects.get(group, '')}".rstrip()
            yield title, [finding for name, check in checks.items() for finding in attempt(name, check, scope)]
