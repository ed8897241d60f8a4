"""Signals that are read: none is lost or swapped, whatever the process is about when it comes."""

import random
import select
import signal
import subprocess
import sys

#: says the number of each signal; in between it is busy for up to 0.4 ms, so that the next one may come at any moment
LISTENER = """
import os, random, signal, time
from dicom_node import signals
told = signals.heard(signal.SIGTERM, signal.SIGHUP)
signal.signal(signal.SIGUSR1, lambda *_: None)  # handled, and not asked for
os.write(1, b"!")
while True:
    until = time.perf_counter() + random.random() * 4e-4
    while time.perf_counter() < until:
        pass
    os.write(1, bytes([next(told)]))
"""


def test_each_signal_is_heard_at_whatever_moment_it_comes() -> None:
    with subprocess.Popen([sys.executable, "-c", LISTENER], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.read(1) == b"!"
            for round_ in range(3000):
                process.send_signal(signal.SIGUSR1)
                sent = random.choice((signal.SIGTERM, signal.SIGHUP))
                process.send_signal(sent)
                assert select.select([process.stdout], [], [], 30)[0], f"signal {round_} was lost"
                assert process.stdout.read(1) == bytes([sent])
        finally:
            process.kill()
