"""One step of a training: batch, loss, gradient, update. On a GPU it is captured once as a graph and replayed.

A small network's step is some two thousand short kernels; launched one by one, a GPU waits for its host.
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from training import precision
from training.table import Table

_GRADIENT_NORM = 5.0
#: steps done as they come before the capture: the optimizer's state must exist, and cuDNN must have chosen
_WARM = 3


class Objective(Protocol):
    """What `Stepper` descends on: see `training.objective`."""

    def batch(
        self, films: Table, index: Tensor, blur: tuple[float, tuple[int, ...]], generator: torch.Generator | None
    ) -> tuple[Tensor, Any]: ...

    def __call__(self, films: Tensor, wanted: Any, generator: torch.Generator | None) -> dict[str, Tensor]: ...

    def parameters(self) -> Any: ...


class Stepper:
    """Does steps on batches of one size."""

    def __init__(
        self,
        objective: Objective,
        films: Table,
        optimizer: torch.optim.Optimizer,
        blur: tuple[float, tuple[int, ...]],
        device: torch.device,
    ) -> None:
        self._objective, self._films, self._optimizer, self._blur = objective, films, optimizer, blur
        self._device = device
        self._done = 0
        self._replay: Callable[[Tensor], Tensor] | None = None
        #: names of the terms, in the order of what a step returns; known after the first
        self.names: tuple[str, ...] = ()

    def __call__(self, index: Tensor, generator: torch.Generator | None) -> Tensor:
        """One step on the films at `index` (N,); its terms, detached, on the device."""
        if self._device.type != "cuda":
            return self._step(index, generator)
        self._done += 1
        if self._done <= _WARM:
            return self._aside(index)
        if self._replay is None:
            self._replay = self._captured(index)
        return self._replay(index)

    def _step(self, index: Tensor, generator: torch.Generator | None) -> Tensor:
        with torch.no_grad():
            x, wanted = self._objective.batch(self._films, index, self._blur, generator)
        with precision.autocast(self._device):
            terms = self._objective(x.contiguous(memory_format=torch.channels_last), wanted, generator)
        total = torch.stack(list(terms.values())).sum()
        self._optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]  # torch's stub
        nn.utils.clip_grad_norm_(self._objective.parameters(), _GRADIENT_NORM)
        self._optimizer.step()
        self.names = tuple(terms)
        return torch.stack([term.detach() for term in terms.values()])

    def _aside(self, index: Tensor) -> Tensor:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch's stub
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            terms = self._step(index, None)
        torch.cuda.current_stream().wait_stream(stream)
        return terms

    def _captured(self, index: Tensor) -> Callable[[Tensor], Tensor]:
        held = index.clone()
        self._optimizer.zero_grad()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            terms = self._step(held, None)

        def replay(index: Tensor) -> Tensor:
            held.copy_(index)
            graph.replay()
            return terms

        return replay
