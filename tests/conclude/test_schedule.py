"""The alarm clock rings when told to, and remembers nothing."""

import threading
import time

from dicom_node.conclude.schedule import Schedule, Task
from tests.waiting import wait_for


def test_wakes_at_the_time_it_was_given_last() -> None:
    woken: list[float] = []
    with Schedule(lambda: woken.append(time.time())) as schedule:
        start = time.time()
        schedule.look_at(start + 60)
        schedule.look_at(start + 0.2)
        wait_for("the alarm", lambda: woken, seconds=5)
        assert woken[0] >= start + 0.2


def test_wakes_at_once_for_a_time_that_has_passed() -> None:
    woken = threading.Event()
    with Schedule(woken.set) as schedule:
        schedule.look_at(time.time() - 3600)
        assert woken.wait(5)


def test_an_alarm_can_be_taken_back_twice() -> None:
    woken = threading.Event()
    with Schedule(woken.set) as schedule:
        schedule.look_at(time.time() + 60)
        schedule.look_at(None)
        schedule.look_at(None)
        schedule.look_at(time.time())
        assert woken.wait(5)


def test_a_task_comes_due_at_once_and_again_and_is_handed_out_once() -> None:
    woken = threading.Semaphore(0)
    with Schedule(woken.release) as schedule:
        schedule.every(0.2, Task.HEARTBEAT)
        schedule.every(3600, Task.RETAIN)
        due: set[Task] = set()

        def both() -> bool:
            due.update(schedule.due())
            return due == set(Task)

        wait_for("both tasks", both, seconds=5)
        wait_for("the next turn", lambda: schedule.due() == {Task.HEARTBEAT}, seconds=5)
    assert schedule.due() <= {Task.HEARTBEAT}
    assert woken.acquire(timeout=0)
