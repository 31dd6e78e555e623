from __future__ import annotations

from pathlib import Path

import pytest
from trigger_world import World, rules_of


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A queue and KFP, with a rule of each kind."""
    return World(rules_of(tmp_path))
