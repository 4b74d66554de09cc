"""Where the template and its variables come from: the bucket, else the deployed project, else the bundled ones.

| from | template | variables |
|---|---|---|
| bucket | `templates/<environment>/haproxy.cfg.j2` and what it includes | `vars/<environment>.yml` |
| project | `src/templates/`, deployed with the function | `src/vars/<environment>.yml` |
| bundled | `haproxy_sync/config/templates/` | none |
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from haproxy_sync.config.render import TemplateSet
from haproxy_sync.config.variables import parse_variables
from haproxy_sync.errors import TemplateError
from haproxy_sync.settings import Settings

MAIN = "haproxy.cfg.j2"
PACKAGE = Path(__file__).parent
PROJECT = PACKAGE.parents[1]  # what is deployed, `src` in the repository
MAX_FILES = 100
MAX_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Source:
    """Templates and variables, and a version that changes when either does."""

    templates: TemplateSet
    variables: Mapping[str, Any] = field(repr=False)  # may hold secrets
    version: str


@dataclass(frozen=True, slots=True)
class Origins:
    """The rows of the table above that template and variables come from."""

    template: str
    variables: str  # "none" where there are none


def load(s3: Any, settings: Settings, known: Source | None = None, project: Path = PROJECT) -> Source:
    """The source that is current now; `known` as it is where nothing was uploaded or removed since.

    Two list requests where nothing was uploaded. Raises `TemplateError` (an upload is broken: file, line, reason) and
    `ClientError`.
    """
    prefix, variables_key = _places(settings)
    uploaded = _bounded(prefix, _listed(s3, settings.bucket, prefix))
    stated = _bounded(variables_key, _listed(s3, settings.bucket, variables_key, exactly=True))
    version = _version({key: item["ETag"] for key, item in {**uploaded, **stated}.items()})
    if known and known.version == version:
        return known
    texts = {key: _text(s3, settings.bucket, key, item["ETag"]) for key, item in {**uploaded, **stated}.items()}
    files: Mapping[str, str] = {key.removeprefix(prefix): texts[key] for key in uploaded}
    if not files:
        _, files = deployed(project)
    if MAIN not in files:
        raise TemplateError(f"{prefix}{MAIN}", None, f"it is missing beside {', '.join(sorted(files))}")
    return Source(TemplateSet(MAIN, files), _variables(texts, variables_key, project), version)


def _places(settings: Settings) -> tuple[str, str]:
    """Prefix of the templates in the bucket, and key of the variables, which is their path in the project too."""
    return f"templates/{settings.environment}/", f"vars/{settings.environment}.yml"


def origins(s3: Any, settings: Settings, project: Path = PROJECT) -> Origins:
    """Where both come from now, whether or not they can be read."""
    prefix, variables_key = _places(settings)
    template = "bucket" if _listed(s3, settings.bucket, prefix) else deployed(project)[0]
    if _listed(s3, settings.bucket, variables_key, exactly=True):
        return Origins(template, "bucket")
    return Origins(template, "project" if (project / variables_key).is_file() else "none")


def deployed(project: Path = PROJECT) -> tuple[str, Mapping[str, str]]:
    """The project's templates, else the bundled ones, and which of the two."""
    for origin, folder in (("project", project / "templates"), ("bundled", PACKAGE / "templates")):
        if (folder / MAIN).is_file():
            return origin, read_folder(folder)
    raise FileNotFoundError(PACKAGE / "templates" / MAIN)


def read_folder(folder: Path) -> Mapping[str, str]:
    """Every file below a folder by its relative path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): decoded(path.name, path.read_bytes()) for path in paths}


def _variables(texts: Mapping[str, str], key: str, project: Path) -> Mapping[str, Any]:
    if key in texts:
        return parse_variables(texts[key], key)
    path = project / key
    return parse_variables(path.read_text(encoding="utf-8"), f"src/{key}") if path.is_file() else {}


def _listed(s3: Any, bucket: str, prefix: str, *, exactly: bool = False) -> dict[str, Mapping[str, Any]]:
    """The objects below a prefix, or only the one that is called so, by key."""
    page = s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=MAX_FILES + 1)
    objects = {item["Key"]: item for item in page.get("Contents", ()) if not item["Key"].endswith("/")}
    return {key: item for key, item in objects.items() if key == prefix or not exactly}


def _bounded(prefix: str, objects: dict[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The objects, or why they are too many or too large."""
    if len(objects) > MAX_FILES:
        raise TemplateError(prefix, None, f"more than {MAX_FILES} files")
    for key, item in objects.items():
        if item["Size"] > MAX_BYTES:
            raise TemplateError(key, None, f"larger than {MAX_BYTES} bytes")
    return objects


def _text(s3: Any, bucket: str, key: str, tag: str) -> str:
    # If-Match: the version that was listed, or an error and another try.
    return decoded(key, s3.get_object(Bucket=bucket, Key=key, IfMatch=tag)["Body"].read())


def decoded(name: str, content: bytes) -> str:
    """UTF-8 (`TemplateError` with the line where it is not)."""
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TemplateError(name, line, "it is not UTF-8") from error


def _version(tags: Mapping[str, str]) -> str:
    if not tags:
        return "deployed"
    return sha256("\n".join(f"{key} {tag}" for key, tag in sorted(tags.items())).encode()).hexdigest()[:16]
