"""A compiled pipeline, submitted to a cluster."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ncf.errors import InputError, RemoteError

_REFUSED = (400, 401, 403, 404)


def submit(package: Path, host: str, namespace: str, experiment: str, arguments: Mapping[str, Any]) -> str:
    """Start a run of a compiled pipeline.

    Args:
        package: its YAML.
        host: URL of the KFP API.
        namespace: profile namespace of a multi-user cluster; '' for none.
        experiment: the run is shown under it.
        arguments: of the pipeline.

    Returns:
        The run's ID.

    Raises:
        InputError: if nothing answers at ``host``, or it refuses the request.
        RemoteError: if it fails otherwise.
    """
    import kfp
    from kfp_server_api import ApiException
    from urllib3.exceptions import HTTPError

    try:
        with _quiet():
            client = kfp.Client(host=host, namespace=namespace)
            run = client.create_run_from_pipeline_package(
                str(package), arguments=dict(arguments), experiment_name=experiment, namespace=namespace
            )
    except ApiException as error:
        message = f"host: '{host}' answered {error.status} {error.reason}: {_line(error.body)}"
        raise (InputError if error.status in _REFUSED else RemoteError)(message) from None
    except HTTPError as error:
        reason = _line(getattr(error, "reason", "") or error)
        raise InputError(f"host: '{host}' cannot be reached: {reason}; expected the URL of the KFP API") from None
    except TimeoutError:  # of kfp's own, when what answers is something else
        raise InputError(f"host: '{host}' answers, but not as KFP does; expected the URL of the KFP API") from None
    return str(run.run_id)


@contextmanager
def _quiet() -> Iterator[None]:
    """kfp greets everybody with a warning, and logs a traceback, and urllib3 a line, for each try that fails."""
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def _line(said: object) -> str:
    return " ".join(str(said or "").split())[:300]
