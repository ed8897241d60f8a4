"""What leaves the site for support says what is wrong, and nothing of whom."""

import json
import re
import stat
import tarfile
import time
from pathlib import Path

import pytest
from pydicom.uid import generate_uid
from sqlalchemy import select

from dicom_node.domain import DeliveryState
from dicom_node.ledger import deliveries, schema
from dicom_node.logs import hashed, load_key
from tests.cli.conftest import Run
from tests.deliver.node import Node, peer, sender, settings_of
from tests.life.node import written

#: what an archive may quote in an error comment
NAME = "MUSTERMANN^ERIKA"


def contents(bundle: Path) -> dict[str, str]:
    found = {}
    with tarfile.open(bundle) as archive:
        for entry in archive:
            file = archive.extractfile(entry)
            assert file is not None
            found[Path(entry.name).name] = file.read().decode()
    return found


def test_nothing_of_a_patient_is_in_it_and_all_that_helps_is(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_TEST", "swordfish-4711")
    archive = peer("archive") | {
        "dicomweb_url": "https://pacs.example.org/dicom-web",
        "dicomweb_authentication": "basic",
        "dicomweb_user": "clerk-of-the-node",
        "dicomweb_secret": "env:SECRET_OF_THE_TEST",
    }
    node = Node(settings_of(tmp_path / "node", sender("MODALITY", "archive"), archive))
    study = str(generate_uid())
    node.arrive(study)
    made = node.result(study)
    node.analyse(made)
    with node.ledger.transaction() as tx:
        (result_id,) = tx.execute(select(schema.result.c.id)).scalars()
        (study_id,) = tx.execute(select(schema.study.c.id)).scalars()
        wanted = [deliveries.NewDelivery(result_id=result_id, destination="archive", held=False)]
        deliveries.queue_deliveries(tx, wanted, study_id=study_id, now=time.time() - 90000)
        # a patient identifier that is a number of the configuration, too
        tx.execute(schema.study.update().values(patient_id="104"))
    for error in (f"answered 0xA700: {NAME} is unknown", f"answered 0x0110: no study {study} of P-2002, {NAME}"):
        with node.ledger.transaction() as tx:
            (claim,) = deliveries.claim(tx, destination="archive", now=9e9, owner="t", lease=60, limit=1)
            deliveries.retry(tx, claim, now=time.time(), not_before=time.time(), error=error)
    log = tmp_path / "serve.log"
    log.write_text(
        json.dumps({"event": "a line of ours", "study": study, "bytes": 104})
        + f"\nTraceback: {NAME}\nNov 28 10:00:00 host chexnode[1]: "
        + json.dumps({"event": "sent", "accession": "A-1001"})
        + "\n"
    )
    config = written(node.settings, tmp_path / "site.toml")
    key = load_key(node.settings.node.folder)
    out = tmp_path / "support.tar.gz"
    ran = run("support-bundle", "--config", config, "--out", out, "--log", log)
    assert ran.exit_code == 0
    node.close()

    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    files = contents(out)
    everything = "\n".join(files.values())
    instance = node.study(study).instances[0].instance.sop_instance_uid
    for value in (NAME, "MUSTERMANN", "A-1001", "P-2002", study, instance, made.sop_instance_uid, "swordfish"):
        assert value not in everything, value
    assert "clerk-of-the-node" not in everything
    assert not re.search(r"(?<![\d.])[0-2]\.(?!2\.840\.10008\.)(\d+\.){5}", everything)

    assert json.loads(files["versions.json"])["schema"] == schema.REVISION
    assert json.loads(files["settings.json"])["peers"][1]["port"] == 104
    assert json.loads(files["ledger.json"])["delivery"] == {DeliveryState.PENDING.value: 1}
    assert any(
        check["what"] == "deliveries" and "0x0110" in check["said"] for check in json.loads(files["doctor.json"])
    )
    assert "0xA700" in files["moves.json"]
    ours, theirs, left_out = (json.loads(line) for line in files["log-1.jsonl"].splitlines())
    assert ours == {"event": "a line of ours", "study": f"#{hashed(study, key=key)}", "bytes": 104}
    assert theirs["accession"] == f"#{hashed('A-1001', key=key)}"
    assert left_out["count"] == 1


def test_it_helps_most_where_the_node_does_not_start(run: Run, tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "node", sender("MODALITY", "archive"), peer("archive"))
    config = written(settings, tmp_path / "site.toml")
    out = tmp_path / "support.tar.gz"
    assert run("support-bundle", "--config", config, "--out", out).exit_code == 0
    files = contents(out)
    assert "there is no ledger" in files["ledger.json"]
    assert "ledger" in files["doctor.json"]


def test_it_writes_over_nothing(run: Run, tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "node", sender("MODALITY", "archive"), peer("archive"))
    config = written(settings, tmp_path / "site.toml")
    out = tmp_path / "thesis.tar.gz"
    out.write_bytes(b"mine")
    ran = run("support-bundle", "--config", config, "--out", out)
    assert isinstance(ran.exception, FileExistsError)
    assert out.read_bytes() == b"mine"
