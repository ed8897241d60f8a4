"""Every object of every profile stands in the archive as it was encoded, and says what the model found."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
from conftest import Site
from films import abnormal
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from results import marked, regions_of

from dicom_node.config import load_settings
from dicom_node.domain import Finding, Kind, Profile
from dicom_node.encode.findings import united_mask
from dicom_node.encode.profiles import PROFILES
from dicom_node.ledger import Ledger, results
from dicom_node.spool import Spool
from tests.waiting import wait_for

CELLS = [(profile, kind) for profile, row in PROFILES.items() for kind in (*row.kinds, *row.study_kinds)]


def holding(kind: Kind) -> list[Profile]:
    """The profiles that have a kind."""
    return [profile for profile, each in CELLS if each is kind]


@dataclass(frozen=True, kw_only=True)
class Archived:
    """One abnormal chest that the node has read for every profile there is."""

    source: Dataset
    #: those that are shown, in the order of their numbers
    findings: tuple[Finding, ...]
    #: as the node keeps them
    kept: dict[tuple[Profile, Kind], Dataset]
    #: as the archive gives them over DICOMweb
    returned: dict[tuple[Profile, Kind], Dataset]

    @property
    def shape(self) -> tuple[int, int]:
        return self.source.Rows, self.source.Columns


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archived]:
    site = Site(tmp_path_factory.mktemp("site"), tuple(PROFILES))
    try:
        site.start()
        source = abnormal()
        site.orthanc.upload(source)

        def stored() -> bool:
            states = [each["state"] for study in site.node.status()["studies"] for each in study["deliveries"]]
            assert "failed" not in states, site.node.log()
            return states == ["stored"] * len(CELLS)

        wait_for("every object of every profile to be stored", stored, seconds=120, every=1)
        kept = _kept(site, source.StudyInstanceUID)
        by_uid = {each.SOPInstanceUID: each for each in site.orthanc.instances(source.StudyInstanceUID)}
        yield Archived(
            source=source,
            findings=marked(site.node, source),
            kept=kept,
            returned={cell: by_uid[each.SOPInstanceUID] for cell, each in kept.items()},
        )
    finally:
        site.stop()


def _kept(site: Site, study_instance_uid: str) -> dict[tuple[Profile, Kind], Dataset]:
    settings = load_settings(site.node.configuration)
    spool = Spool(settings.node.folder / "spool")
    [known] = site.node.status("--study", study_instance_uid)["studies"]
    ledger = Ledger.for_settings(settings.node)
    try:
        with ledger.reading() as tx:
            rows = results.of_study(tx, known["study"]["study_id"])
    finally:
        ledger.close()
    return {(row.profile, row.kind): dcmread(BytesIO(spool.read(row.spool_key))) for row in rows}


def test_the_study_holds_what_the_table_of_profiles_says_and_no_more(archived: Archived) -> None:
    assert set(archived.kept) == set(CELLS)
    assert len({each.SOPInstanceUID for each in archived.returned.values()}) == len(CELLS)
    assert len(archived.findings) > 1


@pytest.mark.parametrize(("profile", "kind"), CELLS)
def test_what_comes_back_is_what_was_encoded(archived: Archived, profile: Profile, kind: Kind) -> None:
    kept, returned = archived.kept[profile, kind], archived.returned[profile, kind]
    assert _header(returned) == _header(kept)
    if "PixelData" in kept:
        assert np.array_equal(returned.pixel_array, kept.pixel_array)


def _header(dataset: Dataset) -> Dataset:
    """All that no transfer syntax changes."""
    header = Dataset()
    for element in dataset:
        if element.keyword not in ("PixelData", "PlanarConfiguration"):
            header.add(element)
    return header


@pytest.mark.parametrize("profile", holding(Kind.SEG))
def test_the_segments_are_the_masks_that_were_predicted(archived: Archived, profile: Profile) -> None:
    seg = archived.returned[profile, Kind.SEG]
    frames = seg.pixel_array.astype(bool).reshape(-1, *archived.shape)
    if len(seg.SegmentSequence) == 1:
        assert np.array_equal(frames, [united_mask(archived.findings, archived.shape)])
    else:
        groups = [each.SegmentIdentificationSequence[0] for each in seg.PerFrameFunctionalGroupsSequence]
        assert [each.ReferencedSegmentNumber for each in groups] == [1 + n for n in range(len(archived.findings))]
        for frame, finding in zip(frames, archived.findings, strict=True):
            assert np.array_equal(frame, united_mask([finding], archived.shape))


@pytest.mark.parametrize("profile", holding(Kind.SR))
def test_the_report_s_regions_enclose_the_masks_that_were_predicted(archived: Archived, profile: Profile) -> None:
    regions = list(regions_of(archived.returned[profile, Kind.SR]))
    for (image, polygon), finding in zip(regions, archived.findings, strict=True):
        assert image == archived.source.SOPInstanceUID
        assert np.array_equal(_enclosed([polygon], archived.shape), united_mask([finding], archived.shape))


@pytest.mark.parametrize("profile", holding(Kind.GSPS))
def test_the_presentation_s_graphics_enclose_the_masks_that_were_predicted(
    archived: Archived, profile: Profile
) -> None:
    state = archived.returned[profile, Kind.GSPS]
    drawn = [each for each in state.GraphicAnnotationSequence if "GraphicObjectSequence" in each]
    for annotation, finding in zip(drawn, archived.findings, strict=True):
        [image] = annotation.ReferencedImageSequence
        assert image.ReferencedSOPInstanceUID == archived.source.SOPInstanceUID
        lines = [np.reshape(line.GraphicData, (-1, 2)) for line in annotation.GraphicObjectSequence]
        assert np.array_equal(_enclosed(lines, archived.shape), united_mask([finding], archived.shape))


def _enclosed(lines: list[NDArray[np.float64]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(rows, columns): pixels inside closed lines along pixel edges, by the even-odd rule, counted from the left."""
    crossed = np.zeros((shape[0], shape[1] + 1), np.int64)
    for line in lines:
        corners = line.astype(int)
        assert np.array_equal(corners, line)
        assert np.array_equal(corners[0], corners[-1])
        for (x, y), (to_x, to_y) in pairwise(corners.tolist()):
            if x == to_x:
                crossed[min(y, to_y) : max(y, to_y), x] += 1
            else:
                assert y == to_y, "no line along pixel edges"
    return np.asarray(crossed.cumsum(axis=1)[:, :-1] % 2 == 1)
