"""The ledger's server goes away under the whole node, and comes back."""

from pathlib import Path

import pytest

from dicom_node.dimse.sending import send_files
from dicom_node.errors import NodeError
from tests import datasets
from tests.faults import verdict
from tests.faults.hospital import LONG, Hospital, abnormal
from tests.postgres import Away
from tests.waiting import wait_for


@pytest.mark.peer
def test_every_role_finds_its_way_back_to_postgresql(tmp_path: Path, postgres_server: str, postgres_url: str) -> None:
    with Hospital(tmp_path, ledger_url=postgres_url) as site:
        site.start()
        site.send(abnormal())
        site.settle()
        refused = datasets.write(abnormal(), tmp_path)

        def turned_away() -> bool:
            try:
                [one] = send_files([refused], "127.0.0.1", site.port, called="CHEXNODE", calling="ARCHIVE")
            except NodeError:
                return True
            return not one.stored

        for _ in range(2):
            with site.sending(abnormal(), abnormal()), Away(postgres_server, postgres_url).gone():
                wait_for("an image to be turned away", turned_away, seconds=LONG, every=0.2)
        site.settle()
        assert verdict.lost(site) == []
        assert verdict.half_files(site) == []
        assert verdict.duplicated(site) == []
