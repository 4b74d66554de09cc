"""A deterministic scheduler: steps several tasks from one pause to the next, in every order or in a chosen one.

Orders that nobody can tell apart are taken once: two steps in a row that do not meet are done in the order of their
workers, and of two workers with the same task the first one begins first.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from enum import Enum, auto

type Task = Callable[[], None]
type Choose = Callable[[int], int]


class Step(Enum):
    """What a task does next."""

    LOOK = auto()  # it sees what moves did
    MOVE = auto()  # it changes what looks see, and is changed by nothing
    READ = auto()  # it sees what was written, and then what time it is
    WRITE = auto()  # it sees that, too, and changes it
    OTHER = auto()

    def meets(self, other: "Step") -> bool:
        """Whether their order can be told, or may be for all that is known here."""
        return Step.OTHER in {self, other} or {self, other} in _MEETINGS


_MEETINGS = (
    {Step.LOOK, Step.MOVE},
    {Step.READ},
    {Step.READ, Step.WRITE},
    {Step.WRITE},
)


class Worker:
    """A task on a thread that runs only when told, up to its next pause."""

    def __init__(self, task: Task) -> None:
        self.is_done = False
        self.error: BaseException | None = None
        self.next = Step.OTHER
        self.has_begun = False
        self.task = task
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def step(self) -> None:
        """Run up to the next pause, or to the end."""
        self._go.release()
        self._stopped.acquire()

    def pause(self, step: Step) -> None:
        """Called by the task: wait until this step is to be done."""
        self.next = step
        self._stopped.release()
        self._go.acquire()

    def _run(self) -> None:
        self._go.acquire()
        try:
            self.task()
        except BaseException as error:  # noqa: BLE001 # raised again on the test's thread
            self.error = error
        self.is_done = True
        self._stopped.release()


class Schedule:
    """Runs tasks; before every paused operation `choose(n)` picks which of the n tasks that may does its own."""

    def __init__(self, choose: Choose) -> None:
        self._choose = choose
        self._workers: list[Worker] = []

    def pause(self, step: Step = Step.OTHER) -> None:
        """To be called by tasks right before each operation whose order matters."""
        for worker in self._workers:
            if worker.thread is threading.current_thread():
                worker.pause(step)

    def run(self, tasks: Sequence[Task]) -> None:
        """All tasks to their ends; the first error of any of them is raised."""
        self._workers = [Worker(task) for task in tasks]
        for worker in self._workers:
            worker.step()  # up to its first operation
        last = self._workers[0], Step.OTHER
        while candidates := self._candidates(*last):
            worker = candidates[self._choose(len(candidates))]
            last = worker, worker.next
            worker.has_begun = True
            worker.step()
        for worker in self._workers:
            if worker.error:
                raise worker.error

    def _candidates(self, last: Worker, step: Step) -> list[Worker]:
        """Who may go on, after this step of the last one; another order would be the same as one of these."""
        waiting = [worker for worker in self._workers if not worker.is_done]
        new = [
            worker
            for index, worker in enumerate(waiting)
            if worker.has_begun or not _has_twin(worker, waiting[:index])
        ]
        # The least of all orders that are the same, by the number of each step's worker, has no two steps in a row
        # that could change places and would be less for it.
        place = self._workers.index
        least = [
            worker
            for worker in new
            if place(worker) >= place(last) or worker.next.meets(step)
        ]
        return least or new


def _has_twin(worker: Worker, earlier: Sequence[Worker]) -> bool:
    return any(each.task is worker.task and not each.has_begun for each in earlier)


def every_order() -> Iterator[Choose]:
    """One `choose` after the other until all orders were taken; each must be used up before the next is asked for."""
    prefix: list[int] = []
    while True:
        taken: list[tuple[int, int]] = []
        yield _recorded(tuple(prefix), taken)
        while taken and taken[-1][0] + 1 == taken[-1][1]:
            taken.pop()
        if not taken:
            return
        prefix = [choice for choice, _ in taken[:-1]] + [taken[-1][0] + 1]


def _recorded(prefix: tuple[int, ...], taken: list[tuple[int, int]]) -> Choose:
    def choose(number: int) -> int:
        choice = prefix[len(taken)] if len(taken) < len(prefix) else 0
        taken.append((choice, number))
        return choice

    return choose
