"""What references stand for, in the memory of the process for as long as its versions stay."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256

from haproxy_sync.config.ansible.raw import Address
from haproxy_sync.config.references import distinct, filled
from haproxy_sync.config.secret_stores import Fetched, SecretStores
from haproxy_sync.config.sources import VERSION_LENGTH, Source


@dataclass
class SecretValues:
    """The values that were fetched last, and the source that they stand in."""

    _fetched: Mapping[Address, Fetched] = field(default_factory=dict, repr=False)
    _last: Source | None = field(default=None, repr=False)

    def filled(self, source: Source, stores: SecretStores) -> Source:
        """The source with values in place of its references, and a version that changes with theirs.

        A value is fetched where its version is another one than before. Then it is known by the version that came with
        it, whatever the service had said a moment ago. Raises what `SecretStores` raises, and `TemplateError` where a
        value cannot be used.
        """
        wanted = distinct(source.references)
        versions = stores.versions(wanted)
        kept = {
            address: each
            for address, each in self._fetched.items()
            if each.version == versions.get(address)
        }
        stale = {key: wanted[key] for key in wanted.keys() - kept.keys()}
        self._fetched = kept | stores.values(stale)
        version = _version(source, self._fetched)
        if self._last is None or self._last.version != version:
            self._last = self._with_values(source, version)
        return self._last

    def _with_values(self, source: Source, version: str) -> Source:
        texts = {address: each.text for address, each in self._fetched.items()}
        return replace(
            source,
            variables=filled(source.variables, source.references, texts),
            references=(),
            version=version,
        )


def _version(source: Source, fetched: Mapping[Address, Fetched]) -> str:
    """That of the uploads, and those of all values."""
    versions = sorted(
        f"{key.store} {key.name} {each.version}" for key, each in fetched.items()
    )
    text = "\n".join([source.version, *versions])
    return sha256(text.encode()).hexdigest()[:VERSION_LENGTH]
