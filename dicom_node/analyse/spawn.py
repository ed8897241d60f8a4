"""Starting the processes that analyse has beside it."""

import os
import socket
import subprocess
import sys


def spawned(module: str) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """A module of ours in a process of its own, whose only argument is its end of a socket; and our end of it.

    exec'd, in a session of its own: a Ctrl-C on the terminal is its parent's to answer. With one thread for
    arithmetic: the cores are for several of them, and each thread of BLAS's reserves address space that a limit counts.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", module, str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
        )
    return process, ours
