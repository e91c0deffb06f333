"""A changed workdir: the new router has all feedback, and no request fails meanwhile."""

import io
import threading

import pytest
from processes import wait_for
from serve_cases import CountingRouter, open_service

from prouter_jax.serving.service import learner, reload
from prouter_jax.serving.service.databases import find_database
from prouter_jax.serving.service.decide import Options
from prouter_jax.serving.service.reload import Reloader, repeating
from prouter_jax.serving.service.requests import FeedbackRequest, RouteRequest, UserRequest
from prouter_jax.serving.service.start import opened
from prouter_jax.serving.service.telemetry import Log, Metrics


@pytest.fixture
def service(tmp_path):
    service = open_service(tmp_path / "state.sqlite")
    yield service
    service.close()


def _reloader(service, workdir, load):
    return Reloader(service, workdir, reload.version(workdir), Metrics(), Log(io.StringIO()), load)


def _say(service, model, user="ann"):
    service.feedback(user, FeedbackRequest(query="Hello", model=model, thumb="up")).result()


def _change(workdir, text):
    (workdir / "root.json").write_text(text)


def test_a_changed_router_is_swapped_in_with_all_feedback(service, tmp_path):
    _change(tmp_path, "1")
    new = CountingRouter(["alder", "birch", "cedar", "date"])
    reloader = _reloader(service, tmp_path, lambda _: new)
    _say(service, "cedar")
    assert not reloader.look()
    assert service.live is not new
    _change(tmp_path, "22")
    assert reloader.look()
    assert service.live is new
    assert not reloader.look()
    _say(service, "date")
    assert [one.llm for one in new.said["ann"]] == ["cedar", "date"]


def test_a_router_that_cannot_be_loaded_leaves_the_old_one(service, tmp_path):
    def fail(_):
        raise ValueError("config.json: missing")

    _change(tmp_path, "1")
    old, reloader = service.live, _reloader(service, tmp_path, fail)
    _change(tmp_path, "22")
    assert not reloader.look()
    assert service.live is old
    assert not reloader.look()  # not until it changes again


def test_no_feedback_is_lost_or_doubled_and_no_request_fails_while_routers_change(service, monkeypatch):
    monkeypatch.setattr(learner, "_AT_ONCE", 5)
    ended, errors, said = threading.Event(), [], [0, 0]

    def work(client):
        try:
            while not ended.is_set():
                service.route(f"u{client}", RouteRequest(query="Hello"))
                _say(service, "birch", f"u{client}")
                said[client] += 1
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(client,)) for client in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        before = sum(said)
        assert service.swap(CountingRouter()) == 0
        wait_for(lambda before=before: sum(said) > before or errors)
    ended.set()
    for thread in threads:
        thread.join()
    assert not errors
    assert [len(service.live.said[f"u{client}"]) for client in range(2)] == said


def test_who_is_forgotten_while_a_router_is_swapped_in_stays_forgotten(service):
    for user in ("ann", "bob", "zoe"):
        _say(service, "cedar", user)

    class Slow(CountingRouter):
        def replay(self, feedback):
            super().replay(feedback)
            if feedback.user != "zoe":
                return
            service.delete("zoe").result()
            service.set("bob", UserRequest(reset=True)).result()
            _say(service, "birch", "bob")
            _say(service, "birch", "ann")

    service.swap(Slow())
    said = {user: [one.llm for one in said] for user, said in service.live.said.items()}
    assert said == {"ann": ["cedar", "birch"], "bob": ["birch"]}


def test_a_network_that_needs_texts_is_not_served_without_them(tmp_path, monkeypatch):
    live = CountingRouter()
    live.needs_texts = True
    monkeypatch.setattr(reload, "load", lambda _: live)
    database = find_database(tmp_path, None)
    with pytest.raises(ValueError, match="expected --store_prompts"), opened(database, tmp_path, Options()):
        pass
    with opened(database, tmp_path, Options(store_prompts=True)) as (service, _):
        _say(service, "cedar")
        assert service.live is live


def test_the_workdir_is_watched_in_the_background(service, tmp_path):
    _change(tmp_path, "1")
    new = CountingRouter()
    with repeating(_reloader(service, tmp_path, lambda _: new).look, 0.001):
        _change(tmp_path, "22")
        wait_for(lambda: service.live is new)
