"""How a ledger is made and brought forward: Alembic, one file a step, tables as they were at that step."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from dicom_node.errors import SchemaMismatch


def upgrade(tx: Connection, *, to: str = "head") -> None:
    """Bring the ledger of `tx` to the newest schema, or to `to`. Raises SchemaMismatch for one that is newer still."""
    config = configuration()
    config.attributes["connection"] = tx
    try:
        command.upgrade(config, to)
    except CommandError as error:
        raise SchemaMismatch(
            f"the ledger was made by a newer chexnode ({error}): install that version again, or one after it"
        ) from error


def newest() -> str | None:
    """The revision that upgrade() leads to."""
    return ScriptDirectory.from_config(configuration()).get_current_head()


def configuration() -> Config:
    """Alembic's own, without a file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return config
