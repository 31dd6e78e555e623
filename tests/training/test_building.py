"""The training step is compiled beside its sources or as a wheel for one platform; ncf's own wheel is pure."""

from __future__ import annotations

import base64
import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import ncf
from images.engine import run_docker
from ncf.training.kernel import building

ROOT = Path(__file__).parents[2]
COMPILER = """#!/bin/sh
case "$1" in -print-file-name=*) echo libstdc++.a; exit;; esac
for last; do :; done
echo "$*" >>"$(dirname "$0")/compiled"
echo code >"$last"
"""


@pytest.mark.slow
def test_ncfs_wheel_is_pure_and_holds_the_sources(tmp_path: Path) -> None:
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
    wanted = [
        path for pattern in ("building.py", "pyproject.toml", "*.cpp", "*.h") for path in building.KERNEL.glob(pattern)
    ]
    assert {str(path.relative_to(ROOT)) for path in wanted} <= set(names)


@pytest.fixture(scope="module")
def kernel_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made by pip, from the folder of the kernel alone."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(building.KERNEL, folder / "sources", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--disable-pip-version-check"]
    compiler = folder / "c++"  # quick
    compiler.write_text(f'#!/bin/sh\nexec {shutil.which("c++")} "$@" -O0\n')
    compiler.chmod(0o755)
    command = [*pip, "--wheel-dir", str(folder), str(folder / "sources")]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "CXX": str(compiler)})
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.mark.slow
def test_the_kernels_wheel_is_for_one_platform(kernel_wheel: Path) -> None:
    tag = "py3-none-" + sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert kernel_wheel.name == f"ncf_kernel-{ncf.__version__}-{tag}.whl"
    with zipfile.ZipFile(kernel_wheel) as archive:
        info = f"ncf_kernel-{ncf.__version__}.dist-info"
        written = archive.read(f"{info}/WHEEL").decode().splitlines()
        assert {"Root-Is-Purelib: false", f"Tag: {tag}"} <= set(written)
        assert f"ncf/training/kernel/{building.NAME}" in archive.namelist()


@pytest.mark.slow
def test_the_kernels_wheel_installs_a_library_that_loads(kernel_wheel: Path, tmp_path: Path) -> None:
    """Beside ncf's own modules; and its record holds the digests of all files."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--disable-pip-version-check"]
    subprocess.run([*pip, "--target", str(tmp_path), str(kernel_wheel)], check=True, capture_output=True)
    [library] = tmp_path.rglob("*.so")
    assert library.relative_to(tmp_path) == Path("ncf/training/kernel", building.NAME)
    building.check_seal(library)
    assert ctypes.CDLL(str(library)).ncf_new_thread_pool
    with zipfile.ZipFile(kernel_wheel) as archive:
        [record] = [name for name in archive.namelist() if name.endswith("/RECORD")]
        rows = [line.split(",") for line in archive.read(record).decode().splitlines()]
        assert {path for path, _, _ in rows} == set(archive.namelist())
        for path, digest, size in rows:
            content = archive.read(path)
            expected = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
            assert path == record or (digest, size) == (f"sha256={expected}", str(len(content)))


@pytest.mark.slow
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


FAILING = pytest.mark.parametrize(
    ("compiler", "match"), [("none", "no C.. compiler '.*none'"), ("false", "returned non-zero exit status 1")]
)


@FAILING
def test_a_compiler_that_fails_leaves_the_earlier_library(
    tmp_path: Path, compiler: str, match: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / building.NAME).write_bytes(b"of before")
    monkeypatch.setenv("CXX", compiler)
    with pytest.raises((OSError, subprocess.CalledProcessError), match=match):
        building.build(tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"of before"]


@FAILING
def test_a_compiler_that_fails_is_a_warning_of_one_line(
    tmp_path: Path, compiler: str, match: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", compiler)
    monkeypatch.setattr(sys, "argv", ["building.py", "--wheel", str(tmp_path)])
    with pytest.raises(SystemExit, match=f"^ncf: warning: .* not compiled: .*{match}.*torch will train") as failed:
        building.main()
    assert "\n" not in str(failed.value)
    assert not list(tmp_path.iterdir())


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
    [wheel] = (tmp_path / "kernel" / "wheels").iterdir()
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read(f"ncf/training/kernel/{building.NAME}") == building.sealed(b"code\n")
    assert "warning" not in ran.stderr


def test_a_compiler_that_is_there_is_used(
    base: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    ran = base(**{"c++": COMPILER.partition("\n")[2], "apt_get": f"touch {tmp_path}/asked"})
    assert ran.returncode == 0, ran.stderr
    assert list((tmp_path / "kernel" / "wheels").glob("*.whl"))
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize("scripts", [{}, {"apt_get": "echo no network >&2; exit 100"}, {"dnf": "exit 1"}])
def test_a_base_that_cannot_compile_makes_an_image_that_trains_by_torch_alone(
    base: Callable[..., subprocess.CompletedProcess[str]], scripts: dict[str, str], tmp_path: Path
) -> None:
    ran = base(**scripts)
    assert ran.returncode == 0, "the image is built"
    assert "ncf: warning: the training step for CPUs is not compiled: there is no C++ compiler 'c++'" in ran.stderr
    assert list((tmp_path / "kernel" / "wheels").iterdir()) == [], "the Dockerfile copies the folder"


def test_a_build_without_a_compiler_prints_the_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Though the build succeeds."""
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho '#9 RUN compile'\necho '#9 1.234 ncf: warning: there is no compiler'\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    run_docker(["build", "."], "building ncf-train:1")
    assert capsys.readouterr().err == "warning: building ncf-train:1: there is no compiler\n"
