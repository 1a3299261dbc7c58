"""Which F is trained: what it is shown, what it is asked, and from which random numbers it starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from synthcp.config.variants import Variant
from synthcp.monitor.settings import MonitorSettings
from synthcp.system.run_folder import COMPARATOR, CONTROLS_FOLDER, weights_path
from synthcp.training.comparator import DIRECT

SYNTHCP = "synthcp"
"""Name of the trained generator's syntheses, and of the F that a monitor uses."""

UNTRAINED = "untrained"
UNTRAINED_GENERATOR = "untrained-generator"
CONTROLS = (DIRECT, UNTRAINED)
"""The learned controls of every table: direct prediction, and SynthCP with an untrained generator."""


def control_path(folder: Path, name: str) -> Path:
    """Return the weights file of a control."""
    return weights_path(folder / CONTROLS_FOLDER, name)


@dataclass(frozen=True)
class Head:
    """One F among those that learn from the same imperfect predictions.

    Attributes:
        name: Of its files.
        generator: Name of the generator whose syntheses it is shown, or training.comparator.DIRECT.
        change: Makes of the variant of the run what is computed; None computes that.
        seed: Of its weights and batches; None takes that of the run.
    """

    name: str
    generator: str
    change: Callable[[Variant], Variant] | None = None
    seed: int | None = None

    def path(self, folder: Path) -> Path:
        """Return the file of its weights in the folder of a run."""
        return (
            weights_path(folder, COMPARATOR) if self.name in (SYNTHCP, DRAWN.name) else control_path(folder, self.name)
        )

    def settings(self, settings: MonitorSettings) -> MonitorSettings:
        """Return the settings of a run with its own variant."""
        return settings if self.change is None else replace(settings, variant=self.change(settings.variant))


SHIPPED = Head(SYNTHCP, SYNTHCP)
"""The F of a monitor that compares with a drawing."""
DRAWN = Head("drawn", SYNTHCP)
"""The same F beside a monitor that does not, because the drawing was worth nothing sure."""


def shipped_head(settings: MonitorSettings) -> Head:
    """Return the F of a monitor."""
    return SHIPPED if settings.compares else replace(SHIPPED, generator=DIRECT)


CONTROL_HEADS = tuple(Head(name, name) for name in CONTROLS)
"""Direct prediction, and SynthCP with an untrained generator."""
