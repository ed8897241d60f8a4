"""What columns, queues and partial indexes of the ledger look like.

SQLite and PostgreSQL use a partial index only where the query repeats its condition word for word, which a
bound parameter is not: ask for a state with `in_state`.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Text,
    literal_column,
    or_,
)

from dicom_node.domain import State

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)


def in_state(column: ColumnElement[str], *states: State) -> ColumnElement[bool]:
    """`column` is one of `states`, written out as the partial indexes are."""
    return or_(*(column == literal_column(f"'{state.value}'") for state in states))


def identifier() -> Column[int]:
    """The primary key."""
    return Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True)


def string(name: str, default: str | None = None) -> Column[str]:
    """A text that is never null."""
    return Column(name, Text, nullable=False, server_default=default)


def number(name: str, default: int | None = None) -> Column[int]:
    """A whole number that is never null."""
    return Column(name, Integer, nullable=False, server_default=None if default is None else str(default))


def when(name: str) -> Column[float]:
    """Seconds since the epoch, UTC."""
    return Column(name, Double, nullable=False)


def maybe_when(name: str) -> Column[float | None]:
    """Seconds since the epoch, UTC, or null: it has not happened."""
    return Column(name, Double)


def refers_to(name: str, target: str, *, nullable: bool = False, unique: bool | None = None) -> Column[int]:
    """The identifier of a row of another table."""
    kind = BigInteger().with_variant(Integer, "sqlite")
    return Column(name, kind, ForeignKey(target), nullable=nullable, unique=unique)


def queue() -> tuple[Column[int] | Column[float] | Column[float | None] | Column[str], ...]:
    """What each queue needs: see law 6. `token` only grows: a fence against workers that wake up late."""
    return (
        number("attempts", 0),
        when("not_before"),
        maybe_when("lease_until"),
        number("token", 0),
        string("owner", ""),
        string("last_error", ""),
        when("created_at"),
        maybe_when("ended_at"),
    )


def index(name: str, *columns: ColumnElement[object], where: ColumnElement[bool], unique: bool = False) -> None:
    """A partial index."""
    Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)
