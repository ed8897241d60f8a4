"""Images that were analysed before, read again: for results of a destination that came later, made from the stored
masks without the model; and to tell whether another version shows the same picture.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType

from dicom_node.analyse.decode import Decoder
from dicom_node.analyse.decoded import Decoded, DecodeRequest
from dicom_node.analyse.picture import of_all
from dicom_node.analyse.results import Encoding
from dicom_node.config import Settings
from dicom_node.domain import InstanceState, Profile, Reason
from dicom_node.errors import DecoderUnavailable, Unreadable
from dicom_node.ledger import Ledger, findings
from dicom_node.ledger.encodings import EncodingRow
from dicom_node.ledger.reports import Outcome
from dicom_node.ledger.rows import InstanceRow, StoredResult, stored_result
from dicom_node.sections import ModelSection, SelectSection
from dicom_node.spool import Spool


@dataclass(frozen=True, kw_only=True)
class _Noted:
    """The algorithm of a job, as the ledger noted it."""

    name: str
    version: str
    digest: str
    family: tuple[str, str, str]
    operating_point: float


class Again:
    """Encodes images that were analysed before; a context manager around one child that reads their bytes."""

    def __init__(self, ledger: Ledger, spool: Spool, settings: Settings) -> None:
        self._ledger = ledger
        self._spool = spool
        self._settings = settings
        self._decoder = Decoder(settings.analyse, _everything(settings.select))

    def __enter__(self) -> "Again":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._decoder.close()

    def encode(self, outcome: Outcome, profile: Profile, *, now: float) -> list[StoredResult]:
        """The results of an analysed image for `profile`, durable, under the UIDs that they would always have had.

        Raises Unreadable where its bytes tell another picture than was analysed, or none; ValueError for an image
        that was not analysed, or by a release that noted no threshold; DecoderUnavailable, OutOfRoom, StorageFault.
        """
        if outcome.job is None or outcome.encoding is None:
            raise ValueError("only what was analysed, and is known how, can be encoded again")
        digest = outcome.instance.picture_digest
        # as it was read then: the same UIDs stand for the same bytes, whatever the settings say today
        decoded = _read(self._decoder, self._spool, outcome.instance, reduced=digest is not None and not of_all(digest))
        if decoded.header is None or decoded.film is None:
            raise Unreadable(decoded.reason or Reason.DECODE_FAILED, decoded.detail)
        if decoded.picture_digest != digest:
            raise Unreadable(Reason.DIFFERENT_PICTURE, "its picture is another one than was analysed")
        with self._ledger.reading() as tx:
            found = findings.of_job(tx, outcome.job.job_id)
        kept = outcome.header
        encoded = _encoding(outcome.encoding, self._settings).encode(
            [profile],
            header=decoded.header,
            film=decoded.film,
            findings=found,
            input_digest=outcome.instance.digest if kept is None else kept.input_digest,
            content_time=datetime.fromtimestamp(now, UTC).astimezone(),
        )
        return [stored_result(result, spool_key=self._spool.put(result.data)) for result in encoded]


def digest_of_all(spool: Spool, settings: Settings, instance: InstanceRow) -> str | None:
    """The digest of an earlier version's picture, decoded in full; None where its bytes are gone, or tell no picture.

    It starts a child for it, and takes a second or two. Raises DecoderUnavailable.
    """
    if instance.state is InstanceState.PURGED or not spool.path(instance.spool_key).exists():
        return None
    with Decoder(settings.analyse, _everything(settings.select)) as decoder:
        return _read(decoder, spool, instance, reduced=False).picture_digest


def _read(decoder: Decoder, spool: Spool, instance: InstanceRow, *, reduced: bool) -> Decoded:
    request = DecodeRequest(
        path=spool.path(instance.spool_key),
        calling_ae_title=instance.calling_ae_title,
        arrived=datetime.fromtimestamp(instance.received_at, UTC).astimezone().date(),
        reduced=reduced,
    )
    decoded = decoder.decode(request)
    if decoded.transient:
        raise DecoderUnavailable(f"an image cannot be read just now: {decoded.detail}")
    return decoded


def _encoding(noted: EncodingRow, settings: Settings) -> Encoding:
    """How the image was encoded at first, whatever the settings say today of threshold and marks."""
    algorithm = _Noted(
        name=noted.name,
        version=noted.version,
        digest=noted.digest,
        family=noted.family,
        operating_point=noted.threshold,
    )
    drawn = ModelSection(threshold=noted.threshold, most_findings=noted.most_findings)
    return Encoding(manifest=algorithm, model=drawn, results=settings.results, parameters=noted.parameters)


def _everything(rules: SelectSection) -> SelectSection:
    """The rules without those that a site may have changed since: what was analysed is ours to read."""
    return rules.model_copy(
        update={
            "exclude_calling_ae_titles": (),
            "exclude_descriptions": (),
            "unknown_body_part": "read",
            "unknown_view": "read",
            "unknown_age": "read",
            "min_age": 0,
            "max_study_age": 0,
        }
    )
