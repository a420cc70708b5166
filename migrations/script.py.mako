"""${message}

A migration must work with the previous release still running: add before you use, stop using before you drop;
create indexes on large tables CONCURRENTLY (outside a transaction); no rewrite of deliveries or attempts.
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
