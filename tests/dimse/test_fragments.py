"""The PDUs of a data set: each byte once and in order, whatever sizes meet."""

import os
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from dicom_node.dimse.association import open_association
from dicom_node.dimse.contexts import proposed_contexts
from dicom_node.dimse.fragments import Fragments, ReadInto, of_bytes, of_file
from dicom_node.errors import PeerUnavailable
from tests import datasets
from tests.deliver.archives import Archive
from tests.peers import LOOPBACK

DATA = bytes(range(251)) * 13_000  # 3.3 MB, so that more than one step is needed


def _haltingly(read_into: ReadInto) -> ReadInto:
    """As a slow disk may: a view and a half at a time, and only a byte of the last."""

    def read(views: Sequence[memoryview], position: int) -> int:
        some = [*views[:1], views[1][: len(views[1]) // 2]] if len(views) > 1 else [views[0][: len(views[0]) // 2 or 1]]
        return read_into(some, position)

    return read


def _read_back(sent: bytes) -> list[tuple[int, int, bytes]]:
    """(presentation context, control header, data) of each PDU, one PDV in each."""
    found, at = [], 0
    while at < len(sent):
        kind, length, item, context_id, control = struct.unpack_from(">BxIIBB", sent, at)
        assert (kind, item) == (0x04, length - 4)
        found.append((context_id, control, sent[at + 12 : at + 6 + length]))
        at += 6 + length
    return found


@pytest.mark.parametrize("largest", [64, 1000, 16384, 16378, 256 << 10])
@pytest.mark.parametrize("size", [0, 1, 57, 58, 59, 16378, 16372, 16379, 1 << 20, len(DATA)])
def test_every_byte_once_and_in_order(tmp_path: Path, largest: int, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"ahead of it" + DATA[:size])
    fragments = Fragments(largest)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for read_into in (of_file(descriptor), of_bytes(path.read_bytes()), _haltingly(of_file(descriptor))):
            steps = fragments.steps(7, read_into, begin=11, end=11 + size, ahead=b"")
            read = _read_back(b"".join(map(bytes, steps)))
            assert b"".join(data for _, _, data in read) == DATA[:size]
            assert [(context, control) for context, control, _ in read] == [(7, 0)] * (len(read) - 1) + [(7, 2)]
            assert all(len(data) == largest - 6 for _, _, data in read[:-1])
    finally:
        os.close(descriptor)


def test_a_command_of_any_length_goes_ahead() -> None:
    fragments = Fragments(16384)
    for ahead in (b"", b"command", b"c" * 1024, b"c" * 5000):
        sent = b"".join(map(bytes, fragments.steps(1, of_bytes(b"data"), begin=0, end=4, ahead=ahead)))
        assert sent == ahead + struct.pack(">BxIIBB", 4, 10, 6, 1, 2) + b"data"


def test_a_file_that_is_too_short_is_no_shorter_data_set() -> None:
    with pytest.raises(EOFError, match="2 bytes are missing"):
        list(Fragments(16384).steps(1, of_bytes(b"data"), begin=0, end=6, ahead=b""))


def test_a_file_that_ends_before_its_end_ends_the_association(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a data set must never look like one."""
    whole = datasets.file_bytes(datasets.chest(1200, 1000))
    path = tmp_path / "file.dcm"
    path.write_bytes(whole)
    contexts = proposed_contexts([(DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian)])
    with Archive(classes=[DigitalXRayImageStorageForPresentation]) as archive:
        told = os.fstat

        def longer(descriptor: int) -> os.stat_result:
            """As long as it was before it was cut."""
            found = list(told(descriptor))
            found[6] += 100
            return os.stat_result(found)

        with open_association(
            LOOPBACK, archive.port, called="ARCHIVE", calling="CHEXNODE", contexts=contexts
        ) as opened:
            assert opened.store(path).status == 0x0000
            monkeypatch.setattr(os, "fstat", longer)
            with pytest.raises(PeerUnavailable, match="can't be read to its end"):
                opened.store(path)
        assert sum(archive.came.values()) == 1
