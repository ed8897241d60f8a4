"""Who and what a result belongs to: the whole identity of the source is copied, octet for octet."""

import hashlib
from collections.abc import Iterable

from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from dicom_node.encode.elements import UNWRITABLE, CannotCarry, Element, charset_of, element

#: PS3.3 C.7.1.1 Patient, with the retired names that archives still match by
_PATIENT = """
ReferencedPatientSequence PatientName PatientID IssuerOfPatientID TypeOfPatientID IssuerOfPatientIDQualifiersSequence
SourcePatientGroupIdentificationSequence GroupOfPatientsIdentificationSequence PatientBirthDate PatientBirthTime
PatientBirthDateInAlternativeCalendar PatientDeathDateInAlternativeCalendar PatientAlternativeCalendar PatientSex
QualityControlSubject StrainDescription StrainNomenclature StrainStockSequence StrainAdditionalInformation
StrainCodeSequence GeneticModificationsSequence OtherPatientNames OtherPatientIDs OtherPatientIDsSequence
ReferencedPatientPhotoSequence EthnicGroup EthnicGroupCodeSequence PatientSpeciesDescription
PatientSpeciesCodeSequence PatientBreedDescription PatientBreedCodeSequence BreedRegistrationSequence
ResponsiblePerson ResponsiblePersonRole ResponsibleOrganization PatientComments PatientIdentityRemoved
DeidentificationMethod DeidentificationMethodCodeSequence
"""
#: C.7.1.3 Clinical Trial Subject, C.7.2.3 Clinical Trial Study
_CLINICAL_TRIAL = """
ClinicalTrialSponsorName ClinicalTrialProtocolID ClinicalTrialProtocolName IssuerOfClinicalTrialProtocolID
OtherClinicalTrialProtocolIDsSequence ClinicalTrialSiteID ClinicalTrialSiteName IssuerOfClinicalTrialSiteID
ClinicalTrialSubjectID IssuerOfClinicalTrialSubjectID ClinicalTrialSubjectReadingID
IssuerOfClinicalTrialSubjectReadingID ClinicalTrialProtocolEthicsCommitteeName
ClinicalTrialProtocolEthicsCommitteeApprovalNumber ClinicalTrialTimePointID ClinicalTrialTimePointDescription
LongitudinalTemporalOffsetFromEvent LongitudinalTemporalEventType ClinicalTrialTimePointTypeCodeSequence
IssuerOfClinicalTrialTimePointID ConsentForClinicalTrialUseSequence
"""
#: C.7.2.1 General Study, C.7.2.2 Patient Study
_STUDY = """
StudyDate StudyTime AccessionNumber IssuerOfAccessionNumberSequence ReferringPhysicianName
ReferringPhysicianIdentificationSequence ConsultingPhysicianName ConsultingPhysicianIdentificationSequence
StudyDescription ProcedureCodeSequence PhysiciansOfRecord PhysiciansOfRecordIdentificationSequence
NameOfPhysiciansReadingStudy PhysiciansReadingStudyIdentificationSequence ReferencedStudySequence StudyInstanceUID
StudyID RequestingService RequestingServiceCodeSequence ReasonForPerformedProcedureCodeSequence
AdmittingDiagnosesDescription AdmittingDiagnosesCodeSequence PatientAge PatientSize PatientSizeCodeSequence
PatientBodyMassIndex MeasuredAPDimension MeasuredLateralDimension PatientWeight MedicalAlerts Allergies Occupation
SmokingStatus AdditionalPatientHistory PregnancyStatus LastMenstrualDate PatientSexNeutered ReasonForVisit
ReasonForVisitCodeSequence AdmissionID IssuerOfAdmissionIDSequence ServiceEpisodeID ServiceEpisodeDescription
IssuerOfServiceEpisodeIDSequence PatientState
"""
#: what the above is written in, which order it answers, whose equipment made it
_BESIDE = """
SpecificCharacterSet TimezoneOffsetFromUTC RequestAttributesSequence ReferencedRequestSequence InstitutionName
InstitutionAddress InstitutionCodeSequence InstitutionalDepartmentName
"""
#: the attributes that every result copies as they are
IDENTITY_KEYWORDS: tuple[str, ...] = tuple(f"{_BESIDE}{_PATIENT}{_CLINICAL_TRIAL}{_STUDY}".split())

#: what places, references and dates a result
_SOURCE = """
SOPClassUID SOPInstanceUID SeriesInstanceUID SeriesNumber InstanceNumber Modality PatientOrientation PixelSpacing
ImagerPixelSpacing PixelAspectRatio LossyImageCompression LossyImageCompressionRatio LossyImageCompressionMethod
SeriesDate SeriesTime AcquisitionDate AcquisitionTime AcquisitionDateTime ContentDate ContentTime
InstanceCreationDate InstanceCreationTime Manufacturer ManufacturerModelName DeviceSerialNumber SoftwareVersions
StationName
"""

#: how the source is displayed: Modality LUT, VOI LUT, shutter, polarity (PS3.3 C.11.1, C.11.2, C.7.6.11)
_DISPLAY = """
PhotometricInterpretation PresentationLUTShape PixelRepresentation RescaleIntercept RescaleSlope RescaleType
ModalityLUTSequence WindowCenter WindowWidth VOILUTFunction VOILUTSequence ShutterShape ShutterLeftVerticalEdge
ShutterRightVerticalEdge ShutterUpperHorizontalEdge ShutterLowerHorizontalEdge CenterOfCircularShutter
RadiusOfCircularShutter VerticesOfThePolygonalShutter
"""

#: all that `build` wants of a source's header; nothing else of it need leave the child that parsed it
HEADER_KEYWORDS: tuple[str, ...] = IDENTITY_KEYWORDS + tuple(f"{_SOURCE}{_DISPLAY}".split())

#: type 2 of the Patient and General Study modules: present in every result, empty where the source has none
_ALWAYS = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
)

#: octets of one copied attribute: beyond it is no identity but an attack
_MOST = 1 << 20


def tag_of(keyword: str) -> BaseTag:
    """The tag of an attribute of DICOM's dictionary."""
    number = tag_for_keyword(keyword)
    if number is None:
        raise ValueError(f"DICOM's dictionary has no attribute {keyword!r}")
    return Tag(number)


def header_of(dataset: Dataset) -> Dataset:
    """The HEADER_KEYWORDS of `dataset`, unparsed, in Explicit VR Little Endian.

    What cannot be carried stands there without value and with VR UNWRITABLE, so that the result can name it.
    """
    header = Dataset()
    carried, left_out = _carried(dataset, HEADER_KEYWORDS)
    for one in carried:
        header[one.tag] = one.raw
    for tag in map(tag_of, left_out):
        header[tag] = RawDataElement(tag, UNWRITABLE, 0, b"", 0, False, True)
    return header


def copy_identity(header: Dataset, result: Dataset) -> tuple[str, ...]:
    """Replace the identity in `result` by that of `header`; the keywords that could not be carried are returned."""
    for keyword in IDENTITY_KEYWORDS:
        if keyword in result:
            delattr(result, keyword)
    carried, left_out = _carried(header, IDENTITY_KEYWORDS)
    for one in carried:
        result[one.tag] = one.raw
    for keyword in _ALWAYS:
        if keyword not in result:
            setattr(result, keyword, None)
    return left_out


def identity_key(header: Dataset) -> str:
    """SHA-256 over study, patient, issuer and accession as written, 64 hex digits: whose series a result may join."""
    digest = hashlib.sha256()
    for keyword in ("StudyInstanceUID", "PatientID", "IssuerOfPatientID", "AccessionNumber"):
        octets = read_text(header, keyword).encode("latin-1", "backslashreplace")
        digest.update(len(octets).to_bytes(8, "big") + octets)
    return digest.hexdigest()


def read_text(header: Dataset, keyword: str) -> str:
    """The value as one text, octets taken as Latin-1 and padding stripped; empty where absent or not a text.

    For attributes of the default repertoire (UIDs, codes, numbers, dates): nothing is validated, nothing raises.
    """
    tag = tag_of(keyword)
    if tag not in header:
        return ""
    held = header.get_item(tag)
    if isinstance(held, RawDataElement):
        return (held.value or b"").decode("latin-1").strip(" \0\r\n\t")
    try:
        value = element(header, tag, charset=["iso8859"]).value
    except CannotCarry:
        return ""
    return value.decode("latin-1").strip(" \0\r\n\t")


def _carried(dataset: Dataset, keywords: Iterable[str]) -> tuple[list[Element], tuple[str, ...]]:
    carried, left_out = [], []
    charset = charset_of(dataset)
    for tag in sorted(map(tag_of, keywords)):
        if tag not in dataset:
            continue
        try:
            one = element(dataset, tag, charset=charset)
        except CannotCarry:
            left_out.append(keyword_for_tag(tag))
            continue
        if len(one.value) > _MOST:
            left_out.append(keyword_for_tag(tag))
        else:
            carried.append(one)
    return carried, tuple(left_out)
