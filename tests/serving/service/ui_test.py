"""The page for people: what it loads, and in a browser rankings, thumbs, pins, bans, an error, a phone's width."""

import re
import threading

import pytest
import uvicorn
from browser import CHROMIUM, Browser
from serve_cases import LLMS, client_of, make_application, open_service

from prouter_jax.serving.service.page import people_page

FILES = ("ui.html", "ui.js", "ui.css")


def test_the_page_comes_from_the_service_alone(tmp_path):
    with client_of(open_service(tmp_path / "state.sqlite")) as client:
        page = client("GET", "/ui")
        assert page.status_code == 200
        assert "default-src 'none'" in page.headers["content-security-policy"]
        for name in re.findall(r'(?:src|href)="(ui/[^"]+)"', page.text):
            assert client("GET", f"/{name}").status_code == 200
        assert client("GET", "/ui/other.js").status_code == 404
    text = "".join(content.decode() for content, _ in filter(None, map(people_page, FILES)))
    assert not re.search(r"https?://|innerHTML|eval\(|style=", text)


@pytest.fixture
def address(tmp_path):
    application = make_application(open_service(tmp_path / "state.sqlite"))
    server = uvicorn.Server(uvicorn.Config(application, port=0, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        threading.Event().wait(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


_PICK = 'document.querySelector("#pick strong").textContent'
_ANN = "document.getElementById('key').value = \"ann's key\""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
def test_thumbs_pins_and_bans_move_the_ranking_of_the_page(address):
    with Browser(f"{address}/ui") as page:
        page.wait_for("document.getElementById('ask') && typeof rank === 'function'")
        page.run(f"{_ANN}; document.getElementById('query').value = 'What is 2 + 2?'")
        page.run("document.querySelector('#ask button').click()")
        assert page.wait_for(_PICK) == LLMS[0]
        assert page.run("document.querySelectorAll('#models tr').length") == len(LLMS)
        assert page.wait_for("document.getElementById('who').textContent") == "ann"
        page.run(f"document.querySelector('[aria-label=\"{LLMS[2]} is good\"]').click()")
        page.wait_for(f"{_PICK} === '{LLMS[2]}'")
        page.run(f"document.querySelector('[aria-label=\"never pick {LLMS[2]}\"]').click()")
        page.wait_for(f"{_PICK} !== '{LLMS[2]}'")
        page.run(f"document.querySelector('[aria-label=\"always pick {LLMS[1]}\"]').click()")
        page.wait_for(f"{_PICK} === '{LLMS[1]}'")
        page.run(
            "{ const price = document.querySelector('#candidates input[type=number]'); price.value = 250;"
            " price.dispatchEvent(new Event('change')); }"
        )
        page.wait_for("document.querySelector('#models').textContent.includes('$2.5')")  # in place of $1.0
        page.run("document.getElementById('delete').click()")
        page.wait_for("document.getElementById('note').textContent.startsWith('Deleted')")
        assert page.run(_PICK) == LLMS[0]
        page.run("document.getElementById('key').value = 'no key'; document.querySelector('#ask button').click()")
        assert "key" in page.wait_for("!document.getElementById('error').hidden && error.textContent")


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
def test_nothing_is_wider_than_a_phone(address):
    with Browser(f"{address}/ui") as page:
        page.show_as_phone(390)
        page.wait_for("typeof rank === 'function'")
        page.run(
            f"{_ANN}; document.getElementById('query').value = 'Hi'; document.querySelector('#ask button').click()"
        )
        page.wait_for(_PICK)
        assert page.run("document.documentElement.scrollWidth <= innerWidth")
