"""Which objects of the spool the ledger names; whatever else lies there is an orphan."""

from sqlalchemy import Connection, select, union_all

from dicom_node.domain import InstanceState, ResultState
from dicom_node.ledger import headers
from dicom_node.ledger.schema import in_state, instance, result


def spool_keys(tx: Connection) -> set[str]:
    """Keys of every instance and result that is not purged, and of every kept header, for Spool.sweep."""
    named = union_all(
        select(instance.c.spool_key).where(instance.c.state != InstanceState.PURGED.value),
        select(result.c.spool_key).where(in_state(result.c.state, ResultState.KEPT)),
        headers.kept(),
    )
    return set(tx.execute(named).scalars())
