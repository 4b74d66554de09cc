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

from haproxy_sync.config.variables import parse_variables
from haproxy_sync.errors import TemplateError
from haproxy_sync.settings import Settings

MAIN = "haproxy.cfg.j2"
PACKAGE = Path(__file__).parent
PROJECT = PACKAGE.parents[1]  # what is deployed, `src` in the repository
MAX_FILES = 100
MAX_BYTES = 1024 * 1024

type Objects = Mapping[str, Mapping[str, Any]]
"""Objects of the bucket by key, as a listing describes them."""


@dataclass(frozen=True, slots=True)
class TemplateSet:
    """The main template and the files that it may include, by path."""

    main: str
    files: Mapping[str, str]


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


UNKNOWN = Origins("unknown", "unknown")
"""Where the bucket could not be asked."""


def load(
    s3: Any, settings: Settings, cached: Source | None = None, project: Path = PROJECT
) -> Source:
    """The source that is current now; `cached` as it is where nothing was uploaded or removed since.

    Two list requests where nothing was uploaded: templates and variables have no prefix in common. Raises
    `TemplateError` (an upload is broken: file, line, reason) and botocore's `ClientError` and `BotoCoreError`, the
    former also where somebody uploads between the listing and the read.
    """
    prefix, variables_key = _places(settings)
    uploaded = _bounded(prefix, _below(s3, settings.bucket, prefix))
    stated = _bounded(variables_key, _exactly(s3, settings.bucket, variables_key))
    objects = {**uploaded, **stated}
    version = _version(objects)
    if cached and cached.version == version:
        return cached
    texts = {key: _text(s3, settings.bucket, item) for key, item in objects.items()}
    files = {key.removeprefix(prefix): texts[key] for key in uploaded}
    return Source(
        templates=_complete(prefix, files or deployed(project)[1]),
        variables=_variables(texts, variables_key, project),
        version=version,
    )


def origins(s3: Any, settings: Settings, project: Path = PROJECT) -> Origins:
    """Where both come from now, whether or not they can be read.

    Two list requests. Raises botocore's `ClientError` and `BotoCoreError`.
    """
    prefix, variables_key = _places(settings)
    uploaded = _below(s3, settings.bucket, prefix)
    template = "bucket" if uploaded else deployed(project)[0]
    stated = _exactly(s3, settings.bucket, variables_key)
    variables = "bucket" if stated else _origin_of_variables(project / variables_key)
    return Origins(template, variables)


def _origin_of_variables(path: Path) -> str:
    if path.is_file():
        return "project"
    return "none"


def _places(settings: Settings) -> tuple[str, str]:
    """Prefix of the templates in the bucket, and key of the variables, which is their path in the project too."""
    return f"templates/{settings.environment}/", f"vars/{settings.environment}.yml"


def deployed(project: Path = PROJECT) -> tuple[str, Mapping[str, str]]:
    """Which templates were deployed, the project's or else the bundled ones, and their texts by path."""
    folders = {
        "project": project / "templates",
        "bundled": PACKAGE / "templates",
    }
    for origin, folder in folders.items():
        if (folder / MAIN).is_file():
            return origin, read_folder(folder)
    raise FileNotFoundError(PACKAGE / "templates" / MAIN)


def read_folder(folder: Path) -> Mapping[str, str]:
    """Every file below a folder by its relative path (`TemplateError` where one is not UTF-8)."""
    paths = sorted(filter(Path.is_file, folder.rglob("*")))
    return {
        path.relative_to(folder).as_posix(): decoded(path.name, path.read_bytes())
        for path in paths
    }


def _complete(prefix: str, files: Mapping[str, str]) -> TemplateSet:
    """The template set of these files (`TemplateError` where the main one is not among them)."""
    if MAIN not in files:
        raise TemplateError(
            f"{prefix}{MAIN}", None, f"it is missing beside {', '.join(sorted(files))}"
        )
    return TemplateSet(MAIN, files)


def _variables(texts: Mapping[str, str], key: str, project: Path) -> Mapping[str, Any]:
    """The uploaded variables, else the project's, else none (`TemplateError`)."""
    if key in texts:
        return parse_variables(texts[key], key)
    path = project / key
    if not path.is_file():
        return {}
    return parse_variables(path.read_text(encoding="utf-8"), f"src/{key}")


def _below(s3: Any, bucket: str, prefix: str) -> Objects:
    """The objects below a prefix, one more than allowed at most (`ClientError`, `BotoCoreError`).

    A key that ends in a slash is a folder that somebody made in the S3 console.
    """
    page = s3.list_objects_v2(
        Bucket=bucket,
        Prefix=prefix,
        MaxKeys=MAX_FILES + 1,
    )
    contents = page.get("Contents", ())
    return {item["Key"]: item for item in contents if not item["Key"].endswith("/")}


def _exactly(s3: Any, bucket: str, key: str) -> Objects:
    """The object of this key, if there is one; other keys may begin with it (`ClientError`, `BotoCoreError`)."""
    return {
        found: item for found, item in _below(s3, bucket, key).items() if found == key
    }


def _bounded(prefix: str, objects: Objects) -> Objects:
    """The objects (`TemplateError` where they are too many or one is too large)."""
    if len(objects) > MAX_FILES:
        raise TemplateError(prefix, None, f"more than {MAX_FILES} files")
    large = next(
        (key for key, item in objects.items() if item["Size"] > MAX_BYTES), None
    )
    if large:
        raise TemplateError(large, None, f"larger than {MAX_BYTES} bytes")
    return objects


def _text(s3: Any, bucket: str, item: Mapping[str, Any]) -> str:
    """The text of an object in the version that was listed.

    Raises `TemplateError` (it is not UTF-8), and botocore's `BotoCoreError` and `ClientError`, the latter also where
    the bucket holds another version by now.
    """
    answer = s3.get_object(
        Bucket=bucket,
        Key=item["Key"],
        IfMatch=item["ETag"],
    )
    return decoded(item["Key"], answer["Body"].read())


def decoded(name: str, content: bytes) -> str:
    """The text of UTF-8 (`TemplateError` with the line where it is not)."""
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TemplateError(name, line, "it is not UTF-8") from error


def _version(objects: Objects) -> str:
    """A text that changes with any upload and removal. What was deployed does not change while the process lives."""
    if not objects:
        return "deployed"
    tags = (f"{key} {item['ETag']}" for key, item in sorted(objects.items()))
    return sha256("\n".join(tags).encode()).hexdigest()[:16]
