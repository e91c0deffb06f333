"""ROUGE-L, by the library rouge-score."""

from collections.abc import Callable


def make_rouge_l() -> Callable[[str, str], float]:
    """F of the longest common subsequence of words: rougeL of rouge-score, without stemming (Lin 2004, W04-1013).

    Raises:
      ValueError: if the library is missing.
    """
    try:
        from rouge_score import rouge_scorer
    except ImportError:
        raise ValueError("metric rouge_l: needs pip install 'prouter-jax[grading]' first") from None
    scorer = rouge_scorer.RougeScorer(["rougeL"])
    return lambda answer, reference: float(scorer.score(reference, answer)["rougeL"].fmeasure)
