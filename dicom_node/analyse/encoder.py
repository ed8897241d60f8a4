"""The process that makes the objects of a result: one order after another, each durable before it is told of.

Started by `encoders.Encoders` as `python -m dicom_node.analyse.encoder DESCRIPTOR`. It is trusted as the process that
started it is: what it works on was parsed and checked before. It loads no torch and no database, and ends when its
parent's end of the socket does.
"""

import signal
import socket
import sys
import time
import traceback
import warnings
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import ComputedRadiographyImageStorage

from dicom_node import __version__
from dicom_node.analyse.order import Answer, Broke, Kept, KeptObject, NotKept, Order, Refusal, receive, send
from dicom_node.domain import EncodedResult, Finding, Profile
from dicom_node.encode.builders import BUILDERS, build
from dicom_node.encode.context import EncodeContext
from dicom_node.errors import OutOfRoom, StorageFault, Unreadable
from dicom_node.spool import Spool


class Maker:
    """Makes the objects of orders, and keeps them in `spool`."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        # an object is flushed while the next one is made
        self._keeping = ThreadPoolExecutor(3, thread_name_prefix="keep")

    def answer(self, order: Order) -> Answer:
        """Whatever happens is an answer: the process goes on."""
        try:
            return self._kept(order)
        except Unreadable as error:
            return Refusal(reason=error.reason, detail=error.detail)
        except (OutOfRoom, StorageFault) as error:
            return NotKept(no_room=isinstance(error, OutOfRoom), detail=str(error))
        except Exception as error:  # noqa: BLE001 - the outermost loop: one image must not end the process
            frames = traceback.extract_tb(error.__traceback__)
            told = tuple(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames[-6:])
            return Broke(error=type(error).__name__, frames=told)

    def _kept(self, order: Order) -> Kept:
        started = time.monotonic()
        header = self._keeping.submit(self._spool.put, order.packed_header)
        objects: list[Future[KeptObject]] = []
        try:
            encoded = order.encoding.encode(
                order.profiles,
                header=order.header,
                film=order.film,
                findings=order.findings,
                input_digest=order.input_digest,
                content_time=order.content_time,
            )
            objects.extend(self._keeping.submit(self._keep, one) for one in encoded)
        finally:
            made = time.monotonic()
            # also of one that failed: what is not named by an answer is not being written either
            written: list[Future[Any]] = [header, *objects]
            wait(written)
        return Kept(
            objects=tuple(future.result() for future in objects),
            header_key=header.result(),
            spent={"encode": made - started, "keep": time.monotonic() - made},
        )

    def _keep(self, result: EncodedResult) -> KeptObject:
        key = self._spool.put(result.data)
        return KeptObject(result=replace(result, data=b""), spool_key=key, digest=sha256(result.data).hexdigest())


def warm_up() -> None:
    """Make one object of each kind for nobody: what is loaded at first use would be the first image's half second."""
    header = Dataset()
    header.SOPClassUID = ComputedRadiographyImageStorage
    header.StudyInstanceUID = header.SeriesInstanceUID = header.SOPInstanceUID = "2.25.1"
    context = EncodeContext(
        algorithm_name="none",
        algorithm_version="0",
        algorithm_family=("123110", "DCM", "Artificial Intelligence"),
        model_digest="0" * 64,
        parameters="0" * 64,
        threshold=0.5,
        not_shown=0,
        input_digest="0" * 64,
        content_time=datetime.fromtimestamp(0, UTC),
        software_version=__version__,
    )
    finding = Finding(box=(8, 8, 24, 24), confidence=0.5, mask_origin=(8, 8), mask=np.ones((16, 16), np.bool_))
    for kind in BUILDERS:
        build(
            kind,
            Profile.OHIF,
            header=header,
            film_pixels=np.zeros((32, 32), np.uint16),
            film_valid=None,
            findings=[finding],
            context=context,
        )


def main(descriptor: int) -> None:
    """Answer orders on the socket `descriptor` until it ends."""
    # whoever stops the node signals its whole group, and what is being encoded must not fail by it
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # a warning of pydicom's quotes the value that it is about
    warnings.simplefilter("ignore")
    with socket.socket(fileno=descriptor) as connection:
        spool = Spool(receive(connection))
        maker = Maker(spool)
        send(connection, True)
        try:
            warm_up()
            _serve(connection, maker)
        finally:
            spool.close()


def _serve(connection: socket.socket, maker: Maker) -> None:
    while True:
        try:
            order = receive(connection)
        except EOFError:
            return
        send(connection, maker.answer(order))


if __name__ == "__main__":
    main(int(sys.argv[1]))
