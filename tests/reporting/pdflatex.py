"""LaTeX, where it is installed: whether a table compiles, and what of it runs over."""

import shutil
import subprocess
from pathlib import Path

import pytest

needed = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no `pdflatex` on the PATH")


def faults(table: str, folder: Path, layout: str = "") -> list[str]:
    """Lines of LaTeX's log about what is too wide or too high in an article that holds the table alone."""
    begin = rf"\documentclass[{layout}]{{article}}\usepackage{{booktabs,graphicx}}\begin{{document}}"
    (folder / "t.tex").write_text(f"{begin}\n{table}\n\\end{{document}}", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    log = (folder / "t.log").read_text(encoding="latin-1").splitlines()
    return [line for line in log if "Overfull" in line or "too large" in line]
