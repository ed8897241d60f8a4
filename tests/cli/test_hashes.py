"""`chexnode status --hash`: from a hash in a log to the study that it stands for."""

import json
from pathlib import Path

import pytest

from dicom_node.errors import NotFound
from dicom_node.ledger import overview, results
from dicom_node.logs import hashed, load_key
from tests.cli.conftest import Run
from tests.pki import Authority
from tests.site import Site


def test_every_identifier_that_may_stand_in_a_log_is_found(run: Run, site: Site, tmp_path: Path) -> None:
    site.arrive("1.2.1", accession="A1")
    image = site.arrive("1.2.2", accession="A2")
    for _ in range(2):
        site.analyse()
    key = load_key(tmp_path / "data")
    for identifier, what in (("1.2.2", "study"), ("A2", "accession number"), (image, "image")):
        logged = hashed(identifier, key=key)
        output = run("status", "--hash", logged.upper()).output
        assert f"{logged} is the {what} of study 1.2.2" in output
        assert "1.2.1" not in output
        (study,) = json.loads(run("status", "--json", "--hash", logged).output)["studies"]
        assert study["study"]["study_instance_uid"] == "1.2.2"
    with site.ledger.reading() as tx:
        results_of = {view.study.study_instance_uid: view.study.study_id for view in overview.studies(tx, limit=9)}
        result, *_ = results.of_study(tx, results_of["1.2.2"])
    assert "is the result of study 1.2.2" in run("status", "--hash", hashed(result.sop_instance_uid, key=key)).output


def test_a_hash_of_nothing_is_said(run: Run, site: Site) -> None:
    site.arrive("1.2.1")
    with pytest.raises(NotFound, match="0123456789ab"):
        run("status", "--hash", "0123456789ab")


def test_certificates_that_end_are_shown(run: Run, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hospital = Authority(tmp_path / "pki")
    shown = hospital.issue("CHEXNODE", days=3)
    for name in ("certificate", "key"):
        monkeypatch.setenv(f"CHEXNODE_TLS__{name.upper()}", str(getattr(shown, name)))
    output = " ".join(run("status").output.split())
    assert "in 3 days: chexnode doctor" in output
    (told,) = json.loads(run("status", "--json").output)["certificates"]
    assert str(shown.certificate) in told
