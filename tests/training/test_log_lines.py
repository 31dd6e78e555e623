from __future__ import annotations

import re

from ncf.training.log_lines import epoch_line, metric_definitions

VALUES = {"loss": 0.27134, "seconds": 12.34, "samples_per_second": 401234.4}
RANKING = {"hr_at_10": 0.6512, "ndcg_at_10": 0.38111}


def test_the_line_has_one_form() -> None:
    assert epoch_line("selection", 3, {**VALUES, **RANKING}) == (
        "fit=selection epoch=3 loss=0.2713 hr_at_10=0.6512 ndcg_at_10=0.3811 seconds=12.3 samples_per_second=401234"
    )
    assert epoch_line("final", 2, VALUES).startswith("fit=final epoch=2 loss=0.2713 seconds=")


def test_sagemaker_finds_each_number_in_the_lines_of_its_fit_alone() -> None:
    lines = [epoch_line("selection", 3, {**VALUES, **RANKING})]
    lines += [epoch_line(fit, 2, VALUES) for fit in ("final", "hosted")]
    definitions = metric_definitions()
    assert len(definitions) <= 40
    for definition in definitions:
        fit, _, name = definition["Name"].partition(":")
        found = [match for line in lines if (match := re.search(definition["Regex"], "12:00:00 " + line))]
        assert len(found) == 1
        assert f" {name}={found[0][1]}" in found[0].string
        assert found[0].string.startswith(f"12:00:00 fit={fit}")
