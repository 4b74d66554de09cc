"""Stands in for the SSM agent: runs a Command document on a host as the agent was measured to.

`HostAgent` is what `RunCommand.register` takes. A `Host` is a machine of the lab, or `Here`: this machine, with the
agent's files below a directory of the caller's.
"""

from local.agent.agent import HostAgent
from local.agent.host import Here, Host

__all__ = ["Here", "Host", "HostAgent"]
