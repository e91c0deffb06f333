"""The id of a user is found in files of any kind, wherever in them it stands."""

import base64
import gzip
import io
import json
import os
import re
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prouter_jax.data.audit import IdSearch

ID = 'anna "ö" <a@b.example>/7'


def _found(folder, content, user=ID, name="file.bin"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return IdSearch(user).in_folder(folder)


def _parquet(table):
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd", write_statistics=False)
    return file.getvalue()


def _array(values, compressed=False):
    file = io.BytesIO()
    np.savez_compressed(file, x=values) if compressed else np.save(file, values)
    return file.getvalue()


def _zip(name, content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


ENCODED = ID.encode()
NOISE = os.urandom(200_000)
UNUSED = pa.DictionaryArray.from_arrays(pa.array([0, 0]), pa.array(["someone", ID]))
CASES = {
    "raw": b"\0\1" + ENCODED + b"\xff",
    "text": b"user=" + ENCODED + b" asked",
    "JSON": json.dumps({"user": ID}).encode(),
    "JSON, other escapes": b'{"user": "\\u0061nna \\"\\u00f6\\" <a@b.example>\\/7"}',
    "JSON key": json.dumps({ID: 1}).encode(),
    "JSONL": b'{"x": 1}\n' + json.dumps({"y": [{"z": f"by {ID}"}]}, ensure_ascii=False).encode() + b"\n",
    "URL": b"GET /users/anna%20%22%C3%B6%22%20%3Ca%40b.example%3E%2F7 HTTP",
    "form": b"user=anna+%22%C3%B6%22+%3Ca%40b.example%3E%2F7&x=1",
    "HTML": "<td>anna &quot;ö&quot; &lt;a@b.example&gt;/7</td>".encode(),
    "Parquet": _parquet(pa.table({"user_id": ["x", ID]})),
    "Parquet, in a list": _parquet(pa.table({"x": [[["a"], [ID]], None]})),
    "Parquet, in a structure": _parquet(pa.table({"x": [{"name": ID, "n": 1}]})),
    "Parquet, value of a dictionary that no row has": _parquet(pa.table({"x": UNUSED})),
    "Parquet, as bytes": _parquet(pa.table({"x": [ENCODED]})),
    "array of texts": _array(np.array(["x", ID])),
    "compressed arrays": _array(np.array(["x", ID]), compressed=True),
    "gzip": gzip.compress(ENCODED),
    "ZIP": _zip("x.txt", ENCODED),
    "Zstandard": pa.Codec("zstd").compress(NOISE + b" " + ENCODED, asbytes=True),
    "Zstandard amid other bytes": b"\0" + pa.Codec("zstd").compress(NOISE + b" " + ENCODED, asbytes=True) + b"after",
}


@pytest.mark.parametrize("case", CASES)
def test_an_id_is_found(case, tmp_path):
    assert len(_found(tmp_path / "with", CASES[case])) == 1
    other = _found(tmp_path / "without", CASES[case], "bert <b@b.example>/77")
    assert other == []


def test_an_id_is_found_in_csv_and_in_names_of_files(tmp_path):
    quoted = b'user_id,x\ny,1\n"anna ""\xc3\xb6"" <a@b.example>/7",2\n'
    assert _found(tmp_path / "csv", quoted, name="votes.csv") == ["votes.csv: row 1"]
    assert _found(tmp_path / "name", b"", "anna", name="of-anna.txt") == ["of-anna.txt: its name"]


def test_a_part_of_a_longer_word_is_no_id(tmp_path):
    for text in (b"u1ab", b"xu1a", b"u1a_b", json.dumps(["u1ab", "xu1a"]).encode()):
        assert _found(tmp_path, text, "u1a") == []
    assert _found(tmp_path, b"by u1a, later", "u1a") == ["file.bin: its text"]


def test_a_short_id_is_searched_among_whole_values(tmp_path):
    assert _found(tmp_path, b"7 apples and 7 pears", "7") == []
    assert _found(tmp_path, b'{"apples": 7, "text": "7 pears"}', "7") == []
    assert _found(tmp_path, b'{"user_id": 7}', "7") == ["file.bin: row 0"]
    assert _found(tmp_path, b'{"user": "7"}', "7") == ["file.bin: row 0"]
    assert _found(tmp_path, _parquet(pa.table({"user_id": [6, 7], "n": [1, 2]})), "7") == ["file.bin: column user_id"]
    assert _found(tmp_path, _parquet(pa.table({"user_id": [5, 6], "n": [7, 7]})), "7") == []


def test_an_id_in_a_checkpoint_is_found(tmp_path):
    """Orbax compresses its files."""
    from prouter_jax.training.checkpoint import Checkpoints

    letters = np.frombuffer(ENCODED.ljust(4000, b" "), np.uint8)
    Checkpoints(tmp_path).save(0, {"x": letters, "y": np.zeros(3)}, 0.0)
    found = IdSearch(ID).in_folder(tmp_path)
    assert found
    assert all(re.fullmatch("0/state/.*: its bytes .Zstandard.", place) for place in found)
    assert IdSearch(base64.b64encode(ENCODED).decode()).in_folder(tmp_path) == []
