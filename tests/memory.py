"""Where a test may put what need not survive a power cut: an fsync there costs nothing."""

import os

#: a folder in memory; None: the usual temporary folder
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
