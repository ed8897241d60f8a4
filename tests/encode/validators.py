"""What other people's validators say of an object, less what is known to be wrong with the validator.

Known limits, each seen; a test shows that the validator does see what is wrong otherwise.

dciodvfy (dicom3tools 2022-06-18)
    does not know LABELMAP segmentations, which we do not write;
    takes a malformed value that a source brought along, and that the result repeats on purpose, for an error of ours:
    judged against what it says of the source;
    finds no area in a presentation state of a single pixel, whose top left and bottom right are the same: left out;
    knows the modules of an SR, and no templates;
    its warnings are not judged: retired attributes of a source, attributes beyond the IOD (PS3.4 3.8.4), an empty
    Patient ID that no DICOMDIR could name.

dcmpschk (dcmtk 3.6.7)
    refuses the time zone +0000, which PS3.5 6.2 allows (it is -0000 that must not be used);
    fails a state without a patient's name, which is type 2 and may be empty;
    takes for malformed what is not ASCII in ISO_IR 192.

dsrdump (dcmtk 3.6.7)
    checks value types and relationships against the IOD (PS3.3 A.35.3.3), and no templates: that these are followed is
    what highdicom's reader of TID 1500 asks for;
    says of each character set but ASCII and Latin-1 that it cannot check texts in it: left out.

highdicom's tables (0.28.2)
    take every functional group for mandatory, and want it both shared and with each frame: judged on the two together,
    and plane groups only where they are there, for a radiograph has no plane in the patient (PS3.3 A.51-2);
    want every attribute of every value type of each content item of an SR: its content is left to the others;
    know no conditions: types 1C and 2C are dciodvfy's to judge.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from highdicom._standard_utils import (
    construct_module_tree,
    get_iod_module_map,
    get_sop_class_iod_map,
    is_attribute_in_iod,
)
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicom_node.domain import EncodedResult

#: functional groups without which no frame of a SEG of ours is
_GROUPS = frozenset({"FrameContentSequence", "SegmentIdentificationSequence", "DerivationImageSequence"})

#: as dciodvfy calls those of our objects
_IODS = frozenset(
    {"Segmentation", "SCImage", "GrayscaleSoftcopyPresentationState", "ComprehensiveSR", "Comprehensive3DSR"}
)

#: the two errors of dcmpschk that are none
_KNOWN = re.compile(r"Type DT\n.*\[\d{14}\.\d{6}\+0000\]|Attribute value   : \[.*[^\x00-\x7f].*\]\n")

#: what dsrdump says of character sets that it does not know
_UNCHECKED = re.compile(
    r"W: (The VR checker does not support this|Reading unknown/unsupported) ?Specific ?Character ?Set"
)


def needs(program: str, package: str) -> pytest.MarkDecorator:
    """Leaves a test out where Debian's `program` is not installed."""
    return pytest.mark.skipif(
        shutil.which(program) is None,
        reason=f"{program} is not installed: apt-get install --no-install-recommends {package}",
    )


def dciodvfy(data: bytes, folder: Path) -> list[str]:
    """The errors that David Clunie's validator names."""
    said = _said("dciodvfy", data, folder)
    # it names the IOD that it judged by: without that it judged nothing
    assert _IODS & set(said), said
    return [line for line in said if line.startswith("Error")]


def dcmpschk(data: bytes, folder: Path) -> list[str]:
    """The errors that dcmtk's checker of presentation states names, one text each."""
    said = _said("dcmpschk", data, folder)
    assert any("Test passed" in line or "Test failed" in line for line in said), said
    blocks = re.split(r"^E: Error: ", "\n".join(line for line in said if line.startswith("E:")), flags=re.MULTILINE)
    errors = [block for block in blocks if block.strip() and not _KNOWN.search(block)]
    if any("Test failed" in line for line in said) and len(blocks) == 1:
        nameless = any(line.startswith("W: patientName absent or empty") for line in said)
        errors += [] if nameless else ["failed without naming an error"]
    return errors


def dsrdump(data: bytes, folder: Path) -> list[str]:
    """What dcmtk's reader of structured reports complains of, be it a warning or an error."""
    return [line for line in _said("dsrdump", data, folder) if not _UNCHECKED.match(line)]


def _said(program: str, data: bytes, folder: Path) -> list[str]:
    path = folder / "judged.dcm"
    path.write_bytes(data)
    said = subprocess.run([program, str(path)], capture_output=True, text=True, check=False, errors="replace")
    return said.stderr.splitlines()


def module_errors(result: EncodedResult, written: Dataset) -> list[str]:
    """What the standard's tables, as highdicom carries them, find missing, empty or out of place in `written`."""
    iod = get_sop_class_iod_map()[result.sop_class_uid]
    errors = [
        f"{keyword_for_tag(tag)} is in no module of the IOD {iod}"
        for tag in map(Tag, written.keys())
        if not is_attribute_in_iod(keyword_for_tag(tag), result.sop_class_uid)
    ]
    for module in get_iod_module_map()[iod]:
        if module["usage"] != "M" or module["key"] == "sr-document-content":
            continue
        tree = construct_module_tree(module["key"])["attributes"]
        if "PerFrameFunctionalGroupsSequence" in tree:
            groups = tree["PerFrameFunctionalGroupsSequence"]["attributes"]
            for frame in _functional_groups(written):
                wanted = {keyword: group for keyword, group in groups.items() if keyword in frame or keyword in _GROUPS}
                errors += _missing(frame, wanted, module["key"])
        else:
            errors += _missing(written, tree, module["key"])
    return errors


def _functional_groups(written: Dataset) -> Iterator[Dataset]:
    """What holds of each frame: the groups that all share and its own."""
    for frame in written.PerFrameFunctionalGroupsSequence:
        groups = Dataset()
        groups.update(written.SharedFunctionalGroupsSequence[0])
        groups.update(frame)
        yield groups


def _missing(dataset: Dataset, tree: dict[str, Any], path: str) -> Iterator[str]:
    for keyword, attribute in tree.items():
        wanted = attribute["type"].value
        if wanted in ("1", "2") and keyword not in dataset:
            yield f"{path}: {keyword} of type {wanted} is missing"
        elif keyword in dataset and wanted in ("1", "1C") and dataset[keyword].is_empty:
            yield f"{path}: {keyword} of type {wanted} is empty"
        elif keyword in dataset and "attributes" in attribute:
            for part in dataset[keyword].value:
                yield from _missing(part, attribute["attributes"], f"{path}: {keyword}")
