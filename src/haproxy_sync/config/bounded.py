"""Work that a template's author decides, in a process of its own: whatever becomes of it, this process goes on.

An exception stops no loop of C, such as a comparison of lists that hold each other twice, forty levels deep; nor
does it help where the system is out of memory. A child process can be given less of both, and be killed.
"""

import gc
import os
import pickle
import resource
import select
import signal
import sys
import time
import warnings
from collections.abc import Buffer, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from traceback import format_exc
from typing import Any, Never

from haproxy_sync.errors import SyncError, TemplateError

_MIB = 1024 * 1024
_AGAIN_SECONDS = 0.1
_KILLED_AFTER_SECONDS = 2
"""A loop of C that hears no signal has so much more before the kernel kills it."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one rendering may take: all proxies, again without refused tags, again with other secrets."""

    cpu_seconds: float = 10.0
    """Six times what 50 proxies with a config each of 1,000 backends take. The third of a processor that a function of
    512 MB has takes 35 s for it, which leaves 25 s of the function's 60 for everything else."""
    seconds: float = 40.0
    """By the clock on the wall, where the processor is slower still."""
    memory_bytes: int = 192 * _MIB
    """Beside what the process had before, which is 150 MB of the function's 512 MB; the result is there twice."""
    result_bytes: int = 8 * _MIB
    """Of all different configs together: 100 proxies with a config each of 1,000 backends. A megabyte of them takes the
    function a second to four for all that comes after the rendering, on a whole processor."""


BOUNDS = Bounds()
_HELP = "look for a loop, a text or a macro that grows with itself; the bounds are in docs/templates.md#bounds"


class OutOfTime(BaseException):
    """The processor time is over. No `Exception`: nobody who forgives a template its errors may forgive this one.

    `located` says where it was, as soon as somebody knows.
    """

    located: TemplateError | None = None

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"rendering takes more than {seconds:g} s of processor time: {_HELP}"
        )


def bounded[Result](
    work: Callable[[], Result], file: str, bounds: Bounds | None = None
) -> Result:
    """What the work returns, or raises; both must be things that can be pickled.

    Raises `TemplateError` with the file, and the line where it is known, where the work takes more than the bounds
    (None: `BOUNDS`).
    """
    bounds = bounds or BOUNDS
    reader, writer = os.pipe()
    child = _forked()
    if child == 0:
        os.close(reader)
        _work(work, file, bounds, writer)
    os.close(writer)
    try:
        answer = b"".join(_received(reader, file, bounds))
    finally:
        os.close(reader)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    result: Result = _result(answer, file, bounds, status)
    return result


def _forked() -> int:
    """The child's id, 0 in the child, which has no thread but this one and asks for none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _received(reader: int, file: str, bounds: Bounds) -> Iterator[bytes]:
    """What the child writes until it ends (`TemplateError` where that takes too long)."""
    end = time.monotonic() + bounds.seconds
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    while poll.poll(max(0.0, end - time.monotonic()) * 1000):
        data = os.read(reader, _MIB)
        if not data:
            return
        yield data
    raise TemplateError(
        file, None, f"rendering takes more than {bounds.seconds:g} s: {_HELP}"
    )


def _result(answer: bytes, file: str, bounds: Bounds, status: int) -> Any:
    """What the child sent (`TemplateError` where it died before that was all)."""
    try:
        is_error, result = pickle.loads(answer)  # noqa: S301 - of our own process
    except (EOFError, pickle.UnpicklingError):
        raise _death(file, bounds, status) from None
    if is_error:
        raise result
    return result


def _death(file: str, bounds: Bounds, status: int) -> TemplateError:
    number = os.waitstatus_to_exitcode(status)
    if number in {-signal.SIGXCPU, -signal.SIGKILL}:
        return TemplateError(file, None, str(OutOfTime(bounds.cpu_seconds)))
    return TemplateError(
        file, None, f"rendering ended without a result ({number}): {_HELP}"
    )


def _work(work: Callable[[], Any], file: str, bounds: Bounds, writer: int) -> Never:
    """Do it in the child, which ends here whatever happens: nobody above may go on in two processes."""
    try:
        gc.freeze()  # what the parent has is neither searched nor, by that, copied
        answer = _answer(work, file, bounds)
        with open(writer, "wb") as pipe:
            pipe.write(answer)
    finally:
        os._exit(0)


def _answer(work: Callable[[], Any], file: str, bounds: Bounds) -> bytes:
    """The result or the error, pickled."""
    lift = _limited(bounds)
    outcome = _outcome(work, file)
    lift()
    pickled = _Pickled(file, bounds.result_bytes)
    try:
        pickle.dump(outcome, pickled, pickle.HIGHEST_PROTOCOL)
    except TemplateError as error:
        return pickle.dumps((True, error))
    return pickled.getvalue()


class _Pickled(BytesIO):
    """So many bytes at most: what has more is not made a second time as a whole."""

    def __init__(self, file: str, most: int) -> None:
        super().__init__()
        self._file = file
        self._most = most

    def write(self, data: Buffer) -> int:
        """Add them (`TemplateError` where they are too many)."""
        if self.tell() + memoryview(data).nbytes > self._most:
            reason = f"the configs of all proxies together have more than {self._most} bytes: {_HELP}"
            raise TemplateError(self._file, None, reason)
        return super().write(data)


def _outcome(work: Callable[[], Any], file: str) -> tuple[bool, Any]:
    """Whether it is an error, and the result or that."""
    try:
        return False, work()
    except OutOfTime as error:
        return True, error.located or TemplateError(file, None, str(error))
    except MemoryError:
        return True, TemplateError(file, None, out_of_memory())
    except SyncError as error:
        return True, error
    except Exception as error:  # noqa: BLE001 - it is raised where the work was asked for
        error.add_note(f"In another process:\n{format_exc()}")
        return True, error


def out_of_memory() -> str:
    """What to say of a rendering that needs more than its share."""
    return (
        f"rendering needs more than {BOUNDS.memory_bytes // _MIB} MB of memory: {_HELP}"
    )


def _limited(bounds: Bounds) -> Callable[[], None]:
    """Limit this process; the result takes that back, for the pickling."""
    signal.signal(signal.SIGPROF, partial(_stop, bounds.cpu_seconds))
    # Again and again: an exception that is raised while an object is destroyed is lost.
    signal.setitimer(signal.ITIMER_PROF, bounds.cpu_seconds, _AGAIN_SECONDS)
    _lower(resource.RLIMIT_CPU, int(bounds.cpu_seconds) + _KILLED_AFTER_SECONDS)
    _lower(resource.RLIMIT_CORE, 0)
    before = resource.getrlimit(resource.RLIMIT_AS)
    # Elsewhere the limit is not kept, and nobody says how much is used.
    if sys.platform == "linux":
        _lower(resource.RLIMIT_AS, _used_bytes() + bounds.memory_bytes)

    def lift() -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, before)

    return lift


def _lower(which: int, limit: int) -> None:
    """To that, where it is not lower already."""
    soft, hard = resource.getrlimit(which)
    others = [each for each in (soft, hard) if each != resource.RLIM_INFINITY]
    resource.setrlimit(which, (min([limit, *others]), hard))


def _used_bytes() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
    return int(pages) * resource.getpagesize()


def _stop(seconds: float, *_: object) -> Never:
    raise OutOfTime(seconds)
