"""Compiles the CPU's training step: ``python building.py [FOLDER]``, by default beside this file.

Linked code needs the C library of the machine that linked it, or a later one. So it is in no wheel: it is compiled on
the machine that trains, or in its image, by this file alone. No ncf, no Python headers: one library serves all
versions of Python.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

KERNEL = Path(__file__).parent
NAME = f"step-{sys.platform}-{platform.machine()}.so"
_SOURCES = ("step", "workspace", "draws")
# no fast-math when linking: that would change the rounding of the whole process
_COMPILE = ["-O3", "-ffast-math", "-fPIC", "-std=c++17", "-pthread", "-Wall", "-Wextra", "-c"]
_LINK = ["-shared", "-pthread"]
_OWN_LIBRARY = ["-static-libstdc++", "-static-libgcc"]
_SEAL_BYTES = hashlib.sha256().digest_size


def build(folder: Path = KERNEL) -> Path:
    """Compile the training step; a library that is there is replaced in one go.

    Args:
        folder: where it is to stand.

    Returns:
        The library.

    Raises:
        OSError: if there is no C++ compiler, this is not Linux, or the folder cannot be written.
        subprocess.CalledProcessError: if the compiler fails; its own words are on stderr.
    """
    name = os.environ.get("CXX", "c++")
    compiler = shutil.which(name)
    if compiler is None:
        raise OSError(f"there is no C++ compiler '{name}'")
    if not sys.platform.startswith("linux"):
        raise OSError(f"it is for Linux, this is {sys.platform}")
    with TemporaryDirectory(dir=folder) as scratch:
        objects = [str(Path(scratch, f"{source}.o")) for source in _SOURCES]
        for source, compiled in zip(_SOURCES, objects, strict=True):
            subprocess.run([compiler, *_COMPILE, str(KERNEL / f"{source}.cpp"), "-o", compiled], check=True)
        linked = Path(scratch, NAME)
        subprocess.run([compiler, *_LINK, *_own_library(compiler), *objects, "-o", str(linked)], check=True)
        linked.write_bytes(sealed(linked.read_bytes()))
        return linked.replace(folder / NAME)


def _own_library(compiler: str) -> list[str]:
    """Options that put the C++ library into ours: a Python may bring an older one. Not each compiler has it to link."""
    asked = [compiler, "-print-file-name=libstdc++.a"]
    found = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    return _OWN_LIBRARY if Path(found).is_absolute() else []


def sealed(code: bytes) -> bytes:
    """A library with, at its end, a digest of it and of the sources beside this file; the loader reads past it."""
    digest = hashlib.sha256(code)
    for source in sorted([*KERNEL.glob("*.cpp"), *KERNEL.glob("*.h")]):
        digest.update(source.read_bytes())
    return code + digest.digest()


def check_seal(library: Path) -> None:
    """
    Raises:
        OSError: if the library cannot be read, is not whole (loading it might kill the process), or was compiled from
            other sources (its structures may differ).
    """
    content = library.read_bytes()
    if content != sealed(content[:-_SEAL_BYTES]):
        raise OSError("it is not whole, or was compiled from other sources than those beside it")


def main() -> None:
    """Exit status 1 if there is no library now; training on a CPU then uses torch alone."""
    try:
        build(*map(Path, sys.argv[1:]))
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(
            f"ncf: warning: the training step for CPUs is not compiled: {error}; torch will train on CPUs, at a third "
            "to a half of the speed"
        )


if __name__ == "__main__":
    main()
