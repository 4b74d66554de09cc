"""Templates, variables and a fleet -> one config per distinct text.

Rendering is pure: the same input gives the same bytes. The `Renderer` reads the bucket, and has a cache of one.
Values from EC2 are data and never rendered as templates. A config that lacks a listener or a backend is refused before
anything is stored.
"""

from collections.abc import Callable, Collection, Mapping
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any, Self

from haproxy_sync.config import draining, sources
from haproxy_sync.config.ansible import passwords
from haproxy_sync.config.ansible.engine import Compiled, Engine
from haproxy_sync.config.ansible.passwords import Hashes
from haproxy_sync.config.bounded import bounded
from haproxy_sync.config.checks import problems
from haproxy_sync.config.drafts import Drafts, Job, draft_fleet, texts
from haproxy_sync.config.marked import Marks, readable
from haproxy_sync.config.sources import Source, TemplateSet, Uploads
from haproxy_sync.errors import TemplateError
from haproxy_sync.fleet.model import Config, Fleet, Skipped, by_id, ids, without
from haproxy_sync.settings import Settings

if TYPE_CHECKING:
    from haproxy_sync.config.secret_values import SecretValues

MAX_KEPT_CHARACTERS = 64 * 1024
"""Larger templates are compiled each time: what nothing but names makes of so many may take 130 MB, and stay."""

type NewEngine = Callable[[str, Mapping[str, str]], Engine]
"""An engine for the name of the main template and the files by name (`TemplateError`)."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """What every proxy gets.

    `shared` is the one config of a template that does not read the rendering host: it fits every proxy, also future
    ones. Otherwise `by_proxy` has one per instance id, equal texts being one object.
    """

    by_proxy: Mapping[str, Config]
    shared: Config | None
    skipped: tuple[Skipped, ...]
    completed: bool = False
    """A final newline was appended, which Ansible would not do: HAProxy 2.3 and later refuse a file without."""
    left_out: frozenset[str] = frozenset()
    """The backends that drain, by id, of which a template that does not show that is not told."""

    @property
    def configs(self) -> tuple[Config, ...]:
        """Each distinct config once."""
        configs = [self.shared] if self.shared else self.by_proxy.values()
        return tuple(dict.fromkeys(configs))

    @property
    def skipped_ids(self) -> frozenset[str]:
        """The instances that were left out, by id."""
        return ids(self.skipped)

    @property
    def untold_ids(self) -> frozenset[str]:
        """All instances of which the template was not told, by id."""
        return self.skipped_ids | self.left_out


class Renderer:
    """Renders the fleet from the current template, but not again where neither has changed.

    It lives as long as the function's process, which has one fleet, one template and mostly the same answer.
    """

    def __init__(self) -> None:
        self._source: Source | None = None
        self._values: SecretValues | None = None
        self._cached: _Cached | None = None

    def anew(self) -> Self:
        """The same for another invocation: an error may have been one of the moment, such as a busy machine's."""
        if self._cached and isinstance(self._cached.rendering, TemplateError):
            self._cached = None
        return self

    def __call__(self, uploads: Uploads, fleet: Fleet) -> Rendering:
        """The configs of the fleet, from these uploads or what was deployed.

        Raises `TemplateError` where template or variables are at fault, and botocore's `ClientError` and
        `BotoCoreError` where the bucket, or what the variables refer to, cannot be read.
        """
        return self.render(self.source(uploads), uploads.settings, fleet)

    def source(self, uploads: Uploads) -> Source:
        """Template and variables, read only where they changed. It raises the same errors as `__call__`."""
        self._source = sources.load(uploads, self._source)
        if not self._source.references:
            self._values = None
            return self._source
        self._values = self._values or _no_values()
        return self._values.filled(self._source, uploads.secret_stores)

    def render(self, source: Source, settings: Settings, fleet: Fleet) -> Rendering:
        """The configs of the fleet from this source (`TemplateError`)."""
        # Who was left out before does not change what the others get.
        fleet = replace(fleet, skipped=())
        asked = (source.version, settings)
        known = self._cached
        if known is None or known.asked != asked or fleet not in known.fleets:
            known = _answered(source, settings, fleet)
        self._cached = known
        return known.told()


def _no_values() -> "SecretValues":
    from haproxy_sync.config.secret_values import (  # noqa: PLC0415 - only who refers to something pays for it
        SecretValues,
    )

    return SecretValues()


@dataclass(frozen=True, slots=True)
class _Cached:
    """The last rendering, and what it is of."""

    asked: tuple[str, Settings]
    fleets: Collection[Fleet]
    """Also the one without those that it left out, for which it would be the same."""
    rendering: Rendering | TemplateError
    """An error, too, within an invocation: a look that begins anew has no time to pass a bound twice."""

    def told(self) -> Rendering:
        """The rendering (`TemplateError`)."""
        if isinstance(self.rendering, TemplateError):
            error = copy(self.rendering)  # the same one would collect tracebacks
            raise error
        return self.rendering


def _answered(source: Source, settings: Settings, fleet: Fleet) -> _Cached:
    """What there is to say of that, a `TemplateError` included."""
    asked = (source.version, settings)
    try:
        rendering = render_fleet(source.templates, source.variables, fleet, settings)
    except TemplateError as error:
        return _Cached(asked, (fleet,), error)
    backends = without(fleet.backends, rendering.skipped_ids)
    return _Cached(asked, (fleet, replace(fleet, backends=backends)), rendering)


def render_fleet(
    templates: TemplateSet,
    variables: Mapping[str, Any],
    fleet: Fleet,
    settings: Settings,
) -> Rendering:
    """Render for every proxy, without the instances whose tag was read and refused, and check the result.

    Raises `TemplateError`: the template or its variables are at fault, or the config lacks a listener or a backend.
    """

    def checked(engine: Engine) -> Rendering:
        rendering = _rendered(engine, variables, fleet, settings)
        backends = fleet.without(rendering.untold_ids).backends
        problem = next(problems(rendering.configs, backends, variables, settings), None)
        if problem:
            raise TemplateError(templates.main, None, problem)
        return rendering

    return _bounded(templates, Engine, checked)


def render_unchecked(
    templates: TemplateSet,
    variables: Mapping[str, Any],
    fleet: Fleet,
    settings: Settings,
    engine_class: NewEngine = Engine,
) -> Rendering:
    """As `render_fleet`, whatever the result is worth. Raises `TemplateError` where there is none."""
    work = partial(_rendered, variables=variables, fleet=fleet, settings=settings)
    return _bounded(templates, engine_class, work)


def _bounded(
    templates: TemplateSet,
    engine_class: NewEngine,
    work: Callable[[Engine], Rendering],
) -> Rendering:
    """What the work makes of the engine, both within the bounds (`TemplateError`)."""
    files = tuple(sorted(templates.files.items()))
    workshop = _workshop(engine_class, templates.main, files)
    workshop.prepare()

    def all_of_it() -> tuple[Rendering, Compiled, Hashes]:
        rendering = work(workshop.engine)
        return rendering, workshop.engine.compiled, passwords.known()

    rendering, workshop.known, hashes = bounded(all_of_it, templates.main)
    passwords.remember(hashes)
    return rendering


def _rendered(
    engine: Engine, variables: Mapping[str, Any], fleet: Fleet, settings: Settings
) -> Rendering:
    job = Job(engine, readable(variables), settings, Marks.of(variables))
    whole = _taken(job, fleet)
    left_out = draining.unseen(whole.fleet, whole.drafts.texts, partial(texts, job))
    if not left_out:
        return _rendering(whole)
    rest = _taken(job, whole.fleet.without(left_out), whole.skipped)
    return replace(_rendering(rest), left_out=left_out)


@dataclass(frozen=True, slots=True)
class _Taken:
    """What the template took of a fleet, what it made of that, and who was left out."""

    fleet: Fleet
    drafts: Drafts
    skipped: tuple[Skipped, ...]


def _taken(job: Job, fleet: Fleet, skipped: tuple[Skipped, ...] = ()) -> _Taken:
    """The drafts without the instances whose tag was read and refused (`TemplateError`)."""
    drafts = draft_fleet(job, fleet)
    while drafts.refused:
        # These are exactly the tags that were read: their values were shown, so the template took its usual way.
        skipped += tuple(_refused_tags(fleet, drafts.refused))
        fleet = fleet.without(drafts.refused)
        drafts = draft_fleet(job, fleet)
    return _Taken(fleet, drafts, skipped)


def _refused_tags(fleet: Fleet, refused: Mapping[str, str]) -> list[Skipped]:
    hosts = by_id((*fleet.backends, *fleet.proxies, *fleet.others))
    return [
        Skipped(
            instance_id=instance_id,
            reason="refused-tag",
            detail=key,
            name=hosts[instance_id].name,
            address=hosts[instance_id].address,
            zone=hosts[instance_id].zone,
        )
        for instance_id, key in sorted(refused.items())
    ]


def _rendering(taken: _Taken) -> Rendering:
    drafts, configs = taken.drafts, taken.drafts.configs
    if not drafts.reads_host:
        return Rendering(
            by_proxy={},
            shared=next(iter(configs.values())),
            skipped=taken.skipped,
            completed=drafts.is_completed,
        )
    return Rendering(
        by_proxy={
            proxy.instance_id: configs[proxy.instance_id]
            for proxy in taken.fleet.proxies
        },
        shared=None,
        skipped=taken.skipped,
        completed=drafts.is_completed,
    )


@dataclass
class _Workshop:
    """The engine for one set of files, which is made here once it is known to be made within the bounds."""

    new_engine: NewEngine
    main: str
    files: tuple[tuple[str, str], ...]
    known: Compiled | None = None
    """What a rendering within the bounds had to compile; this process forgets what its children compile."""

    @cached_property
    def engine(self) -> Engine:
        """It compiles the main template when it is made (`TemplateError`)."""
        # HAProxy wants no byte order mark, which some editors write.
        return self.new_engine(
            self.main,
            {path: source.removeprefix("\ufeff") for path, source in self.files},
        )

    def prepare(self) -> None:
        """Compile what is known to be needed."""
        if self.known and self._size <= MAX_KEPT_CHARACTERS:
            self.engine.compile(self.known)

    @property
    def _size(self) -> int:
        """Characters of all that is compiled, at most."""
        values = self.known.values if self.known else ()
        return sum(map(len, (*dict(self.files).values(), *values)))


_workshop = lru_cache(maxsize=2)(_Workshop)
"""Only the last two are kept: each holds all that its engine compiled."""
