"""Coverage-guided search for data sets that hurt, by atheris; optional, no part of the tests.

    .venv/bin/pip install atheris        # Apache-2.0; where there is a build for this Python
    .venv/bin/python -m tests.untrusted.fuzz -max_total_time=600 build/fuzz

It begins from the corpus. The first byte chooses a transfer syntax. Head and parser run in this process, where atheris
sees their branches; a decoder that dies takes the search with it: what killed it is in the file that atheris leaves.
"""

import sys
import tempfile
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["dicom_node", "model", "pydicom"]):
    from dicom_node.analyse.answer import _header_message
    from dicom_node.analyse.parse import parse_header, read_film
    from dicom_node.dimse.part10 import file_meta
    from dicom_node.encode.elements import MALFORMED
    from dicom_node.errors import Unreadable
    from dicom_node.receive.head import HeadError, read_head

from tests import datasets
from tests.untrusted.corpus import cases
from tests.untrusted.way import SOP_CLASS, SOP_INSTANCE, film

_SYNTAXES = [str(syntax) for syntax in datasets.TRANSFER_SYNTAXES]


def one(octets: bytes) -> None:
    """The way of one data set. Raises what the node does not foresee."""
    if not octets:
        return
    syntax, data = _SYNTAXES[octets[0] % len(_SYNTAXES)], octets[1:]
    try:
        read_head(data, syntax)
    except HeadError:
        return
    meta = file_meta(
        sop_class_uid=SOP_CLASS, sop_instance_uid=SOP_INSTANCE, transfer_syntax_uid=syntax, calling_ae_title="SENDER"
    )
    with tempfile.NamedTemporaryFile() as kept:
        kept.write(meta + data)
        kept.flush()
        try:
            with Path(kept.name).open("rb") as file:
                parsed = parse_header(file)
                _header_message(parsed.header)
                read_film(parsed)
        except (Unreadable, MemoryError, *MALFORMED) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # a disk's


def main() -> None:
    warnings.simplefilter("ignore")
    seeds = Path(tempfile.mkdtemp(prefix="chexnode-seeds-"))
    for number, syntax in enumerate(_SYNTAXES):
        (seeds / syntax).write_bytes(bytes([number]) + film(syntax))
    for case in cases():
        (seeds / case.name).write_bytes(bytes([_SYNTAXES.index(case.syntax)]) + case.data)
    atheris.Setup([*sys.argv, str(seeds)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
