"""A synthetic radiograph as a Digital X-Ray Image For Presentation (PS3.3 A.26), its identity marked as synthetic."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from dicom_node.demo.chest import BITS, Radiograph

#: kVp, mA, ms, mm from source to detector: an erect chest at a wall stand, a hand on the table
_TECHNIQUE = {"CHEST": (120, 320, 8, 1800), "HAND": (50, 200, 16, 1100)}
#: anatomic region (CID 4009) and view (CID 4010) of each body part
_ANATOMY = {"CHEST": ("51185008", "Chest"), "HAND": ("85562004", "Hand")}


@dataclass(frozen=True, kw_only=True)
class Visit:
    """Whom a synthetic film is said to show, and when it was taken."""

    #: PatientID and AccessionNumber end in it
    number: int
    family_name: str
    #: CHEST or HAND
    body_part: str
    study_description: str
    taken_at: datetime


def data_set(film: Radiograph, visit: Visit) -> Dataset:
    """A complete DX data set with file meta, Explicit VR Little Endian; the same for the same arguments."""
    ds = Dataset()
    ds.update(_identity(film, visit))
    ds.update(_equipment(film, visit))
    ds.update(_picture(film))
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds


def _uid(visit: Visit, what: str) -> str:
    return str(generate_uid(entropy_srcs=["chexnode demo", what, str(visit.number), visit.taken_at.isoformat()]))


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _identity(film: Radiograph, visit: Visit) -> Dataset:
    """Patient, study, series and image: PS3.3 C.7.1.1, C.7.2.1, C.7.3.1, C.8.11.1, C.12.1."""
    ds = Dataset()
    day, clock = visit.taken_at.strftime("%Y%m%d"), visit.taken_at.strftime("%H%M%S")
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = DigitalXRayImageStorageForPresentation
    ds.SOPInstanceUID = _uid(visit, "image")
    ds.StudyInstanceUID = _uid(visit, "study")
    ds.SeriesInstanceUID = _uid(visit, "series")
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = ds.InstanceCreationDate = day
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = ds.InstanceCreationTime = clock
    ds.PatientName = f"{visit.family_name}^Synthetic"
    ds.PatientID = f"SYNTHETIC-{visit.number:04d}"
    ds.IssuerOfPatientID = "CHEXNODE-DEMO"
    ds.PatientBirthDate = (visit.taken_at - timedelta(days=365.25 * film.age + 90)).strftime("%Y%m%d")
    ds.PatientSex = film.sex
    ds.PatientAge = f"{film.age:03d}Y"
    ds.PatientComments = "Drawn by a program; this person does not exist"
    ds.AccessionNumber = f"DEMO{visit.number:04d}"
    ds.StudyID = f"DEMO{visit.number:04d}"
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = visit.study_description
    ds.Modality = "DX"
    ds.SeriesNumber = 1
    ds.SeriesDescription = f"{visit.body_part} PA"
    ds.PresentationIntentType = "FOR PRESENTATION"
    ds.InstanceNumber = 1
    ds.AcquisitionNumber = 1
    return ds


def _equipment(film: Radiograph, visit: Visit) -> Dataset:
    """Anatomy, detector, generator, dose: PS3.3 C.7.5.1, C.8.7.2, C.8.11.2, C.8.11.4, C.8.11.5."""
    ds = Dataset()
    kvp, current, time, distance = _TECHNIQUE[visit.body_part]
    code, meaning = _ANATOMY[visit.body_part]
    ds.Manufacturer = "Synthetic"
    ds.ManufacturerModelName = "chexnode demo film"
    ds.InstitutionName = "chexnode demo"
    ds.StationName = "SYNTHETIC"
    ds.DeviceSerialNumber = "0"
    ds.SoftwareVersions = "1"
    ds.BodyPartExamined = visit.body_part
    ds.AnatomicRegionSequence = [_code(code, "SCT", meaning)]
    ds.ViewPosition = "PA"
    view = _code("272479007", "SCT", "postero-anterior")
    view.ViewModifierCodeSequence = []
    ds.ViewCodeSequence = [view]
    ds.PatientOrientation = ["L", "F"]
    ds.ImageLaterality = "U" if visit.body_part == "CHEST" else "L"
    ds.KVP, ds.XRayTubeCurrent, ds.ExposureTime = kvp, current, time
    ds.Exposure = max(1, round(current * time / 1000))
    ds.ExposureInuAs = current * time
    ds.DistanceSourceToDetector = distance
    ds.DistanceSourceToPatient = distance - 50
    ds.ExposureControlMode = "AUTOMATIC" if visit.body_part == "CHEST" else "MANUAL"
    ds.FilterType = "NONE"
    ds.Grid = ["FIXED", "PARALLEL"] if visit.body_part == "CHEST" else "NONE"
    ds.FieldOfViewShape = "RECTANGLE"
    ds.DetectorType = "SCINTILLATOR"
    ds.DetectorConfiguration = "AREA"
    ds.DetectorActiveShape = "RECTANGLE"
    ds.DetectorElementSpacing = [film.spacing, film.spacing]
    ds.DetectorConditionsNominalFlag = "YES"
    ds.ImagerPixelSpacing = [film.spacing, film.spacing]
    ds.PositionerType = "NONE"
    ds.ExposureIndex = ds.TargetExposureIndex = "250"
    ds.DeviationIndex = "0.1"
    ds.AcquisitionContextSequence = []
    return ds


def _picture(film: Radiograph) -> Dataset:
    """Pixels and how they are to be shown: PS3.3 C.7.6.3, C.8.11.3, C.11.2, C.11.6."""
    ds = Dataset()
    ds.ImageType = ["ORIGINAL", "PRIMARY", ""]
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = film.pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, BITS, BITS - 1, 0
    # PixelSpacing is that of the detector, too: no correction for magnification was made (C.7.6.3 10.7.1.3)
    ds.PixelSpacing = [film.spacing, film.spacing]
    ds.PixelIntensityRelationship = "LOG"
    ds.PixelIntensityRelationshipSign = -1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "US"
    ds.PresentationLUTShape = "IDENTITY"
    ds.WindowCenter, ds.WindowWidth = 2 ** (BITS - 1), 2**BITS
    ds.WindowCenterWidthExplanation = "NORMAL"
    # no VOI LUT Function: absent it is LINEAR (PS3.3 C.11.2.1.3), and OHIF 3.13.2 shows a film that has one as white
    ds.LossyImageCompression = "00"
    ds.BurnedInAnnotation = "NO"
    ds.PixelData = film.pixels.astype("<u2").tobytes()
    ds["PixelData"].VR = "OW"
    return ds
