"""Where template and variables come from: the bucket, else the project, else what is bundled."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from haproxy_sync.config import sources
from haproxy_sync.config.sources import Uploads
from haproxy_sync.errors import TemplateError
from haproxy_sync.settings import Settings

SETTINGS = Settings(
    "staging", "eu-west-1", "haproxy-config", "https://queue", "document", "stack"
)


@pytest.fixture
def s3() -> Iterator[Any]:
    """A client, and an empty bucket."""
    with mock_aws():
        client = boto3.client("s3", region_name="eu-west-1")
        client.create_bucket(
            Bucket="haproxy-config",
            CreateBucketConfiguration={"LocationConstraint": "eu-west-1"},
        )
        yield client


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The folder of a deployed project without a template of its own."""
    return tmp_path


def put(s3: Any, key: str, text: str | bytes) -> None:
    """An upload."""
    s3.put_object(Bucket="haproxy-config", Key=key, Body=text)


def uploads(s3: Any, project: Path) -> Uploads:
    """As a look finds them."""
    clients: Any = SimpleNamespace(s3=s3)
    return Uploads(clients, SETTINGS, project)


def kinds(s3: Any, project: Path) -> tuple[str, str]:
    """Where template and variables come from."""
    origins = uploads(s3, project).origins
    return str(origins.template.kind), str(origins.variables.kind)


def test_nothing_uploaded_means_the_bundled_template(s3: Any, project: Path) -> None:
    """At the price of two small requests, and of nothing else where it is cached already."""
    made: list[str] = []
    s3.meta.events.register(
        "before-call.s3", lambda model, **_: made.append(model.name)
    )
    source = sources.load(uploads(s3, project))
    assert source.variables == {}
    assert "server" in source.templates.files[source.templates.main]
    assert made == ["ListObjectsV2", "ListObjectsV2"]
    assert sources.load(uploads(s3, project), source) is source
    assert kinds(s3, project) == ("bundled", "none")


def test_the_projects_template_and_variables(s3: Any, project: Path) -> None:
    """What was deployed with the function, with what it includes."""
    for name, text in {
        "templates/haproxy.cfg.j2": "a",
        "templates/parts/b.j2": "b",
        "vars/staging.yml": "c: 1",
    }.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    source = sources.load(uploads(s3, project))
    assert kinds(s3, project) == ("deployed", "deployed")
    assert source.templates.files == {"haproxy.cfg.j2": "a", "parts/b.j2": "b"}
    assert source.variables == {"c": 1}


def test_an_upload_wins(s3: Any, project: Path) -> None:
    """Template and variables each on their own, of this environment only."""
    put(s3, "templates/staging/haproxy.cfg.j2", "uploaded")
    put(s3, "templates/staging/parts/b.j2", "b")
    put(s3, "templates/production/haproxy.cfg.j2", "not ours")
    put(s3, "vars/staging.yml", "a: 1")
    put(s3, "vars/staging.yml.bak", "a: 2")
    source = sources.load(uploads(s3, project))
    assert kinds(s3, project) == ("uploaded", "uploaded")
    assert source.templates.files == {"haproxy.cfg.j2": "uploaded", "parts/b.j2": "b"}
    assert source.variables == {"a": 1}


def test_variables_for_the_bundled_template(s3: Any, project: Path) -> None:
    """The usual case: nobody needs a template of their own to set a timeout."""
    put(s3, "vars/staging.yml", "session_timeout: 2h")
    source = sources.load(uploads(s3, project))
    assert kinds(s3, project) == ("bundled", "uploaded")
    assert source.variables == {"session_timeout": "2h"}


def test_every_change_has_a_version(s3: Any, project: Path) -> None:
    """A new upload, a changed include and a removal are seen; the same bytes again are nothing new."""
    versions = [sources.load(uploads(s3, project)).version]
    for key, text in (
        ("templates/staging/haproxy.cfg.j2", "1"),
        ("templates/staging/b.j2", "2"),
        ("vars/staging.yml", "a: 1"),
    ):
        put(s3, key, text)
        versions.append(sources.load(uploads(s3, project)).version)
    assert len(set(versions)) == 4
    cached = sources.load(uploads(s3, project))
    put(s3, "vars/staging.yml", "a: 1")
    assert sources.load(uploads(s3, project), cached) is cached
    s3.delete_object(Bucket="haproxy-config", Key="vars/staging.yml")
    assert sources.load(uploads(s3, project), cached).version == versions[2]


@pytest.mark.parametrize(
    ("key", "content", "message"),
    [
        (
            "templates/staging/other.j2",
            b"x",
            r"templates/staging/haproxy\.cfg\.j2: it is missing beside other\.j2",
        ),
        (
            "templates/staging/haproxy.cfg.j2",
            b"a\n\xff",
            r"templates/staging/haproxy\.cfg\.j2:2: it is not UTF-8",
        ),
        (
            "templates/staging/haproxy.cfg.j2",
            b"a" * (1024 * 1024 + 1),
            r"haproxy\.cfg\.j2: larger than 1048576 bytes",
        ),
        ("vars/staging.yml", b"a: [", r"vars/staging\.yml:1: "),
        (
            "vars/staging.yml",
            b"ansible_host: x",
            r"vars/staging\.yml: ansible_host comes from EC2",
        ),
    ],
)
def test_a_broken_upload_says_what_is_wrong(
    s3: Any, project: Path, key: str, content: bytes, message: str
) -> None:
    """File, line and reason, before anything is rendered."""
    put(s3, key, content)
    with pytest.raises(TemplateError, match=message):
        sources.load(uploads(s3, project))


def test_an_upload_between_list_and_read(s3: Any, project: Path) -> None:
    """Never half of one version and half of the next: the read fails and the message comes back."""
    put(s3, "vars/staging.yml", "a: 1")
    listed = s3.list_objects_v2

    def list_then_change(**request: Any) -> Any:
        page = listed(**request)
        if request["Prefix"].startswith("vars/"):
            put(s3, "vars/staging.yml", "a: 2")
        return page

    s3.list_objects_v2 = list_then_change
    with pytest.raises(ClientError, match=r"PreconditionFailed"):
        sources.load(uploads(s3, project))
