"""Where the template and its variables come from: uploads, else the deployed project, else the bundled ones.

| origin | template | variables |
|---|---|---|
| uploaded | `templates/<environment>/haproxy.cfg.j2` and what it includes, in the bucket | `vars/<environment>.yml` |
| deployed | `src/templates/`, deployed with the function | `src/vars/<environment>.yml` |
| bundled | `haproxy_sync/config/templates/` | none |
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haproxy_sync.aws import Clients
from haproxy_sync.config.ansible.raw import Reference
from haproxy_sync.config.variables import parse_variables, references
from haproxy_sync.errors import TemplateError
from haproxy_sync.settings import Settings
from haproxy_sync.state.model import UNKNOWN_ORIGIN, Origin, OriginKind, UnixSeconds

if TYPE_CHECKING:
    from haproxy_sync.config.secret_stores import SecretStores

MAIN = "haproxy.cfg.j2"
PACKAGE = Path(__file__).parent
PROJECT = PACKAGE.parents[1]  # what is deployed, `src` in the repository
MAX_FILES = 100
MAX_BYTES = 1024 * 1024
VERSION_LENGTH = 16  # hex digits

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
    references: tuple[Reference, ...] = ()
    """What the variables still refer to."""


@dataclass(frozen=True, slots=True)
class Origins:
    """Where template and variables come from."""

    template: Origin = UNKNOWN_ORIGIN
    variables: Origin = UNKNOWN_ORIGIN


@dataclass(frozen=True)
class Uploads:
    """The uploads of an environment, as two list requests find them: templates and variables share no prefix.

    The requests are made when somebody reads what they answer, once; a look has one of these, and with it the stores
    that its variables refer to. They raise botocore's `ClientError` and `BotoCoreError`.
    """

    clients: Clients
    settings: Settings
    project: Path = PROJECT

    @property
    def s3(self) -> Any:
        """Where they are."""
        return self.clients.s3

    @cached_property
    def secret_stores(self) -> "SecretStores":
        """SSM and Secrets Manager, which are asked for each version once a look."""
        from haproxy_sync.config.secret_stores import (  # noqa: PLC0415 - only who refers to something pays for it
            SecretStores,
        )

        return SecretStores(self.clients)

    @cached_property
    def templates(self) -> Objects:
        """The template and what it includes, by key."""
        return _below(self.s3, self.settings.bucket, self.prefix)

    @cached_property
    def variables(self) -> Objects:
        """The object with the variables, if there is one."""
        return _exactly(self.s3, self.settings.bucket, self.variables_key)

    @property
    def prefix(self) -> str:
        """Below which templates are uploaded."""
        return templates_prefix(self.settings.environment)

    @property
    def variables_key(self) -> str:
        """Where variables are uploaded; it is their path in the project, too."""
        return variables_key(self.settings.environment)

    @property
    def is_listed(self) -> bool:
        """Whether both requests were made, and answered."""
        return {"templates", "variables"} <= self.__dict__.keys()

    @property
    def origins(self) -> Origins:
        """Where both come from now, whether or not they can be used."""
        kind, folder = _folder(self.project)
        own = self.project / self.variables_key
        of_variables = _deployed_file(own) if own.is_file() else Origin(OriginKind.NONE)
        return Origins(
            template=_uploaded(self.templates) or Origin(kind, _digest_of(folder)),
            variables=_uploaded(self.variables) or of_variables,
        )


def templates_prefix(environment: str) -> str:
    """Below which an environment's templates are, in any bucket of the project."""
    return f"templates/{environment}/"


def variables_key(environment: str) -> str:
    """Where an environment's variables are, in any bucket of the project."""
    return f"vars/{environment}.yml"


def load(uploads: Uploads, cached: Source | None = None) -> Source:
    """The source that is current now; `cached` as it is where nothing was uploaded or removed since.

    Nothing but the two list requests where nothing was uploaded. Raises `TemplateError` (an upload is broken: file,
    line, reason) and botocore's `ClientError` and `BotoCoreError`, the former also where somebody uploads between the
    listing and the read.
    """
    prefix, variables_key = uploads.prefix, uploads.variables_key
    templates = _bounded(prefix, uploads.templates)
    objects = {**templates, **_bounded(variables_key, uploads.variables)}
    version = _version(objects)
    if cached and cached.version == version:
        return cached
    bucket = uploads.settings.bucket
    texts = {key: _text(uploads.s3, bucket, item) for key, item in objects.items()}
    files = {key.removeprefix(prefix): texts[key] for key in templates}
    variables = _variables(texts, variables_key, uploads.project)
    return Source(
        templates=_complete(prefix, files or deployed(uploads.project)),
        variables=variables,
        version=version,
        references=references(variables),
    )


def _uploaded(objects: Objects) -> Origin | None:
    """Of these uploads, if there are any."""
    if not objects:
        return None
    newest = max(map(_modified_at, objects.values()))
    return Origin(OriginKind.UPLOADED, _version(objects), newest)


def _modified_at(item: Mapping[str, Any]) -> UnixSeconds:
    """A listing's LastModified, which our own clients leave as the text that S3 sends; 0 where that is no time."""
    with suppress(ValueError, OverflowError):
        return datetime.fromisoformat(str(item.get("LastModified"))).timestamp()
    return 0.0


def _deployed_file(path: Path) -> Origin:
    """Of variables that came with the function."""
    return Origin(OriginKind.DEPLOYED, _digest_of(path))


def _folder(project: Path) -> tuple[OriginKind, Path]:
    """Where the templates are that came with the function: the project's own, or else the bundled ones."""
    own = project / "templates"
    if (own / MAIN).is_file():
        return OriginKind.DEPLOYED, own
    return OriginKind.BUNDLED, PACKAGE / "templates"


@cache
def _digest_of(path: Path) -> str:
    """The version of a file, or of all below a folder. What was deployed does not change while the process lives."""
    digest = sha256()
    for each in _files(path) if path.is_dir() else [path]:
        digest.update(f"{each.relative_to(path)} {each.stat().st_size}\n".encode())
        digest.update(each.read_bytes())
    return digest.hexdigest()[:VERSION_LENGTH]


def deployed(project: Path = PROJECT) -> Mapping[str, str]:
    """The templates that came with the function, the project's or else the bundled ones, by path."""
    return read_folder(_folder(project)[1])


def read_folder(folder: Path) -> Mapping[str, str]:
    """Every file below a folder by its relative path (`TemplateError` where one is not UTF-8)."""
    return {
        path.relative_to(folder).as_posix(): decoded(path.name, path.read_bytes())
        for path in _files(folder)
    }


def _files(folder: Path) -> list[Path]:
    return sorted(filter(Path.is_file, folder.rglob("*")))


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
    return sha256("\n".join(tags).encode()).hexdigest()[:VERSION_LENGTH]
