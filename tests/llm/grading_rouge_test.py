"""ROUGE-L against what google-research/rouge publishes in rouge_scorer_test.py, in part values of ROUGE-1.5.5."""

import sys

import pytest

from prouter_jax.llm.grading_metrics import make_rouge_l

TARGETS = [
    "ZfbCUIUuePaiLVUlCaUXxkpu XPeWing tUHfPMuZ',-Xd Y BrUgVJing M-HV.-DgdDaY.rFDJCRing Ht-LM EKBDXkME,yz'RBr q'wtion "
    "wIojNbN wL,b .a-'XdQggyFl jB-RPP'iyOIcUxer tKM L",
    "KsJdPByEtAor fE-Qg Dpdbring cw-WeFyu vC MoBL Xdn g wkvcEiGvKtion BDFhrpMtion psing sbKao Q m qiing LMmer "
    "HqqLFXe,XPY,J XsurkMer ,ed nB'wH'bWVHjWFEing tQ.saefZwJtKrTlixYpMMsJing UCAPwNHeYVjDing c T BUySKtion "
    "gMPfJpwGw p'NvxAoping eu pBwMBKV'I DNxqelhu,PHPxDEq,mtion SN",
]
PREDICTIONS = [
    "rFDJCRtion Ht-LM EKtDXkME,yz'RBr q'wer wrojNbN wL,b .a-'XdQggyFl jB-RPP'iyOIcUxi",
    "n cw-WeFyu vC MoBL Xdn g wkvcEiGvKtion BDFhrpMer pstion sbKao Q m qier LMmed HqqLFXe,XPY,J XsurkMeo ,ed "
    "nB'wH'bWVHjWFEer tQ.saefZwJtKrTlixYpMMNJtion UCAPwNHeYVjD",
]
PUBLISHED = [
    ("testing one", "testing one two", 4 / 5),
    ("testing two", "testing one two", 4 / 5),
    ("", "testing one two", 0.0),
    (PREDICTIONS[0], TARGETS[0], 0.51163),
    (PREDICTIONS[1], TARGETS[1], 0.5),
]


@pytest.mark.parametrize(("answer", "reference", "expected"), PUBLISHED)
def test_published_values(answer, reference, expected):
    pytest.importorskip("rouge_score")
    assert make_rouge_l()(answer, reference) == pytest.approx(expected, abs=5e-6)


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "rouge_score", None)
    with pytest.raises(ValueError, match=r"^metric rouge_l: needs pip install 'prouter-jax\[grading\]' first$"):
        make_rouge_l()
