"""`python -m local.cloud FOLDER SPEED`: serves AWS on loopback until standard input closes.

Prints the endpoint, then takes one order a line: `{"register": ...}` says that a host's agent came up,
`{"disconnect": "i-..."}` that it went; `auto_scaling` has orders of its own.
SPEED multiplies the schedules; logs and unpacked functions go to FOLDER.
"""

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"  # read when moto is imported
# There would be 1,296 images to search at each launch.
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

from local import moto_filters
from local.auto_scaling import attach as attach_auto_scaling
from local.cloud import (
    ACCOUNT,
    REGION,
    access,
    auto_scaling,
    cloudformation,
    ec2,
    event_source,
    eventbridge,
    iam,
    logs,
    managed_policies,
    s3,
    sqs,
    stacks,
)
from local.cloud.function import Functions
from local.cloud.hosts import Hosts
from local.run_command import attach, run_command_on_moto

TICK_SECONDS = 0.1


def main(folder: Path, speed: float) -> None:
    """Serve until standard input closes, then end all that was started."""
    os.environ["AWS_DEFAULT_REGION"] = REGION  # the SAM translator asks for it
    logging.basicConfig(
        filename=folder / "cloud.log",
        format="%(asctime)s %(name)s %(levelname)s %(message)s",
    )
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    application = DomainDispatcherApplication(create_backend_app)
    server = make_server(
        "127.0.0.1", 0, application, threaded=True, request_handler=MotoRequestHandler
    )
    endpoint = f"http://127.0.0.1:{server.server_port}"
    for module in (
        access,
        cloudformation,
        ec2,
        event_source,
        eventbridge,
        iam,
        logs,
        managed_policies,
        s3,
        sqs,
        stacks,
    ):
        module.install()
    functions = Functions(folder, endpoint)
    functions.install()
    moto_filters.install()
    service = run_command_on_moto(ACCOUNT, REGION, on_event=eventbridge.put)

    def tick() -> None:
        while True:
            service.tick()
            auto_scaling.SERVICE.tick()
            time.sleep(TICK_SECONDS)

    with attach(service), attach_auto_scaling(auto_scaling.SERVICE):
        for work in (
            server.serve_forever,
            tick,
            lambda: event_source.poll_forever(functions, endpoint),
            lambda: eventbridge.tick_schedules(speed),
        ):
            threading.Thread(target=work, daemon=True).start()
        print(endpoint, flush=True)
        hosts = Hosts(service, endpoint)
        try:
            for line in sys.stdin:
                _obey(hosts, json.loads(line))
        finally:
            (folder / "judged.jsonl").write_text("\n".join(sorted(access.JUDGED)))
            hosts.close()
            functions.close()


def _obey(hosts: Hosts, order: Mapping[str, Any]) -> None:
    if not auto_scaling.obey(order):
        hosts.obey(order)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
