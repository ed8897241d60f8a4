"""The last look: before a result goes out, its archive is asked for the image that it belongs to.

An archive makes a study of whatever it is sent. A result whose image was moved, merged or deleted since it was analysed
would make a study of its own there, or lie under the wrong patient. Such a result waits, or is held, and the archive is
asked to send the image as it stands there now: it comes in as a new version of it, and its results are encoded anew.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import structlog

from dicom_node.deliver.destination import Destination, Outcome, Sendable, Verdict
from dicom_node.errors import ConfigurationError, NodeError, PeerUnavailable, Refused
from dicom_node.ledger.lookup import Source
from dicom_node.ledger.rows import StudyRow
from dicom_node.query.archive import Archive, HeldInstance, HeldStudy

log = structlog.get_logger()

#: what a result was made from, by its SOP Instance UID; None: it is none of ours. Raises Retryable: the ledger is away
Sources = Callable[[str], Source | None]
#: has instances come into the node as the archive has them now; raises NodeError where they do not
Fetch = Callable[[Sequence[HeldInstance]], None]


@dataclass(frozen=True, kw_only=True)
class _Held:
    """What the archive says of one study; None: it has no such study."""

    study: HeldStudy | None
    #: by SOP Instance UID
    instances: dict[str, HeldInstance]


class LastLook:
    """A destination that is sent to only where `archive` has the image; see Destination."""

    def __init__(
        self, destination: Destination, *, archive: Archive, sources: Sources, fetch: Fetch | None = None
    ) -> None:
        """`fetch`: none where nothing can be had from the archive; then what was changed there is held."""
        self._destination = destination
        self._archive = archive
        self._sources = sources
        self._fetch = fetch

    def send(self, results: Sequence[Sendable]) -> Generator[Outcome, None, None]:
        """See Destination.send: those whose image is where it was, over one connection. Raises what `sources` does."""
        try:
            looks = _Look(self._archive, self._sources, self._fetch).at(results)
        except (ConfigurationError, PeerUnavailable, Refused) as error:
            unasked = Outcome(
                verdict=Verdict.RETRY, detail=f"it cannot be asked whether it still has the image: {error}"
            )
            yield from (unasked for _ in results)
            return
        there = [result for result, look in zip(results, looks, strict=True) if look is None]
        outcomes = self._destination.send(there)
        try:
            for look in looks:
                yield next(outcomes) if look is None else look
            if there:
                next(outcomes, None)  # it takes leave in good order
        finally:
            outcomes.close()


class _Look:
    """One look at one batch: each study is asked for once."""

    def __init__(self, archive: Archive, sources: Sources, fetch: Fetch | None) -> None:
        self._archive = archive
        self._sources = sources
        self._fetch = fetch
        self._held: dict[str, _Held] = {}
        #: what became of fetching an image, by its SOP Instance UID
        self._fetched: dict[str, str] = {}

    def at(self, results: Sequence[Sendable]) -> list[Outcome | None]:
        """Of each result, why it does not go out now; None: it may. Raises what Archive and `sources` do."""
        return [self._one(result) for result in results]

    def _one(self, result: Sendable) -> Outcome | None:
        source = self._sources(result.sop_instance_uid)
        if source is None:
            return None
        held = self._study(source.study.study_instance_uid)
        if held.study is not None:
            if changed := _differences(source.study, held.study):
                said = f"its study has {' and '.join(changed)} in the archive than when it was analysed"
                return self._hold(said, [held.instances[uid] for uid in source.images if uid in held.instances])
            if source.images <= held.instances.keys():
                return None
        missing = sorted(source.images - held.instances.keys())
        elsewhere = [one for uid in missing for one in self._archive.whereabouts(uid)]
        moved = [one for one in elsewhere if one.study_instance_uid != source.study.study_instance_uid]
        if moved:
            return self._hold("its image is in another study of the archive than when it was analysed", moved)
        lacks = "its study" if held.study is None else "its image"
        return Outcome(verdict=Verdict.WAIT, detail=f"the archive does not have {lacks}, or not yet, or not any more")

    def _study(self, study_instance_uid: str) -> _Held:
        if study_instance_uid not in self._held:
            study = self._archive.study(study_instance_uid)
            found = () if study is None else self._archive.instances(study_instance_uid)
            instances = {each.sop_instance_uid: each for each in found}
            self._held[study_instance_uid] = _Held(study=study, instances=instances)
        return self._held[study_instance_uid]

    def _hold(self, said: str, images: Sequence[HeldInstance]) -> Outcome:
        return Outcome(verdict=Verdict.HOLD, detail=f"{said}; {self._fetch_anew(images)}")

    def _fetch_anew(self, images: Sequence[HeldInstance]) -> str:
        """Have what was changed come in again, and say so. What comes of it is the receiver's business."""
        by_hand = "send it to the node from there"
        if self._fetch is None or not images:
            return by_hand
        wanted = [one for one in images if one.sop_instance_uid not in self._fetched]
        if wanted:
            try:
                self._fetch(wanted)
                said = "it was fetched as it is now, and is encoded anew where its bytes say the same"
            except NodeError as error:
                said = f"{by_hand}, for it did not come when it was asked for ({error})"
            log.warning("an image was changed in its archive since it was analysed", images=len(wanted), became=said)
            self._fetched.update((one.sop_instance_uid, said) for one in wanted)
        return self._fetched[images[0].sop_instance_uid]


def _differences(ours: StudyRow, theirs: HeldStudy) -> list[str]:
    """What says that the archive's study is another's by now, in words that quote nobody."""
    said = []
    if theirs.patient_id is not None and theirs.patient_id != ours.patient_id.strip():
        said.append("another patient")
    elif _both(ours.issuer_of_patient_id, theirs.issuer_of_patient_id):
        # archives that keep no issuer answer with an empty one
        said.append("another issuer of its patient ID")
    if theirs.accession_number is not None and theirs.accession_number != ours.accession_number.strip():
        said.append("another accession number")
    return said


def _both(ours: str, theirs: str | None) -> bool:
    return bool(ours.strip() and theirs and ours.strip() != theirs)
