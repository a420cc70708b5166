"""F30: an upgrade while mail goes out – the schema migrates, every process is restarted – leaves nothing unknown."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

from email_campaign.local.migrate import script
from email_campaign.local.places import CHECKOUT
from tests.faults.conftest import Scene
from tests.service import Service
from tests.tools.scripted_smtp import Rule

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

COUNT = 1_200
PER_SECOND = 10
"""So slow that everything is restarted long before the last mail; then the limit is taken away."""
TABLES = """
import sqlalchemy as sa
from alembic import op

revision = "the_next_release_1"
down_revision = "{head}"
branch_labels = depends_on = None


def upgrade():
    for table in ("mailings", "deliveries", "attempts", "slices", "contacts"):
        op.add_column(table, sa.Column("of_the_next_release", sa.Integer(), server_default="7", nullable=False))
    op.create_table("of_the_next_release", sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True))


def downgrade():
    op.drop_table("of_the_next_release")
    for table in ("mailings", "deliveries", "attempts", "slices", "contacts"):
        op.drop_column(table, "of_the_next_release")
"""
INDEX = """
from alembic import op

revision = "the_next_release_2"
down_revision = "the_next_release_1"
branch_labels = depends_on = None
NAME = "ix_of_the_next_release"


def upgrade():
    with op.get_context().autocommit_block():
        op.drop_index(NAME, "deliveries", if_exists=True, postgresql_concurrently=True)  # what a broken-off try left
        op.create_index(NAME, "deliveries", ["of_the_next_release"], postgresql_concurrently=True)


def downgrade():
    with op.get_context().autocommit_block():
        op.drop_index(NAME, "deliveries", if_exists=True, postgresql_concurrently=True)
"""
"""What a migration may do by its own rule: columns on the hottest tables, all in one transaction so that it meets every
lock, a table, and an index beside all writing."""


@pytest.fixture
def release(service: Service, tmp_path: Path) -> Iterator[Config]:
    """The schema of a next release; the database is as before afterwards."""
    head = script().get_current_head()
    (tmp_path / "tables.py").write_text(TABLES.format(head=head))
    (tmp_path / "index.py").write_text(INDEX)
    config = Config(str(CHECKOUT / "alembic.ini"))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", f"{CHECKOUT / 'migrations' / 'versions'}\n{tmp_path}")
    config.attributes["url"] = service.settings.database_url
    yield config
    command.downgrade(config, str(head))


def test_f30_an_upgrade_under_load_leaves_nothing_unknown(scene: Scene, release: Config) -> None:
    scene.sink.script.rules.append(Rule("dot", delay_seconds=0.1))
    campaign_id = scene.service.launch(COUNT, limits=[{"count": PER_SECOND, "seconds": 1}])
    scene.until_bodies(campaign_id, 20)
    command.upgrade(release, "head")
    went_on = scene.bodies(campaign_id)
    scene.until_bodies(campaign_id, went_on + PER_SECOND)  # the release before goes on with the new schema
    for name in ("web", "send1", "send2", "control", "work", "beat"):
        scene.signal(name, signal.SIGTERM)
        scene.end_of(name)
        scene.service.start(name)
    assert scene.bodies(campaign_id) < COUNT, "the restarts came after the last mail, so they showed nothing"
    assert scene.service.api.patch(f"/campaigns/{campaign_id}/limits", json={"limits": []}).is_success
    assert scene.settled(campaign_id) == {"accepted": COUNT}
    with scene.service.factory() as session:
        assert session.scalar(text("SELECT count(*) FROM deliveries WHERE of_the_next_release = 7")) == COUNT


def test_f30_going_back_a_release_under_load_leaves_nothing_unknown(scene: Scene, release: Config) -> None:
    command.upgrade(release, "head")
    campaign_id = scene.service.launch(COUNT // 10, limits=[{"count": PER_SECOND, "seconds": 1}])
    scene.until_bodies(campaign_id, 20)
    command.downgrade(release, "the_next_release_1")
    command.downgrade(release, "-1")
    went_on = scene.bodies(campaign_id)
    scene.until_bodies(campaign_id, went_on + PER_SECOND)
    assert scene.settled(campaign_id) == {"accepted": COUNT // 10}
