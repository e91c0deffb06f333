"""The update log: an update is there whole or not at all, once, and with the bytes of its files."""

import shutil

import pytest

from prouter_jax.io import files
from prouter_jax.io.paths import make_path
from prouter_jax.serving.update_log import append_update, find_duplicate, read_pending, read_updates

REPORTS = {"drift.json": "{}", "drift.md": "# Drift\n"}


@pytest.fixture
def feedback(tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("user_id,query,llm\nw,1+1,b\n")
    return path


@pytest.fixture
def llms(tmp_path):
    (tmp_path / "llms").mkdir()
    (tmp_path / "llms" / "llms.csv").write_text("llm\nz\n")
    (tmp_path / "llms" / "notes.txt").write_text("no table")
    return tmp_path / "llms"


def _other(path, number):
    other = path.with_name(f"new{number}.csv")
    other.write_text(path.read_text() + f"w,1+{number},b\n")
    return other


def _appended(workdir, feedback, llms=None):
    return append_update(workdir, read_pending(feedback, llms), REPORTS, len(read_updates(workdir)) + 1, "")


def test_updates_are_read_back_unchanged_and_in_order(feedback, llms, tmp_path, bucket):
    for workdir in (tmp_path / "run", make_path(f"{bucket}/run")):
        assert read_updates(workdir) == []
        paths = [feedback, *(_other(feedback, number) for number in range(2, 12))]
        for path in paths:
            _appended(workdir, path, llms if path == paths[3] else None)
        found = read_updates(workdir)
        assert [old.number for old in found] == list(range(1, 12))
        assert [old.feedback.read_bytes() for old in found] == [path.read_bytes() for path in paths]
        assert [old.llms is None for old in found] == [number != 3 for number in range(11)]
        assert [path.name for path in found[3].llms.iterdir()] == ["llms.csv"]
        assert (found[0].folder / "drift.md").read_text() == REPORTS["drift.md"]


def test_a_duplicate_is_found_and_a_partial_one_refused(feedback, llms, tmp_path):
    folder = _appended(tmp_path, feedback, llms)
    appended = read_updates(tmp_path)
    renamed = shutil.copy(feedback, tmp_path / "renamed.csv")
    assert find_duplicate(appended, read_pending(renamed, llms)) == appended[0]
    assert find_duplicate(appended, read_pending(_other(feedback, 2), None)) is None
    with pytest.raises(ValueError, match=f"^feedback: expected new feedback, found that of updates/{folder.name}$"):
        find_duplicate(appended, read_pending(feedback, None))
    with pytest.raises(ValueError, match=r"^llms: expected new LLMs or prices, found those of"):
        find_duplicate(appended, read_pending(_other(feedback, 2), llms))


def test_a_kill_at_any_moment_leaves_the_old_or_the_new(feedback, llms, tmp_path, monkeypatch):
    write, survived = files.write_whole, 0
    _appended(tmp_path, feedback)
    second = _other(feedback, 2)
    while len(read_updates(tmp_path)) == 1:
        left = [survived]

        def write_some(path, content, left=left):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            write(path, content)

        with monkeypatch.context() as patch:
            patch.setattr(files, "write_whole", write_some)
            try:
                _appended(tmp_path, second, llms)
            except KeyboardInterrupt:
                assert len(read_updates(tmp_path)) == 1
        survived += 1
    assert survived == 6  # feedback, LLMs, two reports, manifest; the sixth try is complete
    assert read_updates(tmp_path)[1].feedback.read_bytes() == second.read_bytes()


def test_a_changed_or_lost_update_is_an_error(feedback, tmp_path):
    folders = [_appended(tmp_path, path) for path in (feedback, _other(feedback, 2), _other(feedback, 3))]
    path = folders[1] / "feedback.csv"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"b", b"a"))
    with pytest.raises(ValueError, match=r"2-.*: expected an undamaged update, found feedback.csv: SHA-256"):
        read_updates(tmp_path)
    path.write_bytes(content)
    assert len(read_updates(tmp_path)) == 3
    shutil.rmtree(folders[1])
    with pytest.raises(ValueError, match=f"updates: expected update 2, found {folders[2].name}$"):
        read_updates(tmp_path)


def test_feedback_must_be_a_table(tmp_path):
    with pytest.raises(ValueError, match=r"new\.txt: expected a file of \.parquet, \.csv, .* found '\.txt'$"):
        read_pending(tmp_path / "new.txt", None)
