"""Renders the fleet from the current template; what was rendered last is not rendered again."""

from dataclasses import replace
from typing import Any

from haproxy_sync.config import sources
from haproxy_sync.config.render import Rendering, render_fleet
from haproxy_sync.fleet.model import Fleet
from haproxy_sync.settings import Settings


class Renderer:
    """Lives as long as the function's process, which has one fleet, one template and mostly the same answer."""

    def __init__(self) -> None:
        self._source: sources.Source | None = None
        self._last: tuple[str, Fleet, Rendering] | None = None

    def __call__(self, s3: Any, settings: Settings, fleet: Fleet) -> Rendering:
        """The configs of the fleet (`TemplateError` if template or variables are at fault)."""
        fleet = replace(fleet, skipped=())
        source = self.source(s3, settings)
        if self._last and self._last[:2] == (source.version, fleet):
            return self._last[2]
        rendering = render_fleet(source.templates, source.variables, fleet, settings)
        self._last = (source.version, fleet, rendering)
        return rendering

    def source(self, s3: Any, settings: Settings) -> sources.Source:
        """Template and variables as they are now, read only where they changed (`TemplateError` as above)."""
        self._source = sources.load(s3, settings, self._source)
        return self._source
