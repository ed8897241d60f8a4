"""A Job's parameters: whatever changes what is read or marked changes the digest, and nothing else does."""

from pathlib import Path

from dicom_node.config import ModelSection, NodeSection, PeerSection, SelectSection, Settings
from dicom_node.parameters import parameters_by_source, parameters_digest


def test_equal_settings_have_one_digest_and_it_is_sha256():
    assert parameters_digest(Settings()) == parameters_digest(Settings())
    assert len(parameters_digest(Settings())) == 64


def test_a_rule_or_a_threshold_changes_it():
    digests = {
        parameters_digest(Settings()),
        parameters_digest(Settings(select=SelectSection(min_age=16))),
        parameters_digest(Settings(model=ModelSection(threshold=0.3))),
        parameters_digest(Settings(model=ModelSection(most_findings=3))),
    }
    assert len(digests) == 4


def test_the_place_and_the_device_do_not():
    elsewhere = Settings(
        node=NodeSection(folder=Path("elsewhere")),
        model=ModelSection(device="cpu", folder=Path("weights")),
    )
    assert parameters_digest(elsewhere) == parameters_digest(Settings())


def test_a_source_that_says_nothing_of_its_own_is_like_any_other():
    peers = tuple(
        PeerSection(name=name, ae_title=name, sends=True, allow_from=("127.0.0.1",), results_to=("pacs",), **own)
        for name, own in (("plain", {}), ("same", {"most_findings": 10}), ("strict", {"threshold": 0.6}))
    )
    pacs = PeerSection(name="pacs", ae_title="PACS", host="127.0.0.1", mode="hold")
    settings = Settings(peers=(*peers, pacs))
    common = parameters_digest(Settings())
    assert {parameters_digest(settings, title) for title in ("", "plain", "same", "PACS", "nobody")} == {common}
    assert parameters_by_source(settings) == {
        "strict": parameters_digest(Settings(model=ModelSection(threshold=0.6))),
    }
