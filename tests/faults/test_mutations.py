"""Every guard that `make faults MUTATE=1` takes out is still where the mutations say."""

from pathlib import Path

import pytest

from tests.faults.mutate import DoesNotApply, apply, copy_tree
from tests.faults.mutations import MUTATIONS, Edit, Mutation

FOLDER = Path(__file__).parent


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    copy_tree(folder)
    return folder


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.guard)
def test_the_guard_is_where_its_mutation_says(mutation: Mutation, tree: Path) -> None:
    before = {edit.file: (tree / edit.file).read_text() for edit in mutation.edits}
    apply(mutation.edits, tree)
    for file, text in before.items():
        (tree / file).write_text(text)


def test_a_guard_that_has_moved_is_an_error(tree: Path) -> None:
    with pytest.raises(DoesNotApply):
        apply([Edit("email_campaign/worker.py", "no such text", "")], tree)


def test_every_fault_test_has_a_guard_that_it_would_miss() -> None:
    guarded = {mutation.test.partition("::")[0] for mutation in MUTATIONS}
    files = {f"tests/faults/{file.name}" for file in FOLDER.glob("test_f*.py")}
    assert files - guarded == set()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.guard)
def test_the_test_of_a_guard_is_there(mutation: Mutation) -> None:
    file, _, name = mutation.test.partition("::")
    assert f"def {name.partition('[')[0]}" in (FOLDER.parents[1] / file).read_text()
