"""`python -m benchmarks.stock PORT FOLDER`: a storage SCP as pynetdicom's documentation shows it."""

import sys
from pathlib import Path
from typing import Any

from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification


def main() -> None:
    """The command line."""
    port, folder = int(sys.argv[1]), Path(sys.argv[2])

    def keep(event: Any) -> int:
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        dataset.save_as(folder / dataset.SOPInstanceUID, enforce_file_format=True)
        return 0x0000

    ae = AE("STOCK")
    ae.supported_contexts = AllStoragePresentationContexts
    ae.add_supported_context(Verification)
    ae.maximum_associations = 64
    ae.start_server(("127.0.0.1", port), evt_handlers=[(evt.EVT_C_STORE, keep)])


if __name__ == "__main__":
    main()
