"""Reports in a browser: the tables of key figures fit wide, middling and narrow windows."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from evaluate_stage import make, run_undrawn

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
COUNT = """<script>
const wide = [...document.querySelectorAll("section:nth-of-type(2) .scroll")].filter(e => e.scrollWidth > e.clientWidth)
document.body.dataset.tables = document.querySelectorAll("section:nth-of-type(2) .scroll").length
document.body.dataset.wide = wide.length
</script>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    run_undrawn(folder, *make(folder))
    page = folder / "report.html"
    page.write_text(page.read_text().replace("</main>", f"</main>{COUNT}"))
    return page


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: apt-get install chromium")
@pytest.mark.parametrize("width", [1400, 1200, 500])
def test_key_figures_need_no_scrolling(page: Path, width: int, tmp_path: Path) -> None:
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
    ran = subprocess.run(
        [*command, f"--window-size={width},900", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = re.search(r'<body data-tables="(\d+)" data-wide="(\d+)"', ran.stdout)
    assert found is not None
    assert found.groups() == ("2", "0")


def test_each_mean_has_its_interval_below_it(page: Path) -> None:
    figures = page.read_text().partition("Key figures of this model")[2].partition("</section>")[0]
    cells = re.findall(
        r'<td class="figure">(\d\.\d{4})<div class="note">(\d\.\d{4}) to (\d\.\d{4})</div></td>', figures
    )
    assert len(cells) == 2 * 2 * 4, "two tables of two metrics of four rankers"
    assert all(float(low) <= float(mean) <= float(high) for mean, low, high in cells)
