"""Clients with session credentials of a role, for what stands for a service here or for a host's agent."""

from typing import Any

import boto3
from botocore.loaders import create_loader
from botocore.session import get_session

from local.cloud import REGION
from local.cloud.function import session_credentials

_LOADER = create_loader()
"""One for all: each of its own would parse the descriptions of the services anew.

What a session of boto3 adds to it, the place of its own descriptions, is the same each time.
"""


def client_of(role: str, name: str, service: str, endpoint: str, **options: Any) -> Any:
    """A client of this service in a session of the role."""
    keys, session = session_credentials(role, name), get_session()
    session.register_component("data_loader", _LOADER)
    made: Any = boto3.Session(
        keys["AWS_ACCESS_KEY_ID"],
        keys["AWS_SECRET_ACCESS_KEY"],
        keys["AWS_SESSION_TOKEN"],
        REGION,
        botocore_session=session,
    )
    return made.client(service, endpoint_url=endpoint, **options)
