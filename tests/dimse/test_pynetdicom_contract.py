"""What the node leans on of pynetdicom's inner parts, so that a new version of it fails here and not in a hospital."""

import inspect
import re
import socket
from collections.abc import Iterator

import pynetdicom
import pytest
from pynetdicom.acse import ACSE
from pynetdicom.association import Association, ServiceUser
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.pdu_primitives import A_ABORT, A_ASSOCIATE, A_P_ABORT, A_RELEASE, P_DATA

from dicom_node.dimse.contexts import accepted_contexts
from dicom_node.dimse.provider import (
    BlockingProvider,
    RequestingProvider,
    accepting_association,
    application_entity,
    requesting_association,
)
from dicom_node.dimse.wire import Wire

PINNED = "3.0.4"


@pytest.fixture
def wire() -> Iterator[Wire]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Wire(ours, max_pdu=16384, io_timeout=1.0)


def test_the_version_that_was_read() -> None:
    assert pynetdicom.__version__ == PINNED, "read acse.py, association.py and dimse.py again, then pin the new one"


def test_a_new_association_starts_no_thread_and_lets_its_provider_be_replaced(wire: Wire) -> None:
    accepting = accepting_association(application_entity("CHEXNODE"), wire)
    assert not accepting.is_alive()
    assert isinstance(accepting.dul, BlockingProvider)
    assert accepting.acse.dul is accepting.dimse.dul is accepting.dul, "they ask the association for its provider"
    requesting = requesting_association(application_entity("CHEXNODE"), wire)
    assert isinstance(requesting.acse.socket, RequestingProvider)


def test_what_the_accepting_side_calls_is_there() -> None:
    for owner, names in {
        ACSE: ("negotiate_association", "send_reject", "send_release", "send_abort", "send_ap_abort"),
        DIMSEServiceProvider: ("receive_primitive", "get_msg"),
        Association: ("_serve_request", "bind", "accepted_contexts"),
        ServiceUser: ("maximum_length", "supported_contexts", "requested_contexts"),
    }.items():
        for name in names:
            assert hasattr(owner, name), f"{owner.__name__}.{name}"
    assert "_accepted_cx" in inspect.getsource(Association.__init__)


def test_what_is_set_on_both_sides_of_an_association_is_there(wire: Wire) -> None:
    association = accepting_association(application_entity("CHEXNODE"), wire)
    for side in (association.acceptor, association.requestor):
        for name in ("primitive", "address_info", "ae_title", "implementation_class_uid", "user_identity"):
            assert hasattr(side, name), name
    assert (association.is_established, association.is_aborted) == (False, False)


def test_how_it_is_called() -> None:
    for function, parameters in {
        ACSE.send_reject: ["self", "result", "source", "diagnostic"],
        ACSE.send_release: ["self", "is_response"],
        ACSE.send_abort: ["self", "source"],
        ACSE.send_ap_abort: ["self", "reason"],
        Association._serve_request: ["self", "msg", "context_id"],
        DIMSEServiceProvider.receive_primitive: ["self", "primitive"],
        DIMSEServiceProvider.get_msg: ["self", "block"],
    }.items():
        assert list(inspect.signature(function).parameters) == parameters, function.__qualname__


def test_nothing_else_is_asked_of_a_provider(wire: Wire) -> None:
    """All that negotiation and messages use of it is there, but for what is called before there is an association."""
    provider = RequestingProvider(wire)
    of_others = {"DULServiceProvider", "peek_next_pdu"}  # an import; of is_release_requested(), which nobody here calls
    for module in (pynetdicom.acse, pynetdicom.dimse):
        used = set(re.findall(r"\bdul\.(\w+)", inspect.getsource(module)))
        assert {name for name in used - of_others if not hasattr(provider, name)} == set(), module.__name__


def test_negotiation_only_reads_the_contexts_that_all_associations_share() -> None:
    """`deepcopy` of them was most of what an association cost."""
    contexts = accepted_contexts()
    before = [(context.context_id, context.result, list(context.transfer_syntax)) for context in contexts]
    proposed = accepted_contexts()[:20]
    for number, context in enumerate(proposed):
        context.context_id = 2 * number + 1
    results, _ = pynetdicom.presentation.negotiate_as_acceptor(proposed, contexts)
    assert all(result.result == 0 for result in results)
    assert [(context.context_id, context.result, list(context.transfer_syntax)) for context in contexts] == before


@pytest.mark.parametrize("kind", [A_ASSOCIATE, A_RELEASE, A_ABORT, A_P_ABORT, P_DATA])
def test_every_primitive_has_a_pdu(wire: Wire, kind: type) -> None:
    from dicom_node.dimse.provider import _pdu_of

    primitive = kind()
    assert hasattr(_pdu_of(primitive), "from_primitive")


def test_nothing_else_has_one(wire: Wire) -> None:
    with pytest.raises(TypeError, match="no PDU"):
        BlockingProvider(wire).send_pdu(object())
