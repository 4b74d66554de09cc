"""Which unit a process is in, by its control groups."""

import pytest

from haproxy_apply import units

SYSTEM = {
    "0::/system.slice/haproxy.service": "haproxy.service",
    "0::/system.slice/system-haproxy.slice/haproxy@edge.service": "haproxy@edge.service",
    "1:name=systemd:/system.slice/haproxy.service\n0::/": "haproxy.service",
    "0::/system.slice/cron.service": "",
    "0::/user.slice/user-0.slice/session-3.scope": "",
    "0::/": "",
    "": "",
}
USERS = {
    "0::/user.slice/user-1000.slice/user@1000.service/app.slice/haproxy.service": "haproxy.service",
    "0::/user.slice/user-1000.slice/user@1000.service/haproxy.service": "haproxy.service",
    "1:name=systemd:/user.slice/user-7.slice/user@7.service/edge.service\n0::/": "edge.service",
}
# A shell of somebody who is logged in, who may have started a daemon by hand.
NOBODYS = (
    "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope",
    "0::/user.slice/user-1000.slice/user@1000.service/init.scope",
    "0::/user.slice/user-1000.slice/user@1000.service",
)


@pytest.mark.fault("F235")
@pytest.mark.parametrize("groups", SYSTEM)
def test_a_unit_of_the_systems(groups: str) -> None:
    """The system's manager may be asked about it."""
    assert units.systems(groups) == SYSTEM[groups]
    assert units.users(groups) == ""


@pytest.mark.fault("F235")
@pytest.mark.parametrize("groups", USERS)
def test_a_unit_of_a_users_own(groups: str) -> None:
    """The system's manager knows nothing of it, or of another one with its name."""
    assert units.systems(groups) == ""
    assert units.users(groups).endswith(USERS[groups])
    assert units.users(groups).startswith("user@")


@pytest.mark.fault("F235")
@pytest.mark.parametrize("groups", NOBODYS)
def test_a_login_is_no_unit(groups: str) -> None:
    """Nobody would start again what somebody started there by hand."""
    assert (units.systems(groups), units.users(groups)) == ("", "")
