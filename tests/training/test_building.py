"""The training step is compiled where it is used, by whatever the place has; no wheel holds it."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from images.build import _docker
from ncf.training.kernel import building

ROOT = Path(__file__).parents[2]
COMPILER = """#!/bin/sh
case "$1" in -print-file-name=*) echo libstdc++.a; exit;; esac
for last; do :; done
echo "$*" >>"$(dirname "$0")/compiled"
echo code >"$last"
"""


def test_a_wheel_is_for_every_machine_and_holds_the_sources(tmp_path: Path) -> None:
    """Though the checkout has a compiled step."""
    pytest.importorskip("setuptools", minversion="77")
    assert (building.KERNEL / building.NAME).exists()
    sources, wheels = tmp_path / "sources", tmp_path / "wheels"
    shutil.copytree(ROOT / "ncf", sources / "ncf", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    program = f"from setuptools import build_meta; build_meta.build_wheel({str(wheels)!r})"
    subprocess.run([sys.executable, "-c", program], cwd=sources, check=True, capture_output=True)
    [wheel] = wheels.iterdir()
    names = zipfile.ZipFile(wheel).namelist()
    assert wheel.name.endswith("-py3-none-any.whl")
    assert [name for name in names if ".so" in name] == []
    wanted = [path for pattern in ("building.py", "*.cpp", "*.h") for path in building.KERNEL.glob(pattern)]
    assert {str(path.relative_to(ROOT)) for path in wanted} <= set(names)


def test_a_compiler_without_the_c_library_to_link_in_uses_the_base_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Amazon Linux and Fedora."""
    real = shutil.which("c++")
    compiler = tmp_path / "c++"
    compiler.write_text(
        '#!/bin/sh\ncase "$*" in\n*-print-file-name*) echo libstdc++.a;;\n*-static*) exit 1;;\n'
        f'*) exec {real} "$@" -O0;;\nesac\n'
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    library = building.build(tmp_path)
    building.check_seal(library)
    assert ctypes.CDLL(str(library)).ncf_new_thread_pool
    assert [path.name for path in tmp_path.iterdir() if path != compiler] == [building.NAME]


@pytest.mark.parametrize(
    ("compiler", "match"), [("none", "no C.. compiler '.*none'"), ("false", "returned non-zero exit status 1")]
)
def test_a_compiler_that_fails_leaves_what_was_there(
    tmp_path: Path, compiler: str, match: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / building.NAME).write_bytes(b"of before")
    monkeypatch.setenv("CXX", compiler)
    monkeypatch.setattr(sys, "argv", ["building.py", str(tmp_path)])
    with pytest.raises(SystemExit, match=f"^ncf: warning: .* not compiled: .*{match}.*torch will train") as told:
        building.main()
    assert "\n" not in str(told.value)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"of before"]


@pytest.fixture
def base(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the training image's `compile` in a base of which only the named commands are known."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("dirname", "mkdir", "cp", "chmod"):
        (commands / name).symlink_to(str(shutil.which(name)))
    (tmp_path / "c++").write_text(COMPILER)
    shutil.copytree(ROOT / "images" / "train", tmp_path / "kernel")
    shutil.copytree(building.KERNEL, tmp_path / "kernel" / "sources", ignore=shutil.ignore_patterns("*.so"))

    def run(**scripts: str) -> subprocess.CompletedProcess[str]:
        for name, script in scripts.items():
            path = commands / name.replace("_", "-")
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)
        return subprocess.run(
            ["/bin/sh", tmp_path / "kernel" / "compile", sys.executable],
            env={"PATH": str(commands), "HOME": os.environ.get("HOME", "/")},
            capture_output=True,
            text=True,
        )

    return run


INSTALLS = 'case "$*" in *" g++"|*" gcc-c++") cp {0}/c++ {0}/bin/; chmod 755 {0}/bin/c++;; update*) ;; *) exit 1;; esac'


@pytest.mark.parametrize("manager", ["apt_get", "dnf"])
def test_a_base_without_a_compiler_gets_one_from_its_package_manager(
    base: Callable[..., subprocess.CompletedProcess[str]], manager: str, tmp_path: Path
) -> None:
    ran = base(**{manager: INSTALLS.format(tmp_path)})
    assert ran.returncode == 0, ran.stderr
    packages = Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    library = tmp_path / "kernel" / "built" / packages / "ncf" / "training" / "kernel" / building.NAME
    assert library.read_bytes() == building.sealed(b"code\n")
    assert "warning" not in ran.stderr


def test_a_compiler_that_is_there_is_used(
    base: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    ran = base(**{"c++": COMPILER.partition("\n")[2], "apt_get": f"touch {tmp_path}/asked"})
    assert ran.returncode == 0, ran.stderr
    assert list((tmp_path / "kernel" / "built").rglob("*.so"))
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize("scripts", [{}, {"apt_get": "echo no network >&2; exit 100"}, {"dnf": "exit 1"}])
def test_a_base_that_cannot_compile_makes_an_image_that_trains_by_torch_alone(
    base: Callable[..., subprocess.CompletedProcess[str]], scripts: dict[str, str], tmp_path: Path
) -> None:
    ran = base(**scripts)
    assert ran.returncode == 0, "the image is built"
    assert "ncf: warning: the training step for CPUs is not compiled: there is no C++ compiler 'c++'" in ran.stderr
    assert (tmp_path / "kernel" / "built").is_dir(), "the Dockerfile copies it"
    assert not list((tmp_path / "kernel" / "built").rglob("*.so"))


def test_who_builds_the_images_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Though the build succeeds."""
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho '#9 RUN compile'\necho '#9 1.234 ncf: warning: there is no compiler'\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    _docker(["build", "."], "building ncf-train:1")
    assert capsys.readouterr().err == "warning: building ncf-train:1: there is no compiler\n"
