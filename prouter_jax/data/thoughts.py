"""What a reasoning model thinks aloud, stripped from its answer in one place: for grades, style, judges and tables.

| form | counts as a thought |
|---|---|
| `<think>...</think>`, also thinking, seed:think, [THINK], ◁think▷, <|START_THINKING|> | anywhere |
| thought, thoughts, reasoning, reflection, scratchpad, <|begin_of_thought|> | where the answer has not begun |
| a closing tag without an opening one (a chat template wrote it) | all before it |
| an opening tag without a closing one (cut off in mid-thought) | all after it |
| gpt-oss: `<|channel|>analysis...`, or "analysis...assistantfinal..." where its tokens were dropped | all but final |

A tag in quotes, in code, or in the middle of a sentence ("the </think> tag closes it") is a word of the answer.
`<answer>...</answer>` around the whole rest is taken off. Sources: the chat templates of DeepSeek-R1, Qwen3, Magistral,
Kimi, Seed-OSS and Command A Reasoning on Hugging Face, and OpenAI's description of the harmony format.
"""

import re

import numpy as np
from jaxtyping import Shaped

_ANYWHERE = "think|thinking|seed:think|antml:thinking|antthinking"
_AT_START = ("thought", "thoughts", "reasoning", "reflection", "scratchpad")
_MARKER = re.compile(
    rf"<(?P<close>/)?(?P<tag>{_ANYWHERE}|{'|'.join(_AT_START)})(?:\s[^<>]*)?>"
    r"|(?P<opened>\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|START_THINKING\|>)"
    r"|(?P<closed>\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|END_THINKING\|>)",
    re.IGNORECASE,
)
_IN_SENTENCE = re.compile(r"[ \t]+[a-z]|[.,;:!?)]")
_MOST_ROUNDS = 10
_QUOTES = "`\"'\u201c\u2018"
_FENCE = "```"
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)[^<]*<\|message\|>")
_END_OF_MESSAGE = re.compile(r"<\|(?:end|return|call)\|>.*", re.DOTALL)
_DROPPED_CHANNELS = re.compile(r"\s*analysis(?=\W|[A-Z]).*assistantfinal", re.DOTALL)
_WRAPPER = re.compile(r"\s*(?:<(answer)>(.*)</answer>|(<\|\w+\|>)(.*)<\|END_\w+\|>)\s*", re.DOTALL | re.IGNORECASE)
_HINT = re.compile(rf"{_MARKER.pattern}|<\|channel\|>|^\s*analysis", re.IGNORECASE)


def strip_thoughts(text: str) -> str:
    """The answer without what the model thought aloud; an answer without thoughts is returned as it is.

    Args:
      text: what the model wrote.

    Returns:
      the answer, "" if the model never came to it.
    """
    for _ in range(_MOST_ROUNDS):  # a stripped thought can leave another at the start of the answer
        if not _HINT.search(text):
            break
        answer = _without_channels(text)
        answer = _without_blocks(text) if answer is None else answer
        if answer == text:
            break
        wrapped = _WRAPPER.fullmatch(answer)
        text = ((wrapped[2] or wrapped[4] or "") if wrapped else answer).strip()
    return text


def strip_all(texts: Shaped[np.ndarray, " texts"]) -> tuple[Shaped[np.ndarray, " texts"], int]:
    """Strips the thoughts of many answers.

    Args:
      texts: object array of str.

    Returns:
      The answers, and the number of those that had thoughts.
    """
    found = np.array([_HINT.search(text) is not None for text in texts], bool)
    if not found.any():
        return texts, 0
    answers = texts.copy()
    answers[found] = [strip_thoughts(text) for text in texts[found]]
    return answers, int((answers != texts).sum())


def _without_channels(text: str) -> str | None:
    """The last final message of gpt-oss, "" if there is none; None for a text without channels."""
    channels = list(_CHANNEL.finditer(text))
    if channels and not text[: channels[0].start()].replace("<|start|>assistant", "").strip():
        final = [channel for channel in channels if channel[1] == "final"]
        return _END_OF_MESSAGE.sub("", text[final[-1].end() :]) if final else ""
    dropped = _DROPPED_CHANNELS.match(text)
    return text[dropped.end() :] if dropped else None


def _without_blocks(text: str) -> str:
    """The text outside of thoughts between tags."""
    kept: list[str] = []
    plain: set[str] = set()  # tags that are words of the answer
    start = at = fences = 0
    begun, inside = False, ""
    for marker in _MARKER.finditer(text):
        tag, opens = _read(marker)
        if inside:
            if tag == inside and not opens:
                start = at = marker.end()
                inside = ""
            continue
        since = text[at : marker.start()]
        fences, begun, at = fences + since.count(_FENCE), begun or bool(since.strip()), marker.end()
        if fences % 2 or _is_word(text, marker, begun) or (begun and opens and tag in _AT_START) or tag in plain:
            plain |= {tag} & set(_AT_START)
            begun = True
        elif opens:
            kept.append(text[start : marker.start()])
            inside = tag
        else:
            kept, start, fences, begun = [], marker.end(), 0, False
    return "".join(kept if inside else [*kept, text[start:]])


def _read(marker: re.Match) -> tuple[str, bool]:
    """The kind of a tag, and whether it opens a thought."""
    if marker["tag"]:
        return marker["tag"].lower(), not marker["close"]
    name = (marker["opened"] or marker["closed"]).strip("[]◁▷<|>/").lower()
    return name.rpartition("_")[2], bool(marker["opened"])


def _is_word(text: str, marker: re.Match, begun: bool) -> bool:
    """Whether a tag is a word of the answer: quoted, or in the middle of a sentence."""
    before = text[max(marker.start() - 1, 0) : marker.start()]
    if before and before in _QUOTES:
        return True
    return begun and before == " " and _IN_SENTENCE.match(text, marker.end()) is not None
