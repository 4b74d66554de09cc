"""The texts of one fleet, before anybody knows whether they can be used: which proxy gets which, and what it read.

A template that does not read the rendering host is rendered once for all proxies, and one that reads its zone once per
zone: a proxy takes the draft of an earlier one where nothing that was read distinguishes the two.
"""

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from haproxy_sync.config import secret_lines
from haproxy_sync.config.ansible import passwords
from haproxy_sync.config.ansible.engine import Engine
from haproxy_sync.config.facts import HostIndex
from haproxy_sync.config.marked import Marks, Reading, twins, unquoted
from haproxy_sync.config.scope import Scope, World
from haproxy_sync.errors import TemplateError
from haproxy_sync.fleet.model import Config, Fleet, Host, Proxy
from haproxy_sync.settings import Settings

# It stands in for the rendering host while there is no proxy; a config that would show it is not returned.
_NOBODY = Proxy(
    instance_id="i-00000000",
    type="none",
    name="nobody",
    address="0.0.0.0",  # noqa: S104 # no bind
    zone="none",
)


@dataclass(frozen=True, slots=True)
class Job:
    """What stays the same while a fleet is rendered, and rendered again without the instances that were refused."""

    engine: Engine
    variables: Mapping[str, Any]
    settings: Settings
    marks: Marks


@dataclass(frozen=True, slots=True)
class Draft:
    """One config that the template gave, and whose names it read on the way."""

    scope: Scope
    text: str
    is_completed: bool
    """Its final newline was missing and is appended: HAProxy 2.3 and later refuse a file without."""

    @property
    def reads_host(self) -> bool:
        """Whether the text depends on the host it is for."""
        return any(map(self.scope.is_own, self.scope.reads))

    def fits(self, other: Scope) -> bool:
        """Whether rendering for the other host would read the same values, and so give the same text."""
        return all(self.scope.raw(name) == other.raw(name) for name in self.scope.reads)


@dataclass(frozen=True, slots=True)
class Drafts:
    """The drafts of a fleet. Where instances were refused, only their tags are of use."""

    by_proxy: Mapping[str, Draft]
    """By instance id."""
    refused: Mapping[str, str]
    """The tag key that was read and whose value may not stand in a config, by instance id."""
    secret_lines: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Of each distinct text."""

    @property
    def distinct(self) -> tuple[Draft, ...]:
        """Each distinct draft once."""
        return tuple({id(draft): draft for draft in self.by_proxy.values()}.values())

    @property
    def texts(self) -> Mapping[str, str]:
        """What each proxy gets, by instance id."""
        return _texts(self.by_proxy)

    @property
    def configs(self) -> Mapping[str, Config]:
        """The configs by instance id, equal texts being one object."""
        configs = {
            text: Config(text, lines) for text, lines in self.secret_lines.items()
        }
        return {
            instance_id: configs[draft.text]
            for instance_id, draft in self.by_proxy.items()
        }

    @property
    def reads_host(self) -> bool:
        """Whether any text depends on the host it is for."""
        return any(draft.reads_host for draft in self.distinct)

    @property
    def is_completed(self) -> bool:
        """Whether any text lacked its final newline."""
        return any(draft.is_completed for draft in self.distinct)


def draft_fleet(job: Job, fleet: Fleet) -> Drafts:
    """Render for every proxy of the fleet; without one, for nobody.

    Raises `TemplateError` where the template or its variables are at fault. Once a tag was refused nobody knows that,
    for its value may be what the template could not take: then the result says which tag it was, and holds no draft.
    """
    run = _Run(job, HostIndex(fleet), Reading(job.marks))
    try:
        by_proxy = run.by_proxy()
    except TemplateError as error:
        if run.refused:
            return Drafts({}, run.refused)
        if run.reading.has_read:
            raise _unquoted(run, error) from None
        raise
    if run.refused:
        return Drafts(by_proxy, run.refused)
    return Drafts(by_proxy, run.refused, _secret_lines(run))


def texts(job: Job, fleet: Fleet) -> Mapping[str, str] | None:
    """What each proxy of the fleet would get, by instance id; None where the template gives none that can be used."""
    run = _Run(job, HostIndex(fleet), Reading(job.marks))
    with suppress(TemplateError):
        drafts = run.by_proxy()
        return None if run.refused else _texts(drafts)
    return None


def _texts(by_proxy: Mapping[str, Draft]) -> Mapping[str, str]:
    return {instance_id: draft.text for instance_id, draft in by_proxy.items()}


def _secret_lines(run: "_Run") -> Mapping[str, tuple[int, ...]]:
    """Those of each distinct text; drafts for several hosts may have one text."""
    values = run.reading.values | run.job.marks.stated(run.job.variables)
    found: defaultdict[str, set[int]] = defaultdict(set)
    for draft in run.drafts:
        twin = _twin(run, draft) if run.reading.has_read else draft.text
        found[draft.text].update(secret_lines.found(draft.text, twin, values))
    return {text: tuple(sorted(lines)) for text, lines in found.items()}


def _twin(run: "_Run", draft: Draft) -> str | None:
    """The draft with other secrets; None where the template cannot take any."""
    for reading in twins(run.job.marks):
        with suppress(TemplateError), passwords.quick():
            return run.twin(reading).draft_of(draft.scope.host).text
    return None


def _unquoted(run: "_Run", error: TemplateError) -> TemplateError:
    """The error without what secrets say in it."""
    twin = run.twin(next(twins(run.job.marks)))
    stated = run.job.marks.stated(run.job.variables)
    try:
        twin.by_proxy()
    except TemplateError as other:
        return unquoted(error, other, stated)
    return unquoted(error, None, stated)


@dataclass(frozen=True, slots=True)
class _Run:
    """One pass over the proxies of a fleet, and what it collects."""

    job: Job
    index: HostIndex
    reading: Reading
    drafts: list[Draft] = field(default_factory=list)

    @property
    def refused(self) -> Mapping[str, str]:
        """As `Drafts.refused`."""
        return self.reading.refused

    def twin(self, reading: Reading) -> "_Run":
        """The same pass once more, from its beginning."""
        return _Run(self.job, self.index, reading)

    def draft_of(self, host: Host) -> Draft:
        """The draft for this host alone (`TemplateError`)."""
        return self._draft(self._scope(host))

    def by_proxy(self) -> Mapping[str, Draft]:
        """The drafts by instance id (`TemplateError`)."""
        proxies = self.index.fleet.proxies or (_NOBODY,)
        by_proxy = {proxy.instance_id: self._draft_for(proxy) for proxy in proxies}
        if not self.refused:
            self._check_repeatable()
        return by_proxy

    def _draft_for(self, proxy: Proxy) -> Draft:
        """The first earlier draft that fits the proxy, else its own."""
        scope = self._scope(proxy)
        fitting = (draft for draft in self.drafts if draft.fits(scope))
        earlier = next(fitting, None)
        if earlier:
            return earlier
        draft = self._draft(scope)
        self.drafts.append(draft)
        return draft

    def _check_repeatable(self) -> None:
        """Refuse what depends on chance: it differs in every run, and so would never stop being rolled out."""
        first = self.drafts[0]
        again = self.draft_of(first.scope.host)
        if again.text != first.text:
            file = self.job.engine.main
            raise TemplateError(
                file, None, "two renders of the same fleet differ: it depends on chance"
            )

    def _scope(self, host: Host) -> Scope:
        world = World(
            engine=self.job.engine,
            index=self.index,
            variables=self.job.variables,
            settings=self.job.settings,
            reading=self.reading,
        )
        return Scope(world, host)

    def _draft(self, scope: Scope) -> Draft:
        rendered = self.job.engine.render(scope)
        is_complete = rendered.endswith("\n")
        return Draft(
            scope=scope,
            text=rendered if is_complete else f"{rendered}\n",
            is_completed=not is_complete,
        )
