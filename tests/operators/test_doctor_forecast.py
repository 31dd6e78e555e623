"""``ncf doctor --data``: the size of the data, minutes, memory and price of a run, and its exit status."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doctor_output import lines_of
from fake_account import ROLE, Account
from local_account import BUCKET, local_account

from ncf.data import synthetic
from ncf.errors import InputError, RemoteError
from ncf.operators.doctor import Doctor
from ncf.stage import execution, parsing
from ncf.storage import upload


@pytest.fixture
def data(tmp_path: Path) -> Path:
    synthetic.write(tmp_path, users=60, items=80, interactions=1_500, seed=3)
    return tmp_path / "interactions.csv"


def finding_of(data: Path) -> str:
    """What is said of data without repeated pairs."""
    rows = [line.split(",") for line in data.read_text().splitlines()[1:]]
    users, items = ({row[column] for row in rows} for column in (0, 1))
    return f"{len(rows):,} rows; after the filters {len(rows):,} positives of {len(users)} users and {len(items)} items"


@pytest.fixture
def priced(account: Account, monkeypatch: pytest.MonkeyPatch) -> Account:
    """The account, whose price list has the instance type."""
    terms = {"OnDemand": {"a": {"priceDimensions": {"b": {"pricePerUnit": {"USD": "230"}}}}}}
    product = {"product": {"attributes": {"vCpu": "4", "memory": "16 GiB"}}, "terms": terms}
    monkeypatch.setitem(Account.SERVICES, "get_products", "pricing")
    account.answers["get_products"] = {"FormatVersion": "aws_v1", "PriceList": [json.dumps(product)]}
    return account


def forecast_of(output: str) -> dict[str, str]:
    """Lines of the forecast by their first word."""
    lines = [line.removeprefix("forecast: ") for line in output.splitlines() if line.startswith("forecast: ")]
    return dict(line.split(": ", 1) for line in lines if ": " in line)


def test_data_alone_need_no_account(priced: Account, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    execution.run(Doctor, ["--data", str(data), "--train-instance-type", "ml.m5.xlarge"])
    output = capsys.readouterr().out
    assert list(lines_of(output)) == ["data"]
    assert lines_of(output)["data"] == ("ok", finding_of(data))
    found = forecast_of(output)
    assert list(found)[:4] == ["preprocess", "negative-sampling", "train", "evaluate"]
    assert "on 1 x ml.m5.xlarge, 4 cores; memory " in found["train"]
    assert " of 17 GB; " in found["train"]
    assert found["train"].endswith(" USD at most, at 230.00 USD an hour")
    assert re.fullmatch(r".* min on a pod of 2 CPU; memory 0\.[1-3] of 8 GB", found["evaluate"])
    assert "get_caller_identity" not in priced.requests
    assert output.splitlines()[-1] == "all checks passed"


def test_beside_the_checks_of_the_account(priced: Account, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    execution.run(Doctor, ["--data", str(data), "--train-role", ROLE, "--deploy-instance-type", ""])
    output = capsys.readouterr().out
    assert list(lines_of(output)) == ["data", "credentials", "train role", "train quota"]
    assert "extrapolated: no GPU was measured" in output


def test_without_a_price_list(account: Account, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    execution.run(Doctor, ["--data", str(data)])
    assert forecast_of(capsys.readouterr().out)["train"].endswith(
        "no price: AWS's price list has none, or cannot be read"
    )


def test_small_data_are_extrapolated(account: Account, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text("user,item\n" + "".join(f"u{n},i{item}\n" for n in range(5) for item in range(4)))
    execution.run(Doctor, ["--data", str(path)])
    assert "forecast: extrapolated: 20 rows are fewer than " in capsys.readouterr().out


def test_columns_and_filters_are_those_of_preprocess(
    account: Account, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ratings.csv"
    rows = [f"b{n};s{item};{1 + 4 * (item % 2)}" for n in range(6) for item in range(6)]
    path.write_text("\n".join(["buyer;sku;grade", *rows]) + "\n")
    columns = ("--user-column", "buyer", "--item-column", "sku", "--rating-column", "grade", "--min-rating", "4")
    execution.run(Doctor, ["--data", str(path), "--separator", "semicolon", *columns])
    finding = lines_of(capsys.readouterr().out)["data"][1]
    assert finding == "36 rows; after the filters 18 positives of 6 users and 3 items"


def test_settings_of_training_change_its_minutes(
    priced: Account, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def usd(*more: str) -> float:
        execution.run(Doctor, ["--data", str(data), "--train-instance-type", "ml.m5.xlarge", *more])
        return float(forecast_of(capsys.readouterr().out)["train"].partition(" USD at most")[0].rpartition("; ")[2])

    assert usd("--train-epochs", "1000") > usd()
    assert usd("--train-epochs", "1000") > usd("--train-epochs", "1000", "--train-overrides", '{"refit": false}')


def test_a_job_that_would_be_stopped_is_said(account: Account, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wide = ("--train-overrides", '{"factors": 4096}')
    execution.run(Doctor, ["--data", str(data), "--train-epochs", "1000", "--train-max-run-time", "60", *wide])
    output = capsys.readouterr().out
    assert "may take longer than 'max_run_time', 60 s" in output
    assert "extrapolated: 'factors' was measured with 64 only" in output


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no rows of interactions"),
        ("a,b\n1,2\n", "column"),
        ("user,item,rating\nu1,i1,x\nu2,i2,3\n", "rating"),
    ],
)
def test_bad_data_are_named_with_status_2(
    account: Account, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, words: str
) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text(content)
    with pytest.raises(InputError, match="^1 of 1 checks failed: data$"):
        execution.run(Doctor, ["--data", str(path)])
    output = capsys.readouterr().out
    verdict, finding = lines_of(output)["data"]
    assert verdict == "FAILED"
    assert str(path) in finding
    assert words in finding
    assert "forecast:" not in output


def test_a_path_that_is_not_there_and_a_failed_check_of_aws(
    account: Account, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    account.refuse("get_role", "NoSuchEntity")
    with pytest.raises(RemoteError, match="2 of 5 checks failed: data, train role"):
        Doctor(data=str(tmp_path / "none.csv"), train_role=ROLE).run()
    assert "none.csv: no such file or folder" in lines_of(capsys.readouterr().out)["data"][1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "parameter 'train_role' is '': expected the ARN of an IAM role, .* or 'data' for a forecast alone"),
        (["--data", "x.csv", "--train-instance-type", ""], "parameter 'train_instance_type' is ''"),
        (["--data", "x.csv", "--train-epochs", "0"], "parameter 'train_epochs' is 0"),
        (
            ["--data", "x.csv", "--train-overrides", '{"factor": 3}'],
            "'train_overrides' has 'factor'.*did you mean factors",
        ),
        (["--data", "x.csv", "--train-model", "svd"], "parameter 'train_model'"),
    ],
)
def test_impossible_values_are_named(arguments: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        parsing.parse(Doctor, arguments)


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with local_account(tmp_path_factory.mktemp("account")) as aws:
        yield aws


def test_data_in_s3(stand_in: Any, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The stand-in's price list is empty."""
    uri = f"s3://{BUCKET}/raw/{data.parent.name}"
    upload(data, f"{uri}/interactions.csv")
    execution.run(Doctor, ["--data", uri])
    output = capsys.readouterr().out
    assert lines_of(output)["data"] == ("ok", finding_of(data))
    assert "no price" in output
    with pytest.raises(InputError, match="1 of 1 checks failed: data"):
        execution.run(Doctor, ["--data", f"{uri}/none"])
    assert f"{uri}/none: no such object" in capsys.readouterr().out
