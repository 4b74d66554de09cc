"""The function's environment as one frozen value; every missing or malformed variable is named in one error.

A setting is written once: its field says from which environment variable it comes, which parser reads it, and what
it is without the variable. template.yaml fills the variables; its defaults and those here are the same, by test.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from haproxy_sync.errors import RefusedValue, SettingsError

RELOAD_METHODS = ("syn-drop", "seamless", "runtime", "auto")
EMPTY_POOLS = ("hold", "publish")
JOINS_WHEN = ("in-service", "running")
MAX_PORT = 65535
MAX_PERCENT = 100
MAX_LISTEN_PORTS = 15  # iptables multiport takes no more

# An environment is a folder in the bucket, a part of addresses, and stands in resources of IAM policies.
ENVIRONMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", re.ASCII)
TAG_KEY = re.compile(r"[A-Za-z0-9+\-=._:/@][A-Za-z0-9 +\-=._:/@]{0,126}", re.ASCII)
# What every AWS service takes, letters and digits of all languages; a blank at an end would only be a trap.
TAG_VALUE = re.compile(r"[\w+\-=.:/@](?:[\w +\-=.:/@]{0,254}[\w+\-=.:/@])?")
# It stands in the text of an IAM policy, too, which takes no character above U+00FF.
POLICY_TAG_VALUE = re.compile(
    r"[A-Za-z0-9À-ÖØ-öø-ÿ+\-=._:/@](?:[A-Za-z0-9À-ÖØ-öø-ÿ +\-=._:/@]{0,254}[A-Za-z0-9À-ÖØ-öø-ÿ+\-=._:/@])?"
)
# Not among our own files on a host: their names are no config's.
CONFIG_PATH = re.compile(
    r"(?!/var/(?:lib|cache)/haproxy-ec2-sync(?:/|$))(?:/(?!\.\.?(?:/|$))[A-Za-z0-9._-]+)+",
    re.ASCII,
)
# A keyword of HAProxy's; 40 of them are more than there are unsafe ones.
KEYWORD = "[a-z][a-z0-9._-]{0,23}"
KEYWORDS = re.compile(f"(?:{KEYWORD}(?:,{KEYWORD}){{0,39}})?", re.ASCII)
LIFECYCLE_HOOK_PREFIX = re.compile(r"[A-Za-z0-9_/-]{1,255}", re.ASCII)
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
QUEUE_URL = re.compile(r"https?://\S+", re.ASCII)
DOCUMENT = re.compile(r"[A-Za-z0-9_.:/-]{3,200}", re.ASCII)
STACK_ID = re.compile(
    r"arn:aws[a-z-]{0,12}:cloudformation:[a-z0-9-]{1,32}:[0-9]{12}:stack/[A-Za-z][A-Za-z0-9-]{0,127}/[0-9a-f-]{36}",
    re.ASCII,
)
REGION = re.compile(r"[a-z]{2,}(?:-[a-z0-9]+)+", re.ASCII)
SUBNET = re.compile(r"subnet-[0-9a-f]{8,32}", re.ASCII)
PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
NUMBER = re.compile(r"\d{1,6}", re.ASCII)
RATE = re.compile(r"rate\(([1-9][0-9]{0,2}) (minute|hour)s?\)", re.ASCII)
FRACTION = re.compile(r"\d{1,6}(?:\.\d{1,3})?", re.ASCII)
LIMIT = re.compile(r"[1-9][0-9]{0,6}|0|[1-9]?[0-9]%|100%", re.ASCII)
LIMIT_FROM_ONE = re.compile(r"[1-9][0-9]{0,6}|[1-9][0-9]?%|100%", re.ASCII)

SECONDS_PER_MINUTE = 60
SECONDS_PER_HOUR = 3600
SECONDS_PER = {"minute": SECONDS_PER_MINUTE, "hour": SECONDS_PER_HOUR}


def parse_port(text: str) -> int:
    """The port a text names, 1 to 65535; `RefusedValue` otherwise.

    The pattern comes first because `int()` takes digits of every script.
    """
    if not PORT.fullmatch(text) or int(text) > MAX_PORT:
        raise RefusedValue("port", text)
    return int(text)


def _matching(pattern: re.Pattern[str], why: str = "") -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not pattern.fullmatch(text):
            raise SettingsError(f"must match {pattern.pattern}{why}")
        return text

    return parse


def _one_of(allowed: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise SettingsError(f"must be one of {', '.join(allowed)}")
        return text

    return parse


OF_ENVIRONMENT = ", for object keys, download addresses and IAM policies hold it, where others are special"
OF_PROXIES = ", for an IAM policy holds it, which takes no other letters"

_true_or_false = _one_of(("true", "false"))
_digits = _matching(NUMBER)
_decimal = _matching(FRACTION)
_subnet = _matching(SUBNET)
_limit = _matching(LIMIT)
_limit_from_one = _matching(LIMIT_FROM_ONE)
_keywords = _matching(KEYWORDS)


@dataclass(frozen=True, slots=True)
class Limit:
    """How many proxies, as Run Command takes it: a number, or a percentage of those that are meant."""

    number: int
    is_percent: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """What `10` or `25%` says; `SettingsError` for anything else."""
        number = _limit(text).removesuffix("%")
        return cls(int(number), is_percent=number != text)

    def of(self, total: int) -> int:
        """How many that are of so many; a percentage rounds down, as Run Command does."""
        if self.is_percent:
            return total * self.number // MAX_PERCENT
        return self.number

    def __str__(self) -> str:
        """The text that Run Command takes."""
        sign = "%" * self.is_percent
        return f"{self.number}{sign}"


def _boolean(text: str) -> bool:
    return _true_or_false(text) == "true"


def _number(text: str) -> int:
    return int(_digits(text))


def _percent(text: str) -> int:
    percent = _number(text)
    if percent > MAX_PERCENT:
        raise SettingsError(f"must be 0 to {MAX_PERCENT}")
    return percent


def _seconds(text: str) -> float:
    return float(_decimal(text))


def _minutes(text: str) -> float:
    return _seconds(text) * SECONDS_PER_MINUTE


def _rate(text: str) -> float:
    """Seconds between two runs of a schedule of EventBridge."""
    rate = RATE.fullmatch(text)
    if rate is None:
        raise SettingsError(f"must match {RATE.pattern}")
    return float(int(rate[1]) * SECONDS_PER[rate[2]])


def _concurrency(text: str) -> Limit:
    """A limit of nobody is none: Run Command refuses it."""
    return Limit.parse(_limit_from_one(text))


def _words(text: str) -> Iterator[str]:
    """What stands between the commas."""
    return map(str.strip, text.split(","))


def _ports(text: str) -> tuple[int, ...]:
    ports = tuple(map(parse_port, _words(text)))
    if len(ports) > MAX_LISTEN_PORTS:
        raise SettingsError(f"at most {MAX_LISTEN_PORTS} ports")
    return ports


def _subnets(text: str) -> frozenset[str]:
    """Empty words are passed over: an empty text means every subnet."""
    words = filter(None, _words(text))
    return frozenset(map(_subnet, words))


def parse_keywords(text: str) -> frozenset[str]:
    """The keywords between the commas, none where the text is empty; `SettingsError` for what is none."""
    return frozenset(filter(None, _keywords(text).split(",")))


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable: its name, what reads its text, and the text it has when nobody sets it."""

    name: str
    parse: Callable[[str], Any]
    default: str | None

    def text(self, environ: Mapping[str, str]) -> str | None:
        """What the environment or else the default says; None if neither says anything."""
        return environ.get(self.name, self.default)

    def read(self, environ: Mapping[str, str]) -> Any:
        """The parsed value; `SettingsError` says that the variable is missing, or what is wrong with it."""
        text = self.text(environ)
        if text is None:
            raise SettingsError(f"{self.name} is missing")
        try:
            return self.parse(text)
        except (SettingsError, RefusedValue) as error:
            raise SettingsError(f"{self.name}={text[:64]!r}: {error}") from error


def _required[T](name: str, parse: Callable[[str], T]) -> T:
    """A field of `Settings` that must be given. A type checker sees what the parser returns, so the two must agree."""
    variable = Variable(name, parse, None)
    required: T = field(metadata={"variable": variable})
    return required


def _optional[T](name: str, parse: Callable[[str], T], default: str) -> T:
    """A field of `Settings` that is what its variable's default means unless it is given."""
    variable = Variable(name, parse, default)
    return field(default=parse(default), metadata={"variable": variable})


@dataclass(frozen=True, slots=True)
class Settings:
    """What one deployed stack serves, and how; docs/architecture.md describes each variable."""

    environment: str = _required("ENVIRONMENT", _matching(ENVIRONMENT, OF_ENVIRONMENT))
    region: str = _required("AWS_REGION", _matching(REGION))
    bucket: str = _required("BUCKET", _matching(BUCKET))
    queue_url: str = _required("QUEUE_URL", _matching(QUEUE_URL))
    document_name: str = _required("DOCUMENT_NAME", _matching(DOCUMENT))
    publisher: str = _required("PUBLISHER", _matching(STACK_ID))
    start_frozen: bool = _optional("START_FROZEN", _boolean, "true")
    environment_tag_key: str = _optional(
        "ENVIRONMENT_TAG_KEY", _matching(TAG_KEY), "Environment"
    )
    type_tag_key: str = _optional("TYPE_TAG_KEY", _matching(TAG_KEY), "Type")
    backend_tag_value: str = _optional(
        "BACKEND_TAG_VALUE", _matching(TAG_VALUE), "tomcat"
    )
    proxy_tag_value: str = _optional(
        "PROXY_TAG_VALUE", _matching(POLICY_TAG_VALUE, OF_PROXIES), "haproxy"
    )
    backend_port: int = _optional("BACKEND_PORT", parse_port, "8080")
    # Empty: every subnet.
    backend_subnets: frozenset[str] = _optional("BACKEND_SUBNETS", _subnets, "")
    listen_ports: tuple[int, ...] = _optional("LISTEN_PORTS", _ports, "80,443")
    config_path: str = _optional(
        "CONFIG_PATH", _matching(CONFIG_PATH), "/etc/haproxy/haproxy.cfg"
    )
    allow_unsafe_keywords: frozenset[str] = _optional(
        "ALLOW_UNSAFE_KEYWORDS", parse_keywords, ""
    )
    reload_method: str = _optional("RELOAD_METHOD", _one_of(RELOAD_METHODS), "syn-drop")
    canary: bool = _optional("CANARY", _boolean, "true")
    max_concurrency: Limit = _optional("MAX_CONCURRENCY", _concurrency, "10")
    max_errors: Limit = _optional("MAX_ERRORS", Limit.parse, "0")
    rollout_spacing_seconds: float = _optional("ROLLOUT_SPACING_SECONDS", _seconds, "5")
    min_backends: int = _optional("MIN_BACKENDS", _number, "1")
    max_loss_percent: int = _optional("MAX_LOSS_PERCENT", _percent, "50")
    hold_seconds: float = _optional("HOLD_MINUTES", _minutes, "5")
    empty_pool: str = _optional("EMPTY_POOL", _one_of(EMPTY_POOLS), "hold")
    sweep_seconds: float = _optional("SWEEP_RATE", _rate, "rate(1 minute)")
    drift_check_seconds: float = _optional("DRIFT_CHECK_MINUTES", _minutes, "10")
    zone_aware: bool = _optional("ZONE_AWARE", _boolean, "false")
    join_when: str = _optional("JOIN_WHEN", _one_of(JOINS_WHEN), "in-service")
    lifecycle_hook_prefix: str = _optional(
        "LIFECYCLE_HOOK_PREFIX", _matching(LIFECYCLE_HOOK_PREFIX), "haproxy-ec2-sync"
    )
    drain_seconds: float = _optional("DRAIN_SECONDS", _seconds, "90")
    slow_start_seconds: int = _optional("SLOW_START_SECONDS", _number, "30")

    @classmethod
    def variables(cls) -> dict[str, Variable]:
        """The environment variable of each field, by the field's name."""
        return {each.name: each.metadata["variable"] for each in fields(cls)}

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Parse the variables; `SettingsError` names all bad ones."""
        variables = cls.variables()
        values: dict[str, Any] = {}
        bad: list[str] = []
        for name, variable in variables.items():
            try:
                values[name] = variable.read(environ)
            except SettingsError as error:
                bad.append(str(error))
        backend, proxy = variables["backend_tag_value"], variables["proxy_tag_value"]
        if backend.text(environ) == proxy.text(environ):
            bad.append(f"{backend.name} and {proxy.name} are the same")
        if bad:
            raise SettingsError("; ".join(bad))
        return cls(**values)
