"""How Alembic runs inside of Assay: over a connection that ``migrate`` has opened, in its transaction."""

from alembic import context

from assay.service.store.schema import META

context.configure(connection=context.config.attributes["connection"], target_metadata=META)
with context.begin_transaction():
    context.run_migrations()
