"""Run by Alembic with the connection that upgrade() gave it, in its transaction."""

from alembic import context

from dicom_node.ledger.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
