"""The server of the stand-in: operations of SageMaker, and moto for everything else, on one port."""

from __future__ import annotations

import atexit
import functools
import io
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote
from xml.sax.saxutils import escape

from components.local.aws.access import Access, read_body
from components.local.aws.api import ACCOUNT, OPERATIONS, SageMakerApi
from components.local.aws.autoscaling import DEREGISTRATION, REGISTRATION
from components.local.aws.errors import ApiError
from components.local.aws.event_bus import EventBus
from components.local.aws.faults import PATH as FAULTS_PATH
from components.local.aws.faults import Fault, Faults
from components.local.aws.hosting import ModelError
from components.local.aws.instances import Instances
from components.local.aws.keys import AccessKey, Keys, access_key_id, calling_key
from components.local.aws.published import with_percentiles
from components.local.aws.services import NO_ACCOUNT, Services
from components.local.aws.tags import KINDS, kind_of

_TARGET = "SageMaker."
_INVOCATIONS = re.compile(r"/endpoints/([^/]+)/invocations/?")
_FORWARDED = {"CONTENT_TYPE": "Content-Type", "HTTP_ACCEPT": "Accept"}
_PRICES = "AWSPriceListService.GetProducts"
_IMAGES = "AmazonEC2ContainerRegistry_V20150921.DescribeImages"
_TAGGED = "ResourceGroupsTaggingAPI_20170126.GetResources"
_OPERATION = re.compile(r"/service/\w+/operation/(\w+)")
"""Path of a request in the protocol of CloudWatch's clients, Smithy RPC v2."""
_GET_METRICS = "GetMetricData"
_SERVICE = re.compile(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/")
_STATUSES = {
    "InternalFailure": 500,
    "InternalServerError": 500,
    "ServiceUnavailable": 503,
    "ExpiredTokenException": 403,
}
_MESSAGES = {
    "ThrottlingException": "Rate exceeded",
    "ExpiredTokenException": "The security token included in the request is expired",
}
_XML_SERVICES = ("S3:", "STS:", "IAM:", "SNS:")
_REFUSED_BYTES = 1 << 20
"""Part of a refused request's body that is read, so that its client reads the answer."""
_CONNECTION_SECONDS = 60.0
_SHUTDOWN_POLL_SECONDS = 0.05
"""Time after which a connection is closed on which nothing arrives."""
_active: list[LocalAws] = []


class LocalAws:
    """S3 and SageMaker for this process and its children, as a context manager.

    Clients need only the environment variables in :attr:`environment`: all requests must be signed with the access key
    there, or with one that IAM or STS returned for it. Faults are injected through :attr:`faults`, or by HTTP at
    ``/_faults``.

    Args:
        root: folder for all files: an ``/opt/ml`` tree for each host of a job and each endpoint.
        instances: instances for the programs of images, as processes or containers.
        region: region of the resources.
        grace: seconds between SIGTERM and SIGKILL of a training job; 120 in SageMaker.
        start_seconds: timeout of a serving container's first successful ``/ping``, in seconds.
        serving: additional variables for the serving programs of endpoints.
        address: address to listen on, for clients on other machines; '' for the address of ``instances``.
        port: port to listen on; 0 for a free one.
        key: access key of the clients; None for a random one.
        hosts: names of this server in requests, in addition to its address and ``localhost``.

    Raises:
        RuntimeError: if another instance is active in this process: moto's state is global.
    """

    def __init__(
        self,
        root: Path,
        instances: Instances,
        region: str = "us-east-1",
        grace: float = 120.0,
        start_seconds: float = 60.0,
        serving: Mapping[str, str] | None = None,
        address: str = "",
        port: int = 0,
        key: AccessKey | None = None,
        hosts: Sequence[str] = (),
    ) -> None:
        from moto.moto_server.werkzeug_app import (
            DomainDispatcherApplication,
            MotoRequestHandler,
            create_backend_app,
        )
        from werkzeug.serving import make_server

        if _active:
            raise RuntimeError("another LocalAws is active in this process; close it first")

        class SilentHandler(MotoRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = _CONNECTION_SECONDS

            def run_wsgi(self) -> None:
                """Answer a request; 400 for a target that is no URL."""
                try:
                    super().run_wsgi()
                except ValueError:
                    self.send_error(400)
                    self.close_connection = True

            def log_request(self, *args: Any) -> None:
                """Log nothing."""

        _reset_moto()
        with_percentiles()
        self._moto = DomainDispatcherApplication(create_backend_app)
        find = self._moto.get_backend_for_host  # it lists the folders of moto for each request
        self._moto.get_backend_for_host = functools.lru_cache(find)  # type: ignore[method-assign]
        self._server = make_server(
            address or instances.listen_at, port, self._answer, threaded=True, request_handler=SilentHandler
        )
        self._server.daemon_threads = True  # type: ignore[attr-defined]
        self.root = root.resolve()
        self.region = region
        key = key or AccessKey.random()
        self._access = Access(Keys(key, ACCOUNT), [instances.listen_at, "localhost", *hosts])
        self.endpoint_url = f"http://{instances.listen_at}:{self._server.port}"
        self.environment = {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": key.id,
            "AWS_SECRET_ACCESS_KEY": key.secret,
            "AWS_SESSION_TOKEN": "local",
            "AWS_DEFAULT_REGION": region,
            "AWS_REGION": region,
            **NO_ACCOUNT,
            "MOTO_ACCOUNT_ID": ACCOUNT,
            **_without_proxy(instances.listen_at),
        }
        self._services = Services(self.endpoint_url, self.environment, region)
        self.faults = Faults()
        self._bus = EventBus(region, ACCOUNT)
        self._api = SageMakerApi(
            self.root,
            region,
            self._services,
            instances,
            self.environment,
            grace,
            start_seconds,
            self.faults,
            serving or {},
            self._bus,
        )
        arguments = (_SHUTDOWN_POLL_SECONDS,)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=arguments, daemon=True, name="local AWS"
        )
        self._thread.start()
        _active.append(self)
        atexit.register(self.close)

    def __enter__(self) -> LocalAws:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop all programs and the server."""
        if self not in _active:
            return
        self._api.close()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
        self._bus.close()
        _active.remove(self)
        atexit.unregister(self.close)

    def create_bucket(self, name: str) -> None:
        """Create an S3 bucket."""
        if self.region == "us-east-1":
            self._services.s3.create_bucket(Bucket=name)
        else:
            configuration = {"LocationConstraint": self.region}
            self._services.s3.create_bucket(Bucket=name, CreateBucketConfiguration=configuration)

    def invoke(self, endpoint: str, request: Mapping[str, Any], target: str = "") -> dict[str, Any]:
        """The answer of an endpoint to a JSON request, for the target model of a multi-model endpoint."""
        return self._services.invoke(endpoint, request, target)

    def add_fault(self, fault: Mapping[str, Any]) -> None:
        """Request a fault: see :class:`components.local.aws.faults.Fault`.

        Raises:
            ApiError: if it is invalid.
        """
        self.faults.add_request(fault)

    def endpoint_address(self, name: str) -> str:
        """URL of an endpoint's serving program: ``http://ADDRESS:PORT``."""
        return self._api.endpoint(name).address

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request (WSGI)."""
        try:
            return self._route(environ, start_response)
        except ApiError as error:
            return _error(start_response, error)

    def _route(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            self._access.check(environ)
            calling_key.set(access_key_id(environ))
        except ApiError as error:
            read_body(environ, _REFUSED_BYTES)
            return _fail(error, environ, start_response, [("Connection", "close")])
        if environ.get("PATH_INFO") == FAULTS_PATH:
            return self._control(environ, start_response)
        if slow := self.faults.take("slow", _operation_name(environ)):
            time.sleep(slow.seconds)
        if fault := self._refused(environ):
            return _refuse(fault, environ, start_response)
        if _operation_name(environ) == _GET_METRICS:
            self._api.publish_metrics()
        if found := _INVOCATIONS.fullmatch(environ.get("PATH_INFO", "")):
            return self._invoke(unquote(found[1]), environ, start_response)
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        name = target.removeprefix(_TARGET)
        if target.startswith(_TARGET) and name in OPERATIONS:
            body = read_body(environ)
            request = _parsed(body)
            if "ResourceArn" not in request or kind_of(str(request["ResourceArn"])) in KINDS:
                operation = self._api.operation(name)
                assert operation is not None
                try:
                    return _json(start_response, operation(request))
                except ApiError as error:
                    return _error(start_response, error)
            environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        if target in (REGISTRATION, DEREGISTRATION):
            body = read_body(environ)
            prepare = self._api.check_scalable_target
            if target == DEREGISTRATION:
                prepare = self._api.delete_scaling_policies
            try:
                prepare(_parsed(body))
            except ApiError as error:
                return _error(start_response, error)
            environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        if target == _IMAGES:
            raise ApiError("AccessDeniedException", "the stand-in has no registry of images")
        if target == _PRICES:  # no prices: nothing costs money here
            return _json(start_response, {"FormatVersion": "aws_v1", "PriceList": []})
        if target == _TAGGED:
            return _json(start_response, self._api.tags.get_resources(_parsed(read_body(environ))))
        answer: Iterable[bytes] = self._moto(environ, start_response)
        return answer

    def _control(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """List, add or clear faults by HTTP."""
        try:
            if environ["REQUEST_METHOD"] == "POST":
                self.faults.add_request(_parsed(read_body(environ)))
            elif environ["REQUEST_METHOD"] == "DELETE":
                self.faults.clear()
        except ApiError as error:
            return _error(start_response, error)
        return _json(start_response, {"faults": self.faults.coming()})

    def _refused(self, environ: Mapping[str, Any]) -> Fault | None:
        """The fault of kind refuse or expire for a request; None for none."""
        key = access_key_id(environ)
        if key and self.faults.find("expire", key):
            return Fault.model_validate({"kind": "refuse", "name": key, "error": "ExpiredTokenException"})
        return self.faults.take("refuse", _operation_name(environ))

    def _invoke(self, name: str, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        headers = {header: environ[key] for key, header in _FORWARDED.items() if environ.get(key)}
        try:
            try:
                endpoint = self._api.endpoint_of_invocation(name)
            except ApiError:
                raise ApiError("ValidationError", f"Endpoint {name} of account {ACCOUNT} not found.") from None
            target = environ.get("HTTP_X_AMZN_SAGEMAKER_TARGET_VARIANT", "")
            model = environ.get("HTTP_X_AMZN_SAGEMAKER_TARGET_MODEL", "")
            body, content_type, variant = endpoint.invoke(read_body(environ), headers, target, model)
        except ModelError as error:
            return _respond(start_response, error.status, error.body(), [("x-amzn-ErrorType", error.code)])
        except ApiError as error:
            return _error(start_response, error)
        extra = [("x-Amzn-Invoked-Production-Variant", variant)]
        return _respond(start_response, 200, body, extra, content_type or "application/octet-stream")


def _reset_moto() -> None:
    """Empty moto's state, which is global to the process."""
    from moto.core.base_backend import BackendDict

    BackendDict.reset()


def _without_proxy(address: str) -> dict[str, str]:
    """Variables that exclude an address of this machine from the proxy."""
    known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")
    hosts = ",".join(filter(None, [known, address, "localhost"]))
    return {"NO_PROXY": hosts, "no_proxy": hosts}


def _operation_name(environ: Mapping[str, Any]) -> str:
    """Name of the operation, such as ``DescribeTrainingJob``; for S3 its HTTP method, such as ``S3:GET``."""
    if target := environ.get("HTTP_X_AMZ_TARGET", ""):
        return str(target).rpartition(".")[2]
    if _INVOCATIONS.fullmatch(environ.get("PATH_INFO", "")):
        return "InvokeEndpoint"
    if found := _OPERATION.fullmatch(environ.get("PATH_INFO", "")):
        return found[1]
    scope = _SERVICE.search(environ.get("HTTP_AUTHORIZATION", ""))
    return f"{scope[1].upper() if scope else ''}:{environ['REQUEST_METHOD']}"


def _refuse(fault: Fault, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with the error of a fault, or close the connection before or within the answer."""
    if fault.error in ("drop", "cut"):
        if fault.error == "cut":
            start_response("200 OK", [("Content-Type", "application/x-amz-json-1.1"), ("Content-Length", "1000")])
        environ["werkzeug.socket"].shutdown(socket.SHUT_RD if fault.error == "cut" else socket.SHUT_RDWR)
        return [b"{"] if fault.error == "cut" else []
    message = _MESSAGES.get(fault.error, "a fault was injected")
    return _fail(ApiError(fault.error, message, _STATUSES.get(fault.error, 400)), environ, start_response)


def _fail(
    error: ApiError,
    environ: Mapping[str, Any],
    start_response: Callable[..., Any],
    headers: Sequence[tuple[str, str]] = (),
) -> Iterable[bytes]:
    """Answer with an error, in the format of the service."""
    name = _operation_name(environ)
    if "xml" in environ.get("HTTP_ACCEPT", "") or name.startswith(_XML_SERVICES):
        body = f"<Error><Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message></Error>"
        body = body if name.startswith("S3:") else f"<ErrorResponse>{body}</ErrorResponse>"
        return _respond(start_response, error.status, body.encode(), headers, "application/xml")
    return _error(start_response, error, headers)


def _parsed(body: bytes) -> dict[str, Any]:
    """The request in a body."""
    try:
        request = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise ApiError("SerializationException", f"expected a JSON object: {error}") from None
    if not isinstance(request, dict):
        raise ApiError("SerializationException", "expected a JSON object")
    return request


def _json(start_response: Callable[..., Any], content: Mapping[str, Any]) -> Iterable[bytes]:
    return _respond(start_response, 200, json.dumps(content).encode())


def _error(
    start_response: Callable[..., Any], error: ApiError, headers: Sequence[tuple[str, str]] = ()
) -> Iterable[bytes]:
    body = json.dumps({"__type": error.code, "message": error.message, "Message": error.message}).encode()
    return _respond(start_response, error.status, body, [("x-amzn-ErrorType", error.code), *headers])


def _respond(
    start_response: Callable[..., Any],
    status: int,
    body: bytes,
    headers: Sequence[tuple[str, str]] = (),
    content_type: str = "application/x-amz-json-1.1",
) -> Iterable[bytes]:
    lines = [("Content-Type", content_type), ("Content-Length", str(len(body))), *headers]
    start_response(f"{status} {'OK' if status == 200 else 'Error'}", lines)
    return [body]
