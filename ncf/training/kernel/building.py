"""Compilation of the training step for CPUs: beside its sources, or as the wheel of the distribution ncf-kernel.

``python building.py`` compiles beside this file; ``python building.py --wheel FOLDER`` and ``pip wheel`` of this folder
make the wheel. This file needs neither ncf nor other packages, and no Python headers: one library serves all versions
of Python. A library needs the C library of the machine that has linked it, or a later one. So ncf's own wheel does not
hold it, and the wheel of ncf-kernel is made in the image that uses it.
"""

import argparse
import base64
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

KERNEL = Path(__file__).parent
NAME = f"step-{sys.platform}-{platform.machine()}.so"
_SOURCES = ("step", "workspace", "draws")
# no fast-math when linking: that would change the rounding of the whole process
_COMPILE = ["-O3", "-ffast-math", "-fPIC", "-std=c++17", "-pthread", "-Wall", "-Wextra", "-c"]
_LINK = ["-shared", "-pthread"]
_OWN_LIBRARY = ["-static-libstdc++", "-static-libgcc"]
_SEAL_BYTES = hashlib.sha256().digest_size
_PACKAGE = "ncf/training/kernel"  # in a wheel


def build(folder: Path = KERNEL) -> Path:
    """Compile the training step; an earlier library is replaced atomically.

    Args:
        folder: of the library.

    Returns:
        The library.

    Raises:
        OSError: if there is no C++ compiler, this is not Linux, or the folder cannot be written.
        subprocess.CalledProcessError: if the compiler fails; its messages are on stderr.
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


def build_wheel(
    wheel_directory: str,
    config_settings: dict[str, Any] | None = None,  # noqa: ARG001
    metadata_directory: str | None = None,  # noqa: ARG001
) -> str:
    """Make the wheel of ncf-kernel for this platform (PEP 517); the same library gives the same wheel.

    Args:
        wheel_directory: folder of the wheel.
        config_settings: not used.
        metadata_directory: not used.

    Returns:
        The file name of the wheel.

    Raises:
        OSError, subprocess.CalledProcessError: as :func:`build`.
    """
    project = tomllib.loads((KERNEL / "pyproject.toml").read_text())["project"]
    name, version = str(project["name"]), str(project["version"])
    tag = f"py3-none-{re.sub(r'[-.]', '_', sysconfig.get_platform())}"
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    with TemporaryDirectory(dir=wheel_directory) as scratch:
        metadata = ("Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", "Requires-Dist: ncf")
        files = {
            f"{_PACKAGE}/{NAME}": build(Path(scratch)).read_bytes(),
            f"{info}/METADATA": _lines(*metadata),
            f"{info}/WHEEL": _lines("Wheel-Version: 1.0", "Generator: ncf", "Root-Is-Purelib: false", f"Tag: {tag}"),
        }
        files[f"{info}/RECORD"] = _record(files, f"{info}/RECORD")
        wheel = Path(scratch, f"{stem}-{tag}.whl")
        with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, content in files.items():
                archive.writestr(zipfile.ZipInfo(path), content, zipfile.ZIP_DEFLATED)  # of 1980: no time of this build
        return wheel.replace(Path(wheel_directory, wheel.name)).name


def _record(files: dict[str, bytes], own_path: str) -> bytes:
    """Path, sha256 and size of each file of a wheel; those of the record itself are left out."""
    digests = {path: base64.urlsafe_b64encode(hashlib.sha256(content).digest()) for path, content in files.items()}
    rows = [f"{path},sha256={digests[path].decode().rstrip('=')},{len(files[path])}" for path in files]
    return _lines(*rows, f"{own_path},,")


def _lines(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _own_library(compiler: str) -> list[str]:
    """Options that link the C++ library statically, where the compiler has it: a Python may load an older one."""
    command = [compiler, "-print-file-name=libstdc++.a"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return _OWN_LIBRARY if Path(found).is_absolute() else []


def sealed(code: bytes) -> bytes:
    """A library followed by a digest of it and of the sources beside this file, which the dynamic linker ignores."""
    digest = hashlib.sha256(code)
    for source in sorted([*KERNEL.glob("*.cpp"), *KERNEL.glob("*.h")]):
        digest.update(source.read_bytes())
    return code + digest.digest()


def check_seal(library: Path) -> None:
    """
    Raises:
        OSError: if the library cannot be read, is not complete (the process might crash on loading it), or was compiled
            from other sources (its structures may differ).
    """
    content = library.read_bytes()
    if content != sealed(content[:-_SEAL_BYTES]):
        raise OSError("it is not whole, or was compiled from other sources than those beside it")


def main() -> None:
    """Compile. Exit status 1, with a warning, if it fails; training on a CPU then uses torch alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", metavar="FOLDER", help="make the wheel of ncf-kernel in this folder")
    folder = parser.parse_args().wheel
    try:
        build_wheel(folder) if folder else build()
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(
            f"ncf: warning: the training step for CPUs is not compiled: {error}; torch will train on CPUs, at a third "
            "to a half of the speed"
        )


if __name__ == "__main__":
    main()
