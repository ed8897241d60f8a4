"""Which of a study's results go where: by who sent its images, and by what each destination wants to get."""

from collections.abc import Callable, Iterable, Sequence

from dicom_node.domain import Mode, Profile
from dicom_node.ledger.deliveries import NewDelivery
from dicom_node.ledger.rows import ResultRow
from dicom_node.sections import PeerSection


def route(
    calling_ae_titles: Iterable[str],
    results: Sequence[ResultRow],
    *,
    destinations_of: Callable[[str], Iterable[PeerSection]],
) -> list[NewDelivery]:
    """The deliveries of a study: each current result to each destination of its profile.

    `calling_ae_titles` are those that the study's instances came from; `destinations_of` tells a sender's
    destinations (`Settings.route`). The study is one: a destination of one sender gets the results of every image.
    A destination that is `off` gets nothing, not even a row; for one on `hold` they wait for `release`.
    """
    return [
        NewDelivery(result_id=result.result_id, destination=peer.name, held=peer.mode is Mode.HOLD)
        for peer in _wanting(calling_ae_titles, destinations_of)
        for result in results
        if result.profile is peer.profile
    ]


def profiles(
    calling_ae_titles: Iterable[str], *, destinations_of: Callable[[str], Iterable[PeerSection]]
) -> tuple[Profile, ...]:
    """The profiles that a study's destinations want to get, each once, in a stable order."""
    wanted = {peer.profile for peer in _wanting(calling_ae_titles, destinations_of)}
    return tuple(profile for profile in Profile if profile in wanted)


def _wanting(
    calling_ae_titles: Iterable[str], destinations_of: Callable[[str], Iterable[PeerSection]]
) -> list[PeerSection]:
    """By name, those that are not `off`."""
    found = {peer.name: peer for title in calling_ae_titles for peer in destinations_of(title)}
    return [peer for _, peer in sorted(found.items()) if peer.mode in (Mode.SEND, Mode.HOLD)]
