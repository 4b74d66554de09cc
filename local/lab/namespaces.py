"""Namespaces that nothing has to clean up.

Each set of namespaces is held by one process that reads a pipe from this process and ends with it, even when this
process is killed; the kernel then kills all that runs inside and drops interfaces, rules, mounts and files. Nothing
has a name on the machine, so nothing can collide.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

# The shell reads its process id of the outer namespace before /proc is replaced. SIGCHLD is ignored (by env: dash does
# not pass its trap on) so that the kernel reaps orphans. `cat` becomes process 1: when the pipe closes it ends, and
# everything in the namespaces with it.
_HOLDER = """
set -e
read -r pid rest < /proc/self/stat
mount -t proc proc /proc
hostname "$1"
ip link set lo up
{setup}
echo "$pid"
exec env --ignore-signal=CHLD cat > /dev/null
"""


@contextlib.contextmanager
def held_namespaces(hostname: str, setup: str = "") -> Iterator[int]:
    """Make network, mount, process and host name namespaces; `setup` is shell text to run in them first.

    Gives the id of their process 1. Raises RuntimeError with the message of the command that failed.
    """
    command = [
        "unshare",
        "--net",
        "--mount",
        "--pid",
        "--uts",
        "--fork",
        "--kill-child",
    ]
    command += ["sh", "-c", _HOLDER.format(setup=setup), "lab-host", hostname]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True, text=True
    ) as holder:
        assert holder.stdin  # noqa: S101 - for the type checker
        assert holder.stdout  # noqa: S101
        assert holder.stderr  # noqa: S101
        pid = holder.stdout.readline().strip()
        if not pid:
            raise RuntimeError(
                f"no namespaces for {hostname}: {holder.stderr.read().strip()}"
            )
        try:
            yield int(pid)
        finally:
            holder.stdin.close()
            holder.wait(timeout=10)


def ip(pid: int, *lines: str) -> None:
    """Run lines of `ip -batch` in the network namespace of a process. Raises RuntimeError with its message."""
    command = ["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-batch", "-"]
    done = subprocess.run(
        command,
        input="\n".join(lines) + "\n",
        text=True,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"ip: {done.stderr.strip()}")


def inside[T](pid: int, function: Callable[[], T]) -> T:
    """Call a function in a thread on the network of a process, where its sockets stay. Raises what it raises."""

    def join() -> T:
        namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        try:
            os.setns(namespace, os.CLONE_NEWNET)
        finally:
            os.close(namespace)
        return function()

    # Its own thread: the namespace is a property of the thread, and dies with it.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(join).result()


def printed(
    process: "subprocess.Popen[str]",
    stdin: str | None = None,
    timeout_seconds: float = 60,
) -> tuple[str, str]:
    """What a process of a group of its own prints to its end. TimeoutExpired, as any error, after killing the group."""
    with process:
        try:
            return process.communicate(stdin, timeout=timeout_seconds)
        except BaseException:
            kill_group(process)
            raise


def kill_group(process: "subprocess.Popen[str] | subprocess.Popen[bytes]") -> None:
    """Kill a process and all of its process group, and wait for it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=10)
