"""When a result was made, told so that viewers which sort by time show the original first."""

import re
from dataclasses import dataclass
from datetime import MAXYEAR, datetime, timedelta, timezone, tzinfo

from pydicom.dataset import Dataset

from dicom_node.encode.identity import read_text

_PAIRS = (
    ("StudyDate", "StudyTime"),
    ("SeriesDate", "SeriesTime"),
    ("AcquisitionDate", "AcquisitionTime"),
    ("ContentDate", "ContentTime"),
    ("InstanceCreationDate", "InstanceCreationTime"),
)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True)
class ResultTimes:
    """Local times without zone, in the zone in which the source's dates are told."""

    #: when the result was made
    created: datetime
    #: what it is sorted by: `created`, or a second after the source where the modality's clock is ahead
    content: datetime
    #: `created` with its offset, as VR DT writes it
    created_dt: str


def result_times(header: Dataset, now: datetime) -> ResultTimes:
    """The times of a result made at `now` (aware) of the source with `header`."""
    aware = now.astimezone(_zone(read_text(header, "TimezoneOffsetFromUTC")) or now.tzinfo)
    created = aware.replace(tzinfo=None)
    latest = latest_time(header)
    content = created
    if latest is not None and latest >= created:
        content = latest + _SECOND if latest.year < MAXYEAR else latest
    return ResultTimes(created=created, content=content, created_dt=aware.strftime("%Y%m%d%H%M%S.%f%z"))


def latest_time(header: Dataset) -> datetime | None:
    """The latest moment that the source names, fractions rounded up; dates that are none are passed over."""
    named = [_moment(read_text(header, day), read_text(header, time)) for day, time in _PAIRS]
    acquired = read_text(header, "AcquisitionDateTime")
    named.append(_moment(acquired[:8], acquired[8:14]))
    return max((moment for moment in named if moment is not None), default=None)


def _moment(day: str, time: str) -> datetime | None:
    # PS3.5 6.2 and, with dots and colons, ACR-NEMA as old archives hold it
    digits = re.match(r"(\d{4})\.?(\d{2})\.?(\d{2})$", day)
    if digits is None:
        return None
    clock = re.match(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(\.\d+)?)?)?", time)
    hour, minute, second = (int(part or 0) for part in clock.groups()[:3]) if clock else (0, 0, 0)
    year, month, day_of_month = map(int, digits.groups())
    try:
        # local time of the source, whose zone is seldom told
        moment = datetime(year, month, day_of_month, hour, minute, min(second, 59))  # noqa: DTZ001 (see above)
    except ValueError:
        return None
    return moment.replace(microsecond=999_999) if clock and clock.group(4) else moment


def _zone(offset: str) -> tzinfo | None:
    told = re.match(r"([+-])(\d{2})(\d{2})$", offset)
    if told is None:
        return None
    minutes = int(told.group(2)) * 60 + int(told.group(3))
    # PS3.3 C.12.1.1.8: -1200 to +1400
    if minutes > 14 * 60:
        return None
    return timezone(timedelta(minutes=minutes if told.group(1) == "+" else -minutes))
