"""The process that touches strangers' bytes: one request after another, within limits of memory and CPU time.

Started by `decode.Decoder` as `python -m dicom_node.analyse.child DESCRIPTOR`. It loads no torch and no database,
writes no file, and ends when its parent's end of the socket does.
"""

import os
import resource
import signal
import socket
import sys


def main(descriptor: int) -> None:
    """Answer requests on the socket `descriptor` until it ends."""
    # First of all, for the imports take a while: whoever stops the node signals its whole group, and the job that is
    # being decoded must not fail by it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    from dicom_node.analyse import answer, wire

    with socket.socket(fileno=descriptor) as connection:
        setup = wire.receive(connection)
        if sys.platform == "linux":  # elsewhere, where only `infer` runs, the kernel does not keep to it
            resource.setrlimit(resource.RLIMIT_AS, (setup["memory"], setup["memory"]))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        answerer = answer.Answerer(connection, setup)
        wire.send(connection, {"ready": True})
        _fall_silent()
        while True:
            try:
                request = wire.receive(connection)
            except EOFError:
                return
            _allow_cpu(setup["cpu_seconds"])
            answerer.answer(request)


def _allow_cpu(seconds: int) -> None:
    """SIGXCPU, which ends the process, once this many more seconds of CPU time are spent."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime) + 1 + seconds, hard))


def _fall_silent() -> None:
    """What libraries print of a file may hold a patient's name."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


if __name__ == "__main__":
    main(int(sys.argv[1]))
