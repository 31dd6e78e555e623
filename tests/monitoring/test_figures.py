"""Figures as JSON, concentration, reference windows, and markers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from captured import line, observed, of_user, population

from ncf.errors import InputError
from ncf.monitoring.concentration import Concentration
from ncf.monitoring.figures import content, metrics, reference
from ncf.monitoring.findings import Findings, findings
from ncf.monitoring.markers import Markers
from ncf.monitoring.messages import BreachNotice, detail
from ncf.monitoring.service import Service
from ncf.monitoring.settings import Limits
from ncf.monitoring.shares import lower_bound

KNOWN = population({f"u{user}": 4 for user in range(200)}, {f"i{item}": 2 + item % 5 for item in range(100)})


def found(
    shift: int = 0, name: str = "training", before: dict[str, object] | None = None, variants: int = 1
) -> Findings:
    records = [
        line(
            of_user(f"u{user}", [f"i{(user * 3 + place + shift) % (100 if not shift else 20)}" for place in range(10)]),
            f"v{user % variants}",
        )
        for user in range(200)
    ]
    return findings(observed(KNOWN, records), Service(), {}, before or {}, name, Limits(), seed=0)  # type: ignore[arg-type]


def test_concentration_by_its_definitions() -> None:
    assert Concentration.of(np.array([3, 3, 3, 3])) == Concentration(1.0, 0.0, 0.25)
    one = Concentration.of(np.array([0, 0, 0, 8]))
    assert (one.coverage, one.gini, one.top_share) == (0.25, 0.75, 1.0)
    assert Concentration.of(np.zeros(3, np.int64)) == Concentration(0, 0, 0)
    counts = np.random.default_rng(0).integers(0, 50, 300)
    differences = np.abs(counts[:, None] - counts[None]).sum() / (2 * 300 * counts.sum())
    assert Concentration.of(counts).gini == pytest.approx(differences), "half the mean difference over the mean"


def test_the_lower_bound_of_a_share() -> None:
    assert lower_bound(0.5, 0) == 0
    assert lower_bound(1.0, 5) < 0.2
    assert 0.45 < lower_bound(0.5, 10_000) < 0.5


def test_the_figures_are_json_and_a_reference(tmp_path: Path) -> None:
    first = content(found(), "shop", 50)
    path = tmp_path / "figures.json"
    path.write_text(json.dumps(first, allow_nan=False))
    before, name = reference(path, "0123456789ab")
    assert name == "window 2026-05-04T00:00:00Z-24h"
    same = found(name=name, before=dict(before))
    assert same.drifts["served_items"].psi == 0
    assert not same.breaches
    moved = found(shift=1, name=name, before=dict(before))
    assert [breach.limit for breach in moved.breaches] == ["max_psi"]
    assert "items in lists" in moved.breaches[0].text
    assert (first["sampling_percent"], first["total"]["lists"], first["window"]["is_empty"]) == (50, 200, False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_version": "other"}, "figures of model other, but the endpoint serves 0123456789ab"),
        (
            {"distributions": {"users": {"labels": ["a"], "counts": [], "effective": 1}}},
            "expected a count of 0 or more",
        ),
        ({"distributions": 5}, "distributions: Input should be"),
    ],
)
def test_a_reference_of_another_kind_is_named(tmp_path: Path, change: dict[str, object], said: str) -> None:
    path = tmp_path / "figures.json"
    path.write_text(json.dumps({**content(found(), "shop", 100), **change}))
    with pytest.raises(InputError, match=said):
        reference(path, "0123456789ab")
    path.write_text("{")
    with pytest.raises(InputError, match="expected the figures of an earlier window"):
        reference(path, "0123456789ab")


def test_variants_are_apart_and_their_sum_is_the_total() -> None:
    together, apart = found(), found(variants=2)
    assert set(apart.observation.variants) == {"v0", "v1"}
    assert apart.total.served.tolist() == together.total.served.tolist()
    assert apart.total.users.tolist() == together.total.users.tolist()
    assert metrics(apart) == metrics(together)


def test_the_message_of_a_window_is_always_the_same() -> None:
    first, again = (detail("shop", found(shift=1, before=dict(found().distributions))) for _ in range(2))
    assert first == again
    assert (first["cause"], first["window"], first["limits"]) == ("monitor", "2026-05-04T00:00:00Z-24h", ["max_psi"])
    notice = BreachNotice("shop", found(shift=1, before=dict(found().distributions)))
    assert notice.title == "NCF endpoint shop: 1 limit breached"
    assert notice.body()["text"] == notice.text
    assert "PSI of items in lists" in notice.text


def test_markers(tmp_path: Path) -> None:
    markers = Markers(str(tmp_path / "shop"), "2026-05-04T00:00:00Z-24h")
    assert not markers.has("event")
    markers.set("event", {"id": "1"})
    assert markers.has("event")
    assert not markers.has("notification")
    assert not Markers(str(tmp_path / "shop"), "2026-05-05T00:00:00Z-24h").has("event")


def test_lists_of_other_models_are_counted() -> None:
    def counted(version: str) -> dict[str, object]:
        known = replace(population({"u1": 4}, {"i1": 2, "i2": 2}), version=version)
        records = [line(of_user("u1", ["i1"], number)) for number in range(4)]
        seen = findings(observed(known, records), Service(), {}, {}, "training", Limits(), seed=0)
        return dict(content(seen, "shop", 100)["total"])

    assert counted("x")["of_other_models"] == 0, "the version in the captured answers"
    assert counted("0123456789ab")["of_other_models"] == 4
