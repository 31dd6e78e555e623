"""The limits are plain numbers, which training and batch read without the libraries of the endpoint."""

from __future__ import annotations

import subprocess
import sys


def test_limits_are_read_without_pydantic_and_the_contract_without_a_server() -> None:
    code = (
        "import sys, ncf.api.limits; assert 'pydantic' not in sys.modules;"
        "import ncf.api.formats, ncf.api.answers; assert not {'starlette', 'anyio', 'uvicorn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
