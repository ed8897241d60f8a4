"""What is written into each object, as text."""

from collections.abc import Iterator, Sequence

from pydicom.uid import UID

from dicom_node.conformance.markdown import heading, paragraph, table
from dicom_node.conformance.objects import Attribute, Made, Origin
from dicom_node.domain import Kind, Profile
from dicom_node.encode.identity import IDENTITY_KEYWORDS

NAMES = {
    Kind.SEG: "Segmentation",
    Kind.SC: "Secondary Capture",
    Kind.GSPS: "Grayscale Softcopy Presentation State",
    Kind.SR: "Structured Report, TID 1500",
    Kind.KOS: "Key Object Selection, TID 2010: rejection note",
}
_ORIGINS = {
    Origin.SETTINGS: "from the settings",
    Origin.MODEL: "from the model",
    Origin.GENERATED: "from the image, its findings or the time",
}


def contents(objects: Sequence[Made]) -> Iterator[str]:
    """Section 9."""
    yield from heading(2, "9 What is written into each object")
    yield from heading(3, "9.1 What every result copies of its image")
    yield from paragraph(
        """Octet for octet, with its Specific Character Set, where the image has it; type 2 attributes of Patient and
        Study that it lacks are empty. A value that cannot be written is left out and named in the result. The node's
        own texts are ASCII. No picture is flipped, turned or cropped."""
    )
    yield from paragraph(", ".join(f"`{keyword}`" for keyword in IDENTITY_KEYWORDS) + ".")
    for number, each in enumerate(objects, start=2):
        yield from heading(3, f"9.{number} {NAMES[each.kind]}")
        yield from paragraph(
            f"""{UID(each.sop_class_uid).name}, profiles {profiles_of(each.profiles)}. Besides the attributes of 9.1:
            a quoted value is fixed; the last column names the profiles where not all have it."""
        )
        yield from table(
            ("attribute", "tag", "VR", "value", "only in"), [_attribute(one, each) for one in each.attributes]
        )


def profiles_of(profiles: Sequence[Profile]) -> str:
    """Their names."""
    return ", ".join(f"`{profile.value}`" for profile in profiles)


def _attribute(one: Attribute, of: Made) -> tuple[str, ...]:
    only = "" if one.profiles == of.profiles else profiles_of(one.profiles)
    return ("&gt; " * one.depth + one.keyword, one.tag, one.vr, _value(one), only)


def _value(one: Attribute) -> str:
    if one.keyword == "ContentSequence":
        return "by the template"
    if one.vr == "SQ":
        return ""
    if one.origin is not Origin.FIXED:
        return _ORIGINS[one.origin]
    return f"`{one.value}`" if one.value else "empty"
