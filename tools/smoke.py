"""Try an installed SynthCP, from the outside: python -I tools/smoke.py DEMO, the folder that `synthcp demo` wrote.

Whatever a wheel may lack shows here: a file of the package, what its metadata say, a library that it forgot to ask for.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import metadata, version
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

import synthcp

FILES = ("py.typed", "report/report.html.j2", "report/audit.html.j2", "report/report.css", "report/report.js")


def check_package() -> None:
    """It is the installed one, complete, and its metadata are those of the source."""
    root = files("synthcp")
    assert "site-packages" in str(root), f"{root} is a source tree, no installed package"
    missing = [name for name in FILES if not root.joinpath(name).is_file()]
    assert not missing, f"the wheel lacks {missing}"
    about = metadata("synthcp")
    assert synthcp.__version__ == version("synthcp"), "two versions"
    assert about["License-Expression"] == "Apache-2.0" and about.get_all("License-File") == ["LICENSE", "NOTICE"]
    assert {"all", "hub", "serve"} <= set(about.get_all("Provides-Extra") or ())
    for name in synthcp.__all__:
        getattr(synthcp, name)


def check_verbs(demo: Path, out: Path) -> None:
    """The monitor of the demo scores a picture, and its report is a page."""
    picture = next((demo / "maps").glob("*.png"))
    program = str(Path(sys.executable).with_name("synthcp"))
    subprocess.run([program, "score", str(picture), "--monitor", str(demo), "--out", str(out)], check=True)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "</html>" in page and picture.stem in page
    assert synthcp.Monitor.load(demo).assess(picture).error_map.ndim == 2


def main() -> None:
    """Check the package, and its verbs by a demo."""
    check_package()
    with TemporaryDirectory() as folder:
        check_verbs(Path(sys.argv[1]), Path(folder) / "out")
    print(f"synthcp {synthcp.__version__} works on Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
