"""Everything that a stopped training needs to go on as if it had not been stopped."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The state between two steps."""

    #: index of the stage, epoch in it, steps done in that epoch
    stage: int
    epoch: int
    step: int
    model: dict[str, torch.Tensor]
    average: dict[str, torch.Tensor]
    #: updates the average has seen in this stage
    updates: int
    optimizer: dict[str, Any]
    scheduler: dict[str, Any]
    #: torch's global random state
    random: torch.Tensor


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Replace `path` in one step: a kill leaves the old checkpoint or the new one, never half of one."""
    partial = path.with_suffix(".part")
    with partial.open("wb") as file:
        torch.save(vars(checkpoint), file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load(path: Path) -> Checkpoint | None:
    """The checkpoint at `path`, or None where there is none."""
    if not path.exists():
        return None
    return Checkpoint(**torch.load(path, weights_only=True))


class Taken(RuntimeError):
    """Another process trains here."""


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """While this lasts nobody else trains on the checkpoint at `path`. Raises Taken where somebody does."""
    with path.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Taken(
                f"another process trains in {path.parent}, and each would undo the other's checkpoints: "
                "stop it, or name another run folder"
            ) from error
        yield
