"""The daily backup: when it is due, who carries it, what of the old ones stays, and who hears when it fails."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from email_campaign.backups import daily
from email_campaign.backups.manifest import Manifest, manifest_of
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.errors import Conflict
from email_campaign.reports.dashboard import dashboard
from email_campaign.settings import Settings
from email_campaign.tasks import outcomes
from email_campaign.tasks.carrying import Beat, carry
from email_campaign.tasks.running import lease
from email_campaign.tasks.tasks import Task, TaskState, create_task, request_cancel
from tests.commands import command

NOW = utc_now()


@pytest.fixture
def wanted(settings: Settings, tmp_path: Path) -> Settings:
    """Settings with a folder for backups."""
    return settings.model_copy(update={"backup_dir": tmp_path / "backups"})


@pytest.fixture
def task_id(session_factory: SessionFactory) -> int:
    """A task that nobody carries yet."""
    with session_factory.begin() as session:
        return create_task(session, kind="backup", subject_id=None, title="B", created_by=None, now=utc_now()).id


def ended(session: Session, state: TaskState, hours_ago: float, error: str | None = None) -> Task:
    at = NOW - timedelta(hours=hours_ago)
    task = create_task(session, kind="backup", subject_id=None, title="B", created_by=None, now=at)
    task.state, task.finished_at, task.error = state, at, error
    session.flush()
    return task


def test_without_a_folder_none_is_made(session: Session, settings: Settings) -> None:
    assert daily.look_after(session, settings, NOW) is None
    assert daily.begin_if_due(session, settings, NOW, daily.AT_NIGHT) is None


def test_the_first_is_made_at_once_and_the_next_at_night(session: Session, wanted: Settings) -> None:
    task_id = daily.look_after(session, wanted, NOW)
    assert task_id
    assert daily.look_after(session, wanted, NOW) is None
    task = session.get_one(Task, task_id)
    task.state, task.finished_at = TaskState.SUCCEEDED, NOW
    session.flush()
    evening = NOW + timedelta(hours=11)
    assert daily.begin_if_due(session, wanted, evening, daily.AT_NIGHT) is None
    night = NOW + timedelta(hours=13)
    assert daily.look_after(session, wanted, night) is None
    assert daily.begin_if_due(session, wanted, night, daily.AT_NIGHT)


def test_the_sweep_makes_up_for_a_night_whose_message_was_lost(session: Session, wanted: Settings) -> None:
    ended(session, TaskState.SUCCEEDED, 24.5)
    assert daily.look_after(session, wanted, NOW) is None
    assert daily.look_after(session, wanted, NOW + timedelta(hours=1))


def test_after_a_failure_it_is_tried_again_each_hour(session: Session, wanted: Settings) -> None:
    ended(session, TaskState.SUCCEEDED, 30)
    ended(session, TaskState.FAILED, 0.9, "full")
    assert daily.look_after(session, wanted, NOW) is None
    assert daily.look_after(session, wanted, NOW + timedelta(hours=0.2))


def test_who_waits_for_a_backup_in_vain_is_told_once(session: Session, wanted: Settings) -> None:
    ended(session, TaskState.SUCCEEDED, 37)
    going = create_task(session, kind="backup", subject_id=None, title="B", created_by=None, now=NOW)
    for _ in range(2):
        assert daily.look_after(session, wanted, NOW) is None
        (need,) = dashboard(session, NOW).needs
        assert need.kind == "night"
        assert need.message.startswith("Backup of the database failed: No backup has been made since ")
    assert len(outcomes.last_failures(session)) == 1
    going.state, going.finished_at = TaskState.SUCCEEDED, utc_now() + timedelta(seconds=1)
    session.flush()
    assert not dashboard(session, NOW).needs


def test_the_worker_program_carries_the_task_and_its_row_says_what_was_made(
    session_factory: SessionFactory, task_id: int, wanted: Settings, tmp_path: Path
) -> None:
    told = {"DATABASE_URL": wanted.database_url, "BACKUP_DIR": str(wanted.backup_dir)}
    done = command("backup", "--task", str(task_id), str(leased(session_factory, task_id)), data_dir=tmp_path, **told)
    assert done.returncode == 0, done.stderr
    with session_factory() as session:
        task = session.get_one(Task, task_id)
    assert (task.state, task.error, task.lease_until) == (TaskState.SUCCEEDED, None, None)
    assert task.result
    file = Path(task.result["file"])
    Manifest.beside(file).check(file)


def test_a_backup_that_fails_is_seen_by_people_until_one_succeeds(
    session_factory: SessionFactory, task_id: int, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "a file").write_text("")
    wrong = settings.model_copy(update={"backup_dir": tmp_path / "a file"})
    assert (
        carry(
            session_factory,
            task_id,
            leased(session_factory, task_id),
            wrong,
            lambda beat: daily.make_daily(wrong, beat),
        )
        is TaskState.FAILED
    )
    with session_factory.begin() as session:
        (need,) = dashboard(session, utc_now()).needs
        assert need.message == f"B failed: BACKUP_DIR={tmp_path / 'a file'} cannot be made: File exists."
        again = create_task(session, kind="backup", subject_id=None, title="B", created_by=None, now=utc_now())
        again.state, again.finished_at = TaskState.SUCCEEDED, utc_now()
        session.flush()
        assert not dashboard(session, utc_now()).needs


def test_one_carries_it_alone_and_whoever_lost_the_lease_writes_nothing(
    session_factory: SessionFactory, task_id: int, settings: Settings
) -> None:
    brief = settings.model_copy(update={"task_lease_seconds": 0.0})

    def work(beat: Beat) -> tuple[int, dict[str, str]]:
        assert (
            carry(
                session_factory,
                task_id,
                leased(session_factory, task_id),
                settings,
                lambda _: (1, {"by": "the second"}),
            )
            is TaskState.SUCCEEDED
        )
        beat(7)
        pytest.fail("the lease is gone")

    assert carry(session_factory, task_id, leased(session_factory, task_id, 0.0), brief, work) is None
    assert lease(session_factory, task_id, 60.0, utc_now()) is None, "it is over"
    with session_factory() as session:
        task = session.get_one(Task, task_id)
    assert (task.state, task.result, task.done_count) == (TaskState.SUCCEEDED, {"by": "the second"}, 1)


def test_a_task_that_is_cancelled_stops_at_the_next_beat(
    session_factory: SessionFactory, task_id: int, settings: Settings
) -> None:
    def work(beat: Beat) -> tuple[int, dict[str, str]]:
        beat(3)
        with session_factory.begin() as session:
            assert session.get_one(Task, task_id).done_count == 3
            request_cancel(session, task_id, utc_now())
        beat.next_at = 0
        beat(4)
        pytest.fail("it was cancelled")

    assert carry(session_factory, task_id, leased(session_factory, task_id), settings, work) is TaskState.CANCELLED


@pytest.mark.parametrize(
    ("error", "words"),
    [(Conflict("The disk is full."), "The disk is full."), (ZeroDivisionError(), "report the error")],
)
def test_a_failure_is_told_in_words(
    session_factory: SessionFactory, task_id: int, settings: Settings, error: Exception, words: str
) -> None:
    def work(beat: Beat) -> tuple[int, dict[str, str]]:
        raise error

    assert carry(session_factory, task_id, leased(session_factory, task_id), settings, work) is TaskState.FAILED
    with session_factory() as session:
        assert words in str(session.get_one(Task, task_id).error)


def test_a_program_that_is_cut_off_each_time_is_given_up(
    session_factory: SessionFactory, task_id: int, settings: Settings
) -> None:
    with session_factory.begin() as session:
        session.execute(text("UPDATE tasks SET interruption_count = 5"))
    assert (
        carry(session_factory, task_id, leased(session_factory, task_id), settings, lambda _: (1, {}))
        is TaskState.FAILED
    )


def leased(factory: SessionFactory, task_id: int, seconds: float = 60.0) -> int:
    """The token under which the worker starts the program."""
    taken = lease(factory, task_id, seconds, utc_now())
    assert taken is not None
    return taken.token


@pytest.fixture
def aged(tmp_path: Path) -> Callable[[int], Path]:
    """Makes a backup of so many days ago, as far as names tell."""

    def make(days: int) -> Path:
        file = tmp_path / daily.name_at(NOW - timedelta(days=days))
        file.write_text("")
        manifest_of(file).write_text("{}")
        return file

    return make


def test_old_backups_go_with_their_manifests_and_what_is_not_ours_stays(
    tmp_path: Path, aged: Callable[[int], Path]
) -> None:
    files = {days: aged(days) for days in (0, 13, 15, 400)}
    (tmp_path / "email-campaign-mine.dump").write_text("")
    assert daily.put_away_old(tmp_path, 14, NOW) == 2
    left = {files[0], files[13], manifest_of(files[0]), manifest_of(files[13]), tmp_path / "email-campaign-mine.dump"}
    assert set(tmp_path.iterdir()) == left


def test_the_newest_backup_stays_however_old_it_is(tmp_path: Path, aged: Callable[[int], Path]) -> None:
    newest, _ = aged(100), aged(101)
    assert daily.put_away_old(tmp_path, 0, NOW) == 0
    assert daily.put_away_old(tmp_path, 14, NOW) == 1
    assert newest.exists()
