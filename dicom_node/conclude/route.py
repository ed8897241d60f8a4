"""Which of a study's results go where: by who sent its images, and by what each destination wants to get."""

from collections.abc import Callable, Iterable, Sequence

from dicom_node.domain import Mode, Profile
from dicom_node.ledger.caught_up import Routes
from dicom_node.ledger.deliveries import NewDelivery
from dicom_node.ledger.rows import ResultRow
from dicom_node.peer import PeerSection


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


def route_study(
    routes: Routes,
    results: Sequence[ResultRow],
    *,
    destinations_of: Callable[[str], Iterable[PeerSection]],
    named: Callable[[str], Iterable[PeerSection]],
) -> list[NewDelivery]:
    """The deliveries of a study of which images may have been fetched by the node itself, for a destination by name.

    What was made of such an image goes there and nowhere else; what is about the study goes to both. `named` gives the
    destination of a name, where the configuration still has it.
    """
    by_themselves = [result for result in results if result.job_id not in routes.named]
    deliveries = route(routes.calling_ae_titles, by_themselves, destinations_of=destinations_of)
    for name in sorted(set(routes.named.values())):
        fetched = [result for result in results if result.job_id is None or routes.named.get(result.job_id) == name]
        deliveries += route([name], fetched, destinations_of=named)
    return deliveries


def profiles_of_study(
    routes: Routes,
    *,
    destinations_of: Callable[[str], Iterable[PeerSection]],
    named: Callable[[str], Iterable[PeerSection]],
) -> tuple[Profile, ...]:
    """The profiles that a study's destinations want to get, those that were named among them; see profiles."""
    wanted = {
        *profiles(routes.calling_ae_titles, destinations_of=destinations_of),
        *profiles(routes.named.values(), destinations_of=named),
    }
    return tuple(profile for profile in Profile if profile in wanted)


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
