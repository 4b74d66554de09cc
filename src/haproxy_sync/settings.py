"""The function's environment as one frozen value; every missing or malformed variable in one error (F17)."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from haproxy_sync.errors import RefusedValue, SettingsError

RELOAD_METHODS = ("syn-drop", "seamless", "runtime", "auto")
EMPTY_POOLS = ("hold", "publish")
MAX_PORT = 65535
MAX_LISTEN_PORTS = 15  # iptables multiport takes no more

# An environment is a tag value, a folder in the bucket and a filter, where `*`, `?` and `\` are wildcards.
ENVIRONMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", re.ASCII)
TAG_KEY = re.compile(r"[A-Za-z0-9+\-=._:/@][A-Za-z0-9 +\-=._:/@]{0,126}", re.ASCII)
TAG_VALUE = re.compile(r"[A-Za-z0-9+\-=._:/@]{1,255}", re.ASCII)
CONFIG_PATH = re.compile(r"(?:/(?!\.\.?(?:/|$))[A-Za-z0-9._-]+)+", re.ASCII)
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
QUEUE_URL = re.compile(r"https?://\S+", re.ASCII)
DOCUMENT = re.compile(r"[A-Za-z0-9_.:/-]{3,200}", re.ASCII)
REGION = re.compile(r"[a-z]{2,}(?:-[a-z0-9]+)+", re.ASCII)
SUBNET = re.compile(r"subnet-[0-9a-f]{8,32}", re.ASCII)
PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
NUMBER = re.compile(r"\d{1,6}", re.ASCII)
FRACTION = re.compile(r"\d{1,6}(?:\.\d{1,3})?", re.ASCII)
# As Run Command takes them: a number, or a percentage.
CONCURRENCY = re.compile(r"[1-9][0-9]{0,6}|[1-9][0-9]?%|100%", re.ASCII)
ERRORS = re.compile(r"[1-9][0-9]{0,6}|0|[1-9]?[0-9]%|100%", re.ASCII)

SECONDS_PER_MINUTE = 60


def parse_port(text: str) -> int:
    """The port a text names, 1 to 65535 (`RefusedValue` otherwise). `int()` alone takes full-width digits."""
    if not PORT.fullmatch(text) or int(text) > MAX_PORT:
        raise RefusedValue("port", text)
    return int(text)


@dataclass(frozen=True, slots=True)
class Limit:
    """A number of proxies, or a percentage of them, as Run Command takes both."""

    number: int
    is_percent: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """What `10` or `25%` names."""
        return cls(int(text.removesuffix("%")), text.endswith("%"))

    def of(self, total: int) -> int:
        """How many of `total` it means; a percentage rounds down."""
        return total * self.number // 100 if self.is_percent else self.number

    def __str__(self) -> str:
        """As Run Command takes it."""
        return f"{self.number}%" if self.is_percent else str(self.number)


@dataclass(frozen=True, slots=True)
class Settings:
    """What one deployed stack serves, and how; docs/architecture.md describes each."""

    environment: str
    region: str
    bucket: str
    queue_url: str
    document_name: str
    start_frozen: bool = True
    environment_tag_key: str = "Environment"
    type_tag_key: str = "Type"
    backend_tag_value: str = "tomcat"
    proxy_tag_value: str = "haproxy"
    backend_port: int = 8080
    backend_subnets: frozenset[str] = frozenset()  # empty: every subnet
    listen_ports: tuple[int, ...] = (80, 443)
    config_path: str = "/etc/haproxy/haproxy.cfg"
    reload_method: str = "syn-drop"
    canary: bool = True
    max_concurrency: Limit = Limit(10)
    max_errors: Limit = Limit(0)
    rollout_spacing_seconds: float = 5
    min_backends: int = 1
    max_loss_percent: int = 50
    hold_seconds: float = 300
    empty_pool: str = "hold"
    drift_check_seconds: float = 1800
    zone_aware: bool = False

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Parse the variables; `SettingsError` names all bad ones."""
        read = _Reader(environ)
        settings = {
            "environment": read("ENVIRONMENT", _text(ENVIRONMENT)),
            "region": read("AWS_REGION", _text(REGION)),
            "bucket": read("BUCKET", _text(BUCKET)),
            "queue_url": read("QUEUE_URL", _text(QUEUE_URL)),
            "document_name": read("DOCUMENT_NAME", _text(DOCUMENT)),
            "start_frozen": read("START_FROZEN", _boolean, "true"),
            "environment_tag_key": read("ENVIRONMENT_TAG_KEY", _text(TAG_KEY), "Environment"),
            "type_tag_key": read("TYPE_TAG_KEY", _text(TAG_KEY), "Type"),
            "backend_tag_value": read("BACKEND_TAG_VALUE", _text(TAG_VALUE), "tomcat"),
            "proxy_tag_value": read("PROXY_TAG_VALUE", _text(TAG_VALUE), "haproxy"),
            "backend_port": read("BACKEND_PORT", parse_port, "8080"),
            "backend_subnets": read("BACKEND_SUBNETS", _subnets, ""),
            "listen_ports": read("LISTEN_PORTS", _ports, "80,443"),
            "config_path": read("CONFIG_PATH", _text(CONFIG_PATH), "/etc/haproxy/haproxy.cfg"),
            "reload_method": read("RELOAD_METHOD", _one_of(RELOAD_METHODS), "syn-drop"),
            "canary": read("CANARY", _boolean, "true"),
            "max_concurrency": read("MAX_CONCURRENCY", _limit(CONCURRENCY), "10"),
            "max_errors": read("MAX_ERRORS", _limit(ERRORS), "0"),
            "rollout_spacing_seconds": read("ROLLOUT_SPACING_SECONDS", _seconds, "5"),
            "min_backends": read("MIN_BACKENDS", _number, "1"),
            "max_loss_percent": read("MAX_LOSS_PERCENT", _percent, "50"),
            "hold_seconds": read("HOLD_MINUTES", _minutes, "5"),
            "empty_pool": read("EMPTY_POOL", _one_of(EMPTY_POOLS), "hold"),
            "drift_check_seconds": read("DRIFT_CHECK_MINUTES", _minutes, "30"),
            "zone_aware": read("ZONE_AWARE", _boolean, "false"),
        }
        if environ.get("BACKEND_TAG_VALUE", "tomcat") == environ.get("PROXY_TAG_VALUE", "haproxy"):
            read.bad.append("BACKEND_TAG_VALUE and PROXY_TAG_VALUE are the same")
        if read.bad:
            raise SettingsError("; ".join(read.bad))
        return cls(**settings)  # type: ignore[arg-type]  # every value was parsed above


class _Reader:
    """Reads one variable after the other and remembers what was wrong."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.bad: list[str] = []

    def __call__[T](self, name: str, parse: Callable[[str], T], default: str | None = None) -> T | None:
        text = self.environ.get(name, default)
        if text is None:
            self.bad.append(f"{name} is missing")
            return None
        try:
            return parse(text)
        except (ValueError, RefusedValue) as error:
            self.bad.append(f"{name}={text[:64]!r}: {error}")
            return None


def _text(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"must match {pattern.pattern}")
        return text

    return parse


def _limit(pattern: re.Pattern[str]) -> Callable[[str], Limit]:
    def parse(text: str) -> Limit:
        return Limit.parse(_text(pattern)(text))

    return parse


def _one_of(allowed: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return text

    return parse


def _boolean(text: str) -> bool:
    return _one_of(("true", "false"))(text) == "true"


def _number(text: str) -> int:
    return int(_text(NUMBER)(text))


def _percent(text: str) -> int:
    percent = _number(text)
    if percent > 100:  # noqa: PLR2004 # a hundred percent
        raise ValueError("must be 0 to 100")
    return percent


def _seconds(text: str) -> float:
    return float(_text(FRACTION)(text))


def _minutes(text: str) -> float:
    return _seconds(text) * SECONDS_PER_MINUTE


def _ports(text: str) -> tuple[int, ...]:
    ports = tuple(parse_port(port.strip()) for port in text.split(","))
    if len(ports) > MAX_LISTEN_PORTS:
        raise ValueError(f"at most {MAX_LISTEN_PORTS} ports")
    return ports


def _subnets(text: str) -> frozenset[str]:
    return frozenset(_text(SUBNET)(subnet.strip()) for subnet in text.split(",") if subnet.strip())
