"""The settings refuse nonsense at start and name the key."""

from pathlib import Path

import pytest

from dicom_node.config import load_settings, require_routes
from dicom_node.domain import Mode, Profile
from dicom_node.errors import ConfigurationError
from dicom_node.peer import Ask
from dicom_node.query.asking import asked_of

ARCHIVE = """
[[peers]]
name = "archive"
ae_title = "PACS"
host = "127.0.0.1"
port = 104
mode = "hold"
"""
MODALITY = """
[[peers]]
name = "room1"
ae_title = "DX1"
allow_from = ["127.0.0.0/8"]
sends = true
results_to = ["archive"]
"""


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    return tmp_path / "chexnode.toml"


def test_a_usable_file_says_who_gets_what(configuration: Path) -> None:
    configuration.write_text(ARCHIVE + MODALITY)
    settings = load_settings(configuration)
    require_routes(settings)
    assert [peer.name for peer in settings.route("DX1")] == ["archive"]
    assert settings.route("PACS") == ()
    assert settings.profiles == (Profile.STRICT,)
    assert settings.destinations[0].mode is Mode.HOLD


def test_a_destination_that_is_off_gets_nothing_encoded(configuration: Path) -> None:
    configuration.write_text(ARCHIVE.replace('"hold"', '"off"') + MODALITY)
    settings = load_settings(configuration)
    assert settings.route("DX1") == ()
    assert settings.profiles == ()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[node]\nae_title = "seventeen letters"', "node.ae_title"),
        ('[node]\nae_title = "back\\\\slash"', "node.ae_title"),
        ("[receive]\nport = 70000", "receive.port"),
        ("[receive]\nporrt = 104", "receive.porrt"),
        ('[select]\nexclude_descriptions = ["(unclosed"]', "select.exclude_descriptions"),
        ('[results]\nseg_description = "findings"', "results.seg_description"),
        ("[model]\nthreshold = 1.5", "model.threshold"),
        ("[priority]\nlevel = -1", "priority.level"),
        ("[[priority.rules]]\npriority = 2", r"priority\.rules\.0: a rule of priority names"),
        ('[[priority.rules]]\nrequested = ["STAT"]', r"priority\.rules\.0\.priority"),
        ('[[priority.rules]]\npriority = 1\ndescriptions = ["("]', r"priority\.rules\.0\.descriptions"),
        ('[[priority.rules]]\npriority = 1\ncalling_ae_titles = ["back\\\\slash"]', r"priority\.rules\.0\.calling_ae"),
        (MODALITY, "room1.results_to"),
        (ARCHIVE + ARCHIVE, "two peers"),
        (ARCHIVE.replace('host = "127.0.0.1"\n', ""), "no host"),
        (ARCHIVE + MODALITY.replace('results_to = ["archive"]\n', ""), "results_to names no destination"),
        (ARCHIVE + MODALITY.replace('allow_from = ["127.0.0.0/8"]\n', ""), "allow_from"),
        (ARCHIVE + MODALITY.replace("127.0.0.0/8", "somewhere"), "allow_from"),
        (ARCHIVE + "threshold = 0.4", "'archive' has a threshold"),
        (ARCHIVE + MODALITY + "threshold = 0", r"peers\.1\.threshold"),
        (ARCHIVE + MODALITY + "most_findings = 51", r"peers\.1\.most_findings"),
        (
            ARCHIVE + MODALITY + MODALITY.replace("room1", "room2") + "threshold = 0.4",
            r"peers\.room1\.threshold.*room2",
        ),
        (ARCHIVE + MODALITY + "asks_commitment = true", "'room1': Storage Commitment needs its host and port"),
        (
            ARCHIVE.replace('mode = "hold"', "commitment = true"),
            "'archive' is asked for commitment, but is no destination",
        ),
        (ARCHIVE + "asks_commitment = true", "'archive' asks for commitment, but sends nothing"),
        (ARCHIVE + "commitment_timeout = 0", r"peers\.0\.commitment_timeout"),
        ("[tls]\nreceive = true", "tls: receive = true needs certificate"),
        ('[tls]\nreceive = true\ncertificate = "node.pem"', "tls: mutual = true needs ca"),
        ('[tls]\nkey = "node.key"', "tls: key without certificate"),
        (ARCHIVE + 'own_user = "us"', "own_user and own_user_secret belong together"),
        (ARCHIVE + 'own_user = "us"\nown_user_secret = "hunter2"', "own_user_secret is env:NAME or file:PATH"),
        (
            ARCHIVE.replace("127.0.0.1", "10.0.0.7") + 'own_user = "us"\nown_user_secret = "env:PASSCODE"',
            "own_user needs tls = true",
        ),
        (
            '[receive]\nhost = "0.0.0.0"\n' + ARCHIVE + MODALITY + 'user = "room"\nuser_secret = "env:PASSCODE"',
            r"peers\.room1\.user: its passcode would come unencrypted",
        ),
        (
            '[receive]\nhost = "0.0.0.0"\n' + ARCHIVE + 'commitment = true\nuser = "us"\nuser_secret = "env:PASSCODE"',
            r"peers\.archive\.user: its passcode would come unencrypted",
        ),
    ],
)
def test_nonsense_is_refused_naming_the_key(configuration: Path, text: str, key: str) -> None:
    configuration.write_text(text)
    with pytest.raises(ConfigurationError, match=key):
        load_settings(configuration)


def test_a_file_that_is_not_there_or_not_toml_is_said_to_be(configuration: Path) -> None:
    with pytest.raises(ConfigurationError, match="chexnode init"):
        load_settings(configuration)
    configuration.write_text("[node")
    with pytest.raises(ConfigurationError, match="not TOML"):
        load_settings(configuration)


def test_the_environment_wins_over_the_file(configuration: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configuration.write_text("[receive]\nport = 11112\nmax_associations = 7\n" + ARCHIVE)
    monkeypatch.setenv("CHEXNODE_RECEIVE__PORT", "11113")
    settings = load_settings(configuration)
    assert (settings.receive.port, settings.receive.max_associations) == (11113, 7)


@pytest.mark.parametrize("text", [ARCHIVE, ""])
def test_a_node_whose_results_would_go_nowhere_does_not_start(configuration: Path, text: str) -> None:
    configuration.write_text(text)
    with pytest.raises(ConfigurationError, match="add one under"):
        require_routes(load_settings(configuration))


def test_another_peer_may_be_asked_for_what_a_destination_has(configuration: Path) -> None:
    pacs = '[[peers]]\nname = "pacs"\nae_title = "VNA"\nhost = "127.0.0.1"\n'
    configuration.write_text(ARCHIVE + 'ask = "find"\nask_peer = "pacs"\n' + MODALITY + pacs)
    archive = load_settings(configuration).destinations[0]
    assert (archive.ask, archive.ask_peer) == (Ask.FIND, "pacs")
    assert asked_of(archive, load_settings(configuration).peers).ae_title == "VNA"
    itself = archive.model_copy(update={"ask_peer": ""})
    assert asked_of(itself, load_settings(configuration).peers) is itself


@pytest.mark.parametrize(
    "text",
    ['ask = "qido"', 'ask = "find"\nask_peer = "nobody"', 'ask = "find"\nask_peer = "room1"'],
)
def test_an_archive_that_cannot_be_asked_is_refused(configuration: Path, text: str) -> None:
    configuration.write_text(ARCHIVE + text + "\n" + MODALITY)
    with pytest.raises(ConfigurationError, match=r"peers\.archive\.ask"):
        load_settings(configuration)
