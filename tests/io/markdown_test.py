"""A section of a document is replaced whole, and nothing else."""

import pytest

from prouter_jax.io.markdown import write_section


def test_only_what_stands_between_the_markers_changes(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("# Title\n<!-- speed -->\nold\nold\n<!-- /speed -->\nafter <!-- other -->x<!-- /other -->\n")
    for _ in range(2):
        write_section(path, "speed", "new")
        expected = "# Title\n<!-- speed -->\nnew\n<!-- /speed -->\nafter <!-- other -->x<!-- /other -->\n"
        assert path.read_text() == expected


@pytest.mark.parametrize(
    "text", ["", "<!-- a -->", "<!-- /a --><!-- a -->", "<!-- a --><!-- /a --><!-- a -->", "<!-- b --><!-- /b -->"]
)
def test_other_markers_are_an_error_and_nothing_is_written(tmp_path, text):
    path = tmp_path / "README.md"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"README.md: expected <!-- a --> once and then <!-- /a --> once"):
        write_section(path, "a", "new")
    assert path.read_text() == text
