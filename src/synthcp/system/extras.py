"""Libraries that only some parts need: imported when such a part is used, and never before."""

from __future__ import annotations

import importlib
from typing import Any

from synthcp.errors import InputError, MissingExtraError


def import_extra(library: str, extra: str) -> Any:
    """Import a library that an extra brings.

    Args:
        library: Name of its package, as it is imported.
        extra: Of synthcp, which installs it.

    Raises:
        MissingExtraError: It is not installed.
        InputError: It is installed but cannot be imported, as a torchvision that was built for another torch.
    """
    try:
        return importlib.import_module(library)
    except Exception as error:  # a library that does not fit its neighbours fails with nearly anything
        if isinstance(error, ModuleNotFoundError) and error.name == library:
            raise MissingExtraError(library, extra) from error
        problem = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise InputError(
            f"{library} is installed but cannot be imported ({problem}); install versions that fit each other "
            f'(pip install "synthcp[{extra}]" in a fresh environment) and see synthcp doctor'
        ) from error
