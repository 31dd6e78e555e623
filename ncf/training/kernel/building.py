"""Compiles the CPU's training step when the package is built; setuptools loads it by pyproject.toml, without the rest.

The code needs no Python to compile against, so one library serves all versions of it.
"""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools.command.build_py import build_py  # type: ignore[import-untyped]

KERNEL = Path("ncf", "training", "kernel")
SOURCES = ("step", "plan", "draws")
# no fast-math when linking: that would change the rounding of the whole process
COMPILE = ["-O3", "-ffast-math", "-fPIC", "-std=c++17", "-pthread", "-Wall", "-Wextra", "-c"]
LINK = ["-shared", "-pthread", "-static-libstdc++", "-static-libgcc"]


class BuildWithKernel(build_py):  # type: ignore[misc]
    """Beside the Python files, the compiled step: in place for an editable installation, else in the wheel."""

    def run(self) -> None:
        super().run()
        folder = KERNEL if self.editable_mode else Path(self.build_lib) / KERNEL
        compiler = shutil.which(os.environ.get("CXX", "c++"))
        if compiler is None or not sys.platform.startswith("linux"):
            print("ncf: no C++ compiler, or not Linux: training on a CPU will use torch alone, and be slower")
            return
        target = folder / f"step-{sys.platform}-{platform.machine()}.so"
        folder = Path(self.get_finalized_command("build").build_temp)
        folder.mkdir(parents=True, exist_ok=True)
        objects = [str(folder / f"{source}.o") for source in SOURCES]
        try:
            for source, compiled in zip(SOURCES, objects, strict=True):
                subprocess.run([compiler, *COMPILE, str(KERNEL / f"{source}.cpp"), "-o", compiled], check=True)
            subprocess.run([compiler, *LINK, *objects, "-o", str(target)], check=True)
        except subprocess.CalledProcessError as error:
            print(f"ncf: {error}: training on a CPU will use torch alone, and be slower")
