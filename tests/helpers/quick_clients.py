"""Clients of boto3 that are made in a third of the time, and ask a little faster: most tests of launchers make some.

Each session derives the same from AWS's service models, which are megabytes. Here all sessions derive it once. Each
request sanitizes the same words of its user agent.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import botocore.session
from botocore import hooks, useragent
from botocore.client import ClientCreator
from botocore.model import ServiceModel


def share_service_models() -> None:
    """Replace what botocore computes for each client by a function that keeps its results."""
    botocore.session.create_loader = functools.cache(botocore.session.create_loader)
    load, methods_of, alias = (
        ClientCreator._load_service_model,
        ClientCreator._create_methods,
        hooks.EventAliaser._alias_event_name,
    )
    models: dict[tuple[str, str | None], ServiceModel] = {}
    methods: dict[ServiceModel, dict[str, Any]] = {}
    aliases: dict[str, str] = {}

    def model_of(self: ClientCreator, service_name: str, api_version: str | None = None) -> ServiceModel:
        if (service_name, api_version) not in models:
            models[service_name, api_version] = load(self, service_name, api_version)
        return models[service_name, api_version]

    def shared_methods(self: ClientCreator, service_model: ServiceModel) -> dict[str, Any]:
        if service_model not in methods:
            methods[service_model] = methods_of(self, service_model)
        return dict(methods[service_model])  # handlers add to it

    def shared_alias(self: hooks.EventAliaser, event_name: str) -> str:
        if event_name not in aliases:
            aliases[event_name] = alias(self, event_name)
        return aliases[event_name]

    ClientCreator._load_service_model = model_of
    ClientCreator._create_methods = shared_methods
    hooks.EventAliaser._alias_event_name = shared_alias
    sanitize = useragent.sanitize_user_agent_string_component
    useragent.sanitize_user_agent_string_component = functools.cache(sanitize)
    hooks.accepts_kwargs = functools.partial(_accepts_kwargs, hooks.accepts_kwargs)


def _accepts_kwargs(original: Callable[[Any], Any], function: Any) -> Any:
    """As botocore's, which parses a whole signature."""
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return bool(code.co_flags & inspect.CO_VARKEYWORDS) if code else original(function)
