"""The statement is complete, the copy in docs/ is what the code says, and a configured one names who is configured."""

from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID

from dicom_node.config import Settings
from dicom_node.conformance import statement
from dicom_node.conformance.objects import Made, Origin, made
from dicom_node.domain import Kind, Profile
from dicom_node.encode.identity import IDENTITY_KEYWORDS
from model.weights import read_manifest
from tests.cli.running import chexnode
from tests.conformance.conftest import rows
from tests.encode.sources import ALL, MAKERS, bare, encode, finding, full, header

DOCUMENT = Path(__file__).parents[2] / "docs" / "conformance.md"


def test_document_is_what_the_code_says(text: str) -> None:
    assert DOCUMENT.read_text() == text, "run: python -m dicom_node.conformance > docs/conformance.md"


@pytest.fixture(scope="module")
def objects() -> dict[Kind, Made]:
    return {each.kind: each for each in made(list(Profile), Settings(), read_manifest())}


def test_every_kind_that_a_destination_may_get_is_there(objects: dict[Kind, Made], text: str) -> None:
    assert objects.keys() == set(Kind)
    for each in objects.values():
        assert f"`{each.sop_class_uid}`" in text


@pytest.mark.parametrize("maker", sorted(MAKERS))
@pytest.mark.parametrize(("profile", "kind"), ALL)
def test_nothing_is_written_that_is_not_stated(
    objects: dict[Kind, Made], profile: Profile, kind: Kind, maker: str
) -> None:
    """Of any source: complete, in another script, lossy, or with nothing that it could do without."""
    stated = {_path(each) for each in _paths(objects[kind])} | {(keyword,) for keyword in IDENTITY_KEYWORDS}
    findings = (finding(20, 10), finding(40, 30, confidence=0.9))
    sources = (full(maker), full(maker, "japanese"), full(maker, LossyImageCompression="01"), bare(maker))
    for source in sources:
        written = dcmread(BytesIO(encode(kind, profile, of=header(source), findings=findings).data))
        surplus = {path for path in _written(written) if path not in stated and path[0] not in IDENTITY_KEYWORDS}
        # only where a value of the source cannot be written
        assert surplus - {("ImageComments",)} == set()


def _paths(each: Made) -> list[list[str]]:
    """The keywords from the top down to each attribute of the table."""
    found: list[list[str]] = []
    above: list[str] = []
    for attribute in each.attributes:
        above = [*above[: attribute.depth], attribute.keyword]
        found.append(above)
    return found


def _path(keywords: list[str]) -> tuple[str, ...]:
    return tuple(keywords)


def _written(dataset: Dataset, above: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    found = set()
    for element in dataset:
        path = (*above, element.keyword)
        found.add(path)
        if element.VR == "SQ" and element.keyword != "ContentSequence":
            for item in element.value:
                found |= _written(item, path)
    return found


@pytest.mark.parametrize(("profile", "kind"), ALL)
def test_what_is_stated_as_fixed_is(objects: dict[Kind, Made], profile: Profile, kind: Kind) -> None:
    written = dcmread(BytesIO(encode(kind, profile, of=header(full("CR"))).data))
    fixed = [
        each for each in objects[kind].attributes if each.origin is Origin.FIXED and each.depth == 0 and each.value
    ]
    assert len(fixed) > 5
    for attribute in fixed:
        if profile in attribute.profiles:
            assert _shown(written[attribute.keyword].value) in attribute.value.split(" or "), attribute.keyword


def _shown(value: object) -> str:
    if isinstance(value, MultiValue):
        return "\\".join(map(str, value))
    return value.name if isinstance(value, UID) else str(value)


def test_the_origin_of_what_everybody_asks_for(objects: dict[Kind, Made]) -> None:
    seg = {each.keyword: each for each in objects[Kind.SEG].attributes if each.depth == 0}
    assert seg["SeriesDescription"].origin is Origin.SETTINGS
    assert seg["DeviceSerialNumber"].origin is Origin.MODEL
    assert seg["SOPInstanceUID"].origin is Origin.GENERATED
    assert (seg["ContentQualification"].origin, seg["ContentQualification"].value) == (Origin.FIXED, "RESEARCH")
    assert seg["FrameOfReferenceUID"].profiles == (Profile.OHIF, Profile.SLICER)


def test_a_configured_node_states_its_own_peers_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / "chexnode.toml").write_text("""
[node]
ae_title = "AI7"
[receive]
port = 11199
max_associations = 5
[[peers]]
name = "pacs"
ae_title = "PACS"
host = "10.0.0.5"
sends = true
results_to = ["pacs", "cloud"]
mode = "send"
profile = "classic-pacs"
compress = false
tls = true
[tls]
receive = true
mutual = false
certificate = "node.pem"
[audit]
syslog_host = "audit.example.org"
[[peers]]
name = "cloud"
mode = "hold"
profile = "air"
transport = "stow-rs"
dicomweb_url = "https://pacs.example.org/rs"
dicomweb_authentication = "bearer"
dicomweb_secret = "env:CLOUD_TOKEN"
""")
    done = chexnode("conformance", "--out", "statement.md", folder=tmp_path, CLOUD_TOKEN="s3cret")
    assert done.returncode == 0, done.stderr
    assert "statement.md" in done.stdout
    text = (tmp_path / "statement.md").read_text()
    assert rows(text, "6 ") == [["chexnode", "AI7", "127.0.0.1", "11199"]]
    assert "| pacs | `PACS` | 10.0.0.5:104 | yes | C-STORE | send | `classic-pacs` |" in text
    assert "| cloud |  | https://pacs.example.org/rs | no | STOW-RS | hold | `air` |" in text
    assert [row[0] for row in rows(text, "4 Output")] == ["air", "classic-pacs"]
    (picture, *_) = rows(text, "To `pacs`")
    assert picture[2] == "Explicit VR Little Endian, Implicit VR Little Endian"
    assert "associations at one time | 5, of one peer 16" in text
    plain = " ".join(text.split())
    assert "DICOM is taken over TLS 1.2 or 1.3 only (BCP 195, PS3.15 B.12); senders need no certificate." in plain
    assert "So configured: `pacs`." in plain
    assert "to audit.example.org:6514 by syslog over TLS" in plain
    assert "s3cret" not in text
    assert "CLOUD_TOKEN" not in text


def test_the_same_settings_give_the_same_statement(text: str) -> None:
    assert statement(Settings(), read_manifest()) == text
