"""The text of the statement, in Markdown, in the order of PS3.2 Annex N."""

from collections.abc import Iterator, Sequence

from pydicom.uid import UID

from dicom_node import __version__
from dicom_node.config import PeerSection, Settings
from dicom_node.conformance import commitment, services
from dicom_node.conformance.contents import NAMES, contents, profiles_of
from dicom_node.conformance.markdown import heading, paragraph, table
from dicom_node.conformance.networking import networking, security
from dicom_node.conformance.objects import Made, made
from dicom_node.conformance.services import Context
from dicom_node.domain import Mode
from dicom_node.encode.profiles import PROFILES
from dicom_node.peer import Transport
from model.contract import Manifest

#: Storage Commitment Push Model, which pydicom has no name for (PS3.4 J.3)
_COMMITMENT = "1.2.840.10008.1.20.1"


def statement(settings: Settings, manifest: Manifest) -> str:
    """The Conformance Statement of a node with these settings and this model; the same for the same ones."""
    objects = made(services.profiles_of(settings), settings, manifest)
    lines = [
        *_cover(settings),
        *_overview(objects),
        *_introduction(),
        *_model(settings),
        *_profiles(settings),
        *_services(settings, objects),
        *_configuration(settings),
        *networking(settings),
        *security(settings),
        *contents(objects),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _cover(settings: Settings) -> Iterator[str]:
    yield from heading(1, "DICOM Conformance Statement")
    yield from paragraph(
        f"chexnode {__version__}, AE title `{settings.node.ae_title}`. Research use only: not a medical device."
    )
    default = "" if settings.peers else "This copy describes the default configuration, which knows no peer yet."
    yield from paragraph(
        f"""Written by `chexnode conformance` from the tables that the node itself uses and from its configuration, in
        the outline of DICOM PS3.2 Annex N. {default}"""
    )


def _overview(objects: Sequence[Made]) -> Iterator[str]:
    yield from heading(2, "1 Overview")
    yield from paragraph(
        """The node receives images by C-STORE, marks regions of frontal chest X-rays that look abnormal, and writes
        the marks back as objects of the same study, by C-STORE or STOW-RS. It reads and writes no media."""
    )
    yield from table(
        ("service", "SCU", "SCP"),
        [
            ("Verification", "yes", "yes"),
            ("Storage", "yes, see 5.2", f"yes, {len(services.storage())} SOP classes, see 5.1.2"),
            ("Query/Retrieve, Study Root FIND, GET and MOVE", "yes, see 5.3", "no"),
            *_commitment(),
            ("Modality Worklist, MPPS", "no", "no"),
            ("DICOMweb: STOW-RS, QIDO-RS, WADO-RS", "as user agent", "no"),
        ],
    )
    yield from table(
        ("object that it creates", "SOP class", "UID", "profiles"),
        [
            (NAMES[each.kind], UID(each.sop_class_uid).name, f"`{each.sop_class_uid}`", profiles_of(each.profiles))
            for each in objects
        ],
    )


def _commitment() -> Iterator[tuple[str, str, str]]:
    """Storage Commitment, whose context an acceptor of both roles has."""
    if any(each.sop_class_uid == _COMMITMENT for each in services.beside_storage()):
        yield "Storage Commitment Push Model", "yes", "yes"
    else:
        yield "Storage Commitment", "no", "no"


def _introduction() -> Iterator[str]:
    yield from heading(2, "2 Introduction")
    yield from paragraph(
        """For PACS administrators and integrators. That two statements match is no proof that two systems work
        together: `chexnode doctor --handshake NAME` tries a destination and writes down what happened."""
    )


def _model(settings: Settings) -> Iterator[str]:
    yield from heading(2, "3 Implementation model")
    yield from paragraph(
        f"""One Application Entity, `{settings.node.ae_title}`: an acceptor where it receives, a requestor where it
        delivers. A study that was quiet for {settings.conclude.quiet_period:g} s is concluded, and its results go to
        the destinations of whoever sent it. What a destination has acknowledged is not sent to it again; after a
        failure a result is sent again until it is acknowledged, refused for good, or given up by a person. The same
        image, model and settings give the same UIDs."""
    )


def _profiles(settings: Settings) -> Iterator[str]:
    yield from heading(2, "4 Output profiles")
    yield from paragraph("Which objects a destination gets is said by its `profile`.")
    yield from table(
        ("profile", "objects of an image", "objects of a study"),
        [
            (
                f"`{profile.value}`",
                ", ".join(kind.value.upper() for kind in PROFILES[profile].kinds),
                ", ".join(kind.value.upper() for kind in PROFILES[profile].study_kinds) or "none",
            )
            for profile in services.profiles_of(settings)
        ],
    )


def _services(settings: Settings, objects: Sequence[Made]) -> Iterator[str]:
    yield from heading(2, "5 Services")
    yield from heading(3, "5.1 As SCP")
    yield from heading(4, "5.1.1 Beside Storage")
    yield from _proposed(services.beside_storage())
    yield from heading(4, "5.1.2 Storage")
    yield from paragraph(
        """Every class is accepted in every transfer syntax of 5.1.3, so that an archive may route whole studies. Which
        images are analysed is said by `[select]`; all else is kept until retention and answered with Success."""
    )
    yield from table(("SOP class", "UID"), [(each.name, f"`{each.sop_class_uid}`") for each in services.storage()])
    yield from heading(4, "5.1.3 Transfer syntaxes of Storage, the most wanted first")
    syntaxes = services.storage()[0].transfer_syntax_uids
    yield from table(("transfer syntax", "UID"), [(UID(uid).name, f"`{uid}`") for uid in syntaxes])
    yield from heading(3, "5.2 Storage as SCU")
    yield from paragraph(
        """Each transfer syntax is proposed in a presentation context of its own; the first that is accepted is used.
        Only what a study's results need is proposed."""
    )
    for title, contexts in _proposals(settings, objects):
        yield from heading(4, title)
        yield from _proposed(contexts)
    yield from heading(3, "5.3 Verification, Query, Retrieve and Commitment as SCU")
    yield from _proposed(services.asked())
    yield from paragraph(
        "With GET, the SOP class of each result is proposed in the transfer syntaxes of 5.2, the node being its SCP."
    )
    yield from heading(3, "5.4 DICOMweb as user agent")
    yield from paragraph(
        """STOW-RS (PS3.18 10.5): `POST {url}/studies`, one instance a request, as `multipart/related` of
        `application/dicom` in Explicit VR Little Endian, with Content-Length; the answer, DICOM JSON or XML, is read
        instance by instance. QIDO-RS (10.6): `GET {url}/studies/{study}/instances`. WADO-RS (10.4): `GET` of one
        instance in any transfer syntax. Redirects are not followed."""
    )
    yield from commitment.service(settings)


def _proposed(contexts: Sequence[Context]) -> Iterator[str]:
    yield from table(
        ("SOP class", "UID", "transfer syntaxes, the most wanted first"),
        [
            (each.name, f"`{each.sop_class_uid}`", ", ".join(UID(uid).name for uid in each.transfer_syntax_uids))
            for each in contexts
        ],
    )


def _proposals(settings: Settings, objects: Sequence[Made]) -> Iterator[tuple[str, Sequence[Context]]]:
    """By destination; where there is none, by profile."""
    for peer in settings.destinations:
        if peer.mode is not Mode.OFF and peer.transport is Transport.C_STORE:
            yield f"To `{peer.name}`, profile `{peer.profile.value}`", services.proposed(peer, objects)
    if not settings.destinations:
        for profile in services.profiles_of(settings):
            yield f"Profile `{profile.value}`", services.proposed_for(profile, objects)


def _configuration(settings: Settings) -> Iterator[str]:
    yield from heading(2, "6 Configuration")
    yield from table(
        ("Application Entity", "AE title", "address", "port"),
        [("chexnode", f"`{settings.node.ae_title}`", settings.receive.host, settings.receive.port)],
    )
    yield from paragraph("Remote AEs stand in `[[peers]]` of the configuration; nothing is learned from the network.")
    if settings.peers:
        heads = ("peer", "AE title", "address", "sends to the node", "results by", "mode", "profile")
        yield from table(heads, map(_peer, settings.peers))


def _peer(peer: PeerSection) -> tuple[str, ...]:
    address = f"{peer.host}:{peer.port}" if peer.transport is Transport.C_STORE and peer.host else peer.dicomweb_url
    known = (peer.name, f"`{peer.ae_title}`" if peer.ae_title else "", address, "yes" if peer.sends else "no")
    if peer.mode is None:
        return (*known, "", "", "")
    return (*known, peer.transport.value.upper(), peer.mode.value, f"`{peer.profile.value}`")
