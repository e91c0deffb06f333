"""JSON arrays element by element: equal to reading the whole file, for every width of the window."""

import json

import pytest

from prouter_jax.data.tables import files as module
from prouter_jax.data.tables.files import json_elements

ELEMENTS = [{"a": 1, "b": ["x", {"c": None}]}, "tail, ]}", -12.5e3, [], {}, 'é\\"\n\u2028', True, 123456789012345678901]


def _read(path, content, name=""):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [element for element, _ in json_elements(path, name)]


@pytest.mark.parametrize("characters", [1, 2, 3, 7, 1 << 20])
@pytest.mark.parametrize("indent", [None, 3])
def test_elements_are_those_of_the_whole_file(tmp_path, monkeypatch, characters, indent):
    monkeypatch.setattr(module, "_CHARACTERS", characters)
    assert _read(tmp_path / "a.json", json.dumps(ELEMENTS, indent=indent)) == ELEMENTS
    text = json.dumps({"before": {"data": [0]}, "data": ELEMENTS, "after": 12}, indent=indent, ensure_ascii=False)
    assert _read(tmp_path / "b.json", f" \ufeff{text} "[1:], "data") == ELEMENTS


def test_the_window_does_not_grow_with_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_CHARACTERS", 100)
    widths = []
    read = module._Window._read
    monkeypatch.setattr(module._Window, "_read", lambda self: (read(self), widths.append(len(self._text)))[0])
    assert len(_read(tmp_path / "a.json", json.dumps(["x" * 30] * 1000))) == 1000
    assert max(widths) < 300


def test_reading_ends_at_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_CHARACTERS", 100)
    reads = []
    read = module._Window._read
    monkeypatch.setattr(module._Window, "_read", lambda self: (read(self), reads.append(1))[0])
    with pytest.raises(ValueError, match=r"row 1: expected readable JSON"):
        _read(tmp_path / "a.json", "[1, {x}" + ", 1" * 100_000 + "]")
    assert len(reads) < 5


def test_nan_and_invalid_utf8_are_read(tmp_path):
    elements = _read(tmp_path / "a.json", b'[NaN, -Infinity, "a\xffb", "\\udcff"]')
    assert [str(element) for element in elements[:2]] == ["nan", "-inf"]
    assert elements[2:] == ["a\udcffb", "\udcff"]


def test_lengths_add_up_to_the_file(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([{"a": "x" * 50}] * 10))
    assert sum(size for _, size in json_elements(tmp_path / "a.json")) == 10 * len(json.dumps({"a": "x" * 50}))


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("", "", "row 0: expected an array, found the end"),
        ("{}", "", "row 0: expected an array, found '{'"),
        ("[1, 2", "", "row 2: expected a comma or ], found the end"),
        ("[1 2]", "", "row 1: expected a comma or ], found '2'"),
        ("[1, ]", "", "row 1: expected readable JSON, found Expecting value"),
        ('[1, "x]', "", "row 1: expected readable JSON, found Unterminated string"),
        ("[1] 2", "", "row 1: expected the end of the file, found '2'"),
        ('[{"a": 1, "a": 2}]', "", "row 0: expected each name once, found 'a' twice"),
        ("[" * 100_000, "", "row 0: expected readable JSON, found it nested too deeply"),
        ('{"a": [1]}', "data", "row 0: expected an array 'data', found none"),
        ('{"data": {}}', "data", "row 0: expected an array, found '{'"),
        ('{"data": [1], "data": [2]}', "data", "row 1: expected 'data' once, found it twice"),
        ('{"data" [1]}', "data", r"row 0: expected a colon, found '\['"),
        (b'["\xff"', "", "row 1: expected a comma or ], found the end"),
        ("[" + "9" * 5000 + "]", "", "row 0: Exceeds the limit"),
    ],
)
def test_an_error_names_the_element(tmp_path, content, name, message):
    with pytest.raises(ValueError, match=f"^table a.json, {message}"):
        _read(tmp_path / "a.json", content, name)
