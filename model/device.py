"""The network on a GPU: the device always has the next batch before it, and the host waits once a batch.

Films are brought down on the host (`model.preprocess`, the one way): reading a film once costs what copying it to a
pinned buffer would, and a fiftieth of its bytes then cross the bus. Both sizes of a whole batch go over in one
transfer; every look at them is one CUDA graph, captured when a batch of that size first comes; what comes back, in one
transfer, are the best cells, one small map and some features of each film (`model.reading.Seen`). Decision 21 says why.

All but streams and graphs is the same on any device, and is tested on the CPU.
"""

import logging
import math
import queue
import threading
from collections.abc import Sequence
from copy import deepcopy
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from model.contract import Film
from model.network import Heads, LocalizationUNet
from model.reading import Looks, Reading, Seen, inputs, look, readings

log = logging.getLogger(__name__)

#: films in a batch: a graph holds one number of films, and a lone one shall not be read eight times over
BUCKETS = (1, 2, 4, 8, 16, 32)
#: batches under way: one is looked at while the next is brought down
SLOTS = 2
#: runs before a capture: libraries choose their algorithms and workspaces in them
_WARM_UP = 3
#: parts of the network that stay in float32: their logits are compared with each other, and ties made by rounding
#: would be two findings
_EXACT = ("mask", "heat", "quality", "distances", "image")


class Way(NamedTuple):
    """How the network is run."""

    precision: torch.dtype
    #: as a CUDA graph, not kernel by kernel
    captured: bool


def ways_on(device: torch.device) -> tuple[Way, ...]:
    """The ways to run it on `device`, the fastest first; each is the refuge of the one before it."""
    if device.type != "cuda":
        return (Way(torch.float32, captured=False),)
    halves = torch.cuda.get_device_capability(device) >= (7, 0)
    precisions = (torch.float16, torch.float32) if halves else (torch.float32,)
    return tuple(Way(*way) for way in product(precisions, (True, False)))


def at_precision(network: LocalizationUNet, precision: torch.dtype, device: torch.device) -> LocalizationUNet:
    """A copy on `device` in eval mode that takes inputs of `precision`; its heads work in float32."""
    copy = deepcopy(network).eval()
    if precision is not torch.float32:
        for name, part in copy.named_children():
            if name not in _EXACT:
                part.to(precision)
        copy.neck.register_forward_hook(lambda _neck, _taken, said: said.float())
        copy.image.register_forward_pre_hook(lambda _head, taken: (taken[0].float(),))
    return copy.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # torch's stub


class _Slot:
    """Memory of one batch on its way, pinned where there is a bus to cross."""

    def __init__(self, cells: int, device: torch.device) -> None:
        """`cells` floats go over at most."""
        self._pinned = device.type == "cuda"
        self.host = torch.zeros(cells, pin_memory=self._pinned)
        self.staging = torch.empty(cells, device=device) if self._pinned else self.host
        #: (films, F): what came back
        self.told = torch.empty(0, 0)
        if self._pinned:
            self.copied = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch's stub
            # a host that spins while it waits takes the core of whoever decodes the next film
            self.done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]  # torch's stub

    def fill(self, pictures: Sequence[Tensor], bucket: int) -> None:
        """Lay (N, 1, S, S) pictures of each size one after the other, each with room for `bucket` films.

        What lies in the rest of the room is of films before, or zero: it is looked at, and nobody asks what was seen.
        """
        place = 0
        for picture in pictures:
            count, cells = picture.numel(), bucket * math.prod(picture.shape[1:])
            self.host[place : place + count].copy_(picture.flatten())
            place += cells

    def receive(self, packed: Tensor) -> None:
        """Begin to bring (bucket, F) floats back."""
        if not len(self.told):
            self.told = torch.empty(BUCKETS[-1], packed.shape[1], pin_memory=self._pinned)
        self.told[: len(packed)].copy_(packed, non_blocking=True)


class _Captured(NamedTuple):
    """A CUDA graph and the memory that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    taken: Tensor
    said: Tensor


class DeviceReader:
    """Films to readings on one device; may be called by several threads at a time.

    Raises torch.OutOfMemoryError for a batch that is too large, RuntimeError when the device fails in every way.
    """

    def __init__(
        self,
        network: LocalizationUNet,
        looks: Looks,
        device: torch.device,
        ways: Sequence[Way] | None = None,
    ) -> None:
        """`network` is on the host and without batch norms (`model.folding`). Raises RuntimeError, as its calls do."""
        self._network, self._looks, self._device = network, looks, device
        self._ways = list(ways or ways_on(device))
        self._ready: LocalizationUNet | None = None
        self._graphs: dict[int, _Captured] = {}
        #: shapes of one film's part of each field of Seen
        self._shapes: tuple[torch.Size, ...] = ()
        self._cells = sum(size * size for size in looks.sizes)
        self._lock = threading.Lock()
        self._slots: queue.SimpleQueue[_Slot] = queue.SimpleQueue()
        if device.type == "cuda":
            # only a few shapes ever come: a search for the fastest algorithm of each is worth its while
            torch.backends.cudnn.benchmark = True
            self._copying, self._working = (torch.cuda.Stream(device) for _ in range(2))  # type: ignore[no-untyped-call]  # torch's stub
            self._pool = torch.cuda.graph_pool_handle()
        for _ in range(SLOTS):
            self._slots.put(_Slot(BUCKETS[-1] * self._cells, device))

    @property
    def way(self) -> Way:
        """How it runs now."""
        return self._ways[0]

    def __call__(self, films: Sequence[Film]) -> list[Reading]:
        """One reading a film, in order; `BUCKETS[-1]` films at most."""
        return readings(self.seen(films), self._looks)

    @torch.inference_mode()
    def seen(self, films: Sequence[Film]) -> Seen:
        """What the looks at the films saw, on the host."""
        bucket = next(size for size in BUCKETS if size >= len(films))
        slot = self._slots.get()
        try:
            slot.fill(inputs(films, self._looks.sizes), bucket)
            told = self._told(slot, bucket, len(films)).clone()
        finally:
            self._slots.put(slot)
        parts = torch.split(told, [math.prod(shape) for shape in self._shapes], 1)
        return Seen(*(part.reshape(-1, *shape) for part, shape in zip(parts, self._shapes, strict=True)))

    def _told(self, slot: _Slot, bucket: int, films: int) -> Tensor:
        """(films, F) of what lies in `slot`, by the first way that works."""
        while True:
            way, every = self.way, None
            try:
                with self._lock:
                    self._enqueue(slot, bucket)
                if self._device.type == "cuda":
                    slot.done.synchronize()
                told = slot.told[:films]
                if way.precision is torch.float32 or bool(told.isfinite().all()):
                    return told
                why, every = "numbers overflow", way.precision
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                why = str(error)
            self._leave(way, why, every)

    def _leave(self, way: Way, why: str, every: torch.dtype | None) -> None:
        """Go on in the next way, and in none of the precision `every`, unless another thread has seen to it."""
        with self._lock:
            if self.way != way:
                return
            left = [one for one in self._ways[1:] if one.precision is not every]
            if not left:
                raise RuntimeError(why)
            log.warning("%s: the network does not run as %s (%s): as %s", self._device, way, why, left[0])
            self._ways, self._ready = left, None
            self._graphs.clear()

    def _enqueue(self, slot: _Slot, bucket: int) -> None:
        """Everything that the device has to do for a batch; nothing here waits for it."""
        cells = bucket * self._cells
        if self._device.type != "cuda":
            slot.receive(self._look(slot.host[:cells], bucket))
            return
        with torch.cuda.device(self._device):
            with torch.cuda.stream(self._copying):
                slot.staging[:cells].copy_(slot.host[:cells], non_blocking=True)
                slot.copied.record()
            with torch.cuda.stream(self._working):
                self._working.wait_event(slot.copied)
                taken = slot.staging[:cells]
                slot.receive(self._replay(taken, bucket) if self.way.captured else self._look(taken, bucket))
                slot.done.record()

    def _replay(self, taken: Tensor, bucket: int) -> Tensor:
        if bucket not in self._graphs:
            self._graphs[bucket] = self._capture(bucket)
        captured = self._graphs[bucket]
        captured.taken.copy_(taken)
        captured.graph.replay()
        return captured.said

    def _capture(self, bucket: int) -> _Captured:
        """All graphs share one pool of memory: what one has said is on its way back before another is replayed."""
        taken = torch.zeros(bucket * self._cells, device=self._device)
        for _ in range(_WARM_UP):
            self._look(taken, bucket)
        graph = torch.cuda.CUDAGraph()
        # other threads may wait for their batch meanwhile
        with torch.cuda.graph(graph, pool=self._pool, stream=self._working, capture_error_mode="thread_local"):
            said = self._look(taken, bucket)
        return _Captured(graph, taken, said)

    def _look(self, flat: Tensor, bucket: int) -> Tensor:
        """(bucket, F): all that is seen of each film, in one row."""
        sizes = self._looks.sizes
        parts = torch.split(flat, [bucket * size * size for size in sizes])
        pictures = [part.view(bucket, 1, size, size) for part, size in zip(parts, sizes, strict=True)]
        seen = look(self._heads, pictures, self._looks)
        self._shapes = tuple(part.shape[1:] for part in seen)
        return torch.cat([part.reshape(bucket, -1) for part in seen], 1)

    def _heads(self, pictures: Tensor) -> Heads:
        if self._ready is None:
            self._ready = at_precision(self._network, self.way.precision, self._device)
        heads: Heads = self._ready(pictures.to(self._device, self.way.precision))
        return heads
