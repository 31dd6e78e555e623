"""Linux control groups of this process (versions 1 and 2), which hold the limits of containers and pods."""

from __future__ import annotations

from pathlib import Path

_PROC, _CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def folders(controller: str) -> list[Path]:
    """Folders of the process's control groups. In a container, the root folder is usually the container's own.

    Args:
        controller: name of the controller in version 1, such as ``cpu``.
    """
    found = []
    for line in _lines(_PROC):
        _, controllers, group = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = _CGROUPS / controllers if controllers else _CGROUPS
        own = root / group.strip("/")
        found += [own, *(parent for parent in own.parents if parent.is_relative_to(root))]
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
