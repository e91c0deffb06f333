"""MATH's boxed answers are compared as expressions and as numbers."""

import pytest

from prouter_jax.llm.math_metric import last_box, math_boxed


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        (r"So it is $\boxed{\dfrac12}$.", r"\frac{1}{2}"),
        (r"\boxed{0.5}", r"\boxed{\frac{1}{2}}"),
        (r"\boxed{-\frac{3}{4}}", "-3/4"),
        ("\\boxed{\u22123}", "-3"),
        (r"\boxed{1{,}234}", "1234"),
        (r"\boxed{12\text{ meters}}", "12"),
        (r"\boxed{x = 5}", "5"),
        (r"\boxed{\left(3, \frac{\pi}{2}\right)}", r"\left( 3, \frac{\pi}{2} \right)"),
        (r"\boxed{90^\circ}", "90"),
        (r"\boxed{4}, no, \boxed{5}", "5"),
        (r"\boxed{\text{even}}", "even"),
        ("5", "5"),
    ],
)
def test_equal_expressions(answer, reference):
    assert math_boxed(answer, reference) == 1


@pytest.mark.parametrize(
    ("answer", "reference"),
    [(r"\boxed{4}", "5"), ("It is 5.", "5"), (r"\boxed{", "3"), (r"\boxed{1/0}", "3"), ("", "3"), (r"\boxed{-5}", "5")],
)
def test_other_expressions(answer, reference):
    assert math_boxed(answer, reference) == 0


def test_the_last_box_may_hold_braces():
    assert last_box(r"\boxed{a} and \boxed{\frac{1}{2}} end") == r"\frac{1}{2}"
    assert last_box("none") == ""
    assert last_box(r"$\boxed 5$") == "5"
