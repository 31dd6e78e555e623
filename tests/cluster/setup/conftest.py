from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from stacks import Clients, cloudformation

import ncf

TEMPLATE = Path(ncf.__file__).parents[1] / "components" / "cluster" / "setup.yaml"
REQUIRED: Mapping[str, str] = {
    "Prefix": "kfp/",
    "JobPrefix": "ncf-train",
    "EndpointPrefix": "ncf",
    "RegistryPrefix": "ncf",
    "OidcProvider": "oidc.eks.us-east-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF",
    "Namespace": "my-profile",
}
"""Parameters of the set-up stack without a default."""
FULL: Mapping[str, str] = {
    **REQUIRED,
    "EndpointName": "ncf-shop",
    "ExpectsTraffic": "true",
    "MonthlyBudget": "500",
    "Email": "team@example.com",
    "GitHubRepository": "example/shop",
}
"""Parameters with which every resource is made."""


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Clients]:
    """Clients of an empty account."""
    with cloudformation(tmp_path) as clients:
        yield clients
