"""``ncf watch``: the watcher of a queue, as a process."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

from pydantic import Field, field_validator

from ncf.aws.settings import AwsAccess
from ncf.sagemaker.runs.settings import check_notify
from ncf.stage.declaration import LAUNCHER, Stage

_URL = "^https?://[^/]+/.+"


class Watch(Stage, AwsAccess):
    """Start runs of pipelines for events in a queue, until SIGTERM.

    The file of rules says which events start which pipeline. Each cause starts one run: a message is deleted when its
    run exists. While KFP does not answer, messages wait. What KFP can never accept goes to the dead-letter queue.
    """

    image = LAUNCHER
    calls = ("ncf.aws.session", "ncf.sagemaker.runs.notification", "ncf.watching.queue")

    rules: Path = Field(description="File of rules, triggers.yaml")
    queue: str = Field(pattern=_URL, description="URL of the queue")
    dead_letters: str = Field(pattern=_URL, description="URL of the dead-letter queue")
    kfp_host: str = Field("", description="URL of the KFP API; '': that of this cluster")
    kfp_token: str = Field("", description="File with a bearer token; '': that of the pod, or NCF_KFP_TOKEN")
    namespace: str = Field("", description="Profile of a multi-user KFP; '': the namespace of this pod")
    notify: str = Field(
        "", description="SNS topic or URL that is told of messages in the dead-letter queue; '': nobody is"
    )
    health_port: int = Field(8081, ge=0, le=65535, description="Port of /healthz; 0: any")

    @field_validator("notify")
    @classmethod
    def _is_recipient(cls, value: str) -> str:
        check_notify(value)
        return value

    def run(self) -> None:
        from ncf.aws.namespace import own_namespace
        from ncf.aws.session import Aws
        from ncf.kfp_api.runs import IN_CLUSTER, Runs
        from ncf.watching.health import Health, serving
        from ncf.watching.notices import teller
        from ncf.watching.queue import Queue
        from ncf.watching.rules import load
        from ncf.watching.watcher import Watcher

        watcher = Watcher(
            queue=Queue(Aws(self), self.queue, self.dead_letters),
            runs=Runs(self.kfp_host or IN_CLUSTER, self.namespace or own_namespace(), self.kfp_token),
            rules=load(self.rules),
            tell=teller(self, self.notify),
            health=Health(),
        )
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: watcher.stop.set())
        with serving(watcher.health, self.health_port) as port:
            print(f"watching {self.queue} for {', '.join(watcher.rules)}; health on port {port}", flush=True)
            watcher.run()
        print("stopped; messages in progress were returned", flush=True)
