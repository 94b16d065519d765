"""Tables as Markdown and LaTeX."""

from benchmark.reporting.grid import Cell, Column, Grid, latex, markdown

GRID = Grid(
    columns=[Column("Method", number=False), Column("Mean", "max"), Column("Rank", "min"), Column("Rate")],
    rows=[
        [Cell("a_1"), Cell("0.500 ± 0.010", 0.5), Cell("2.00", 2), Cell("1e-3†", 1e-3)],
        [Cell("b"), Cell("0.700", 0.7), Cell("1.00", 1), Cell("1e-2", 1e-2)],
        [Cell("c"), Cell("0.700", 0.7), Cell("missing"), Cell("1e-2", 1e-2)],
    ],
    controls=[[Cell("pooled"), Cell("0.900", 0.9), Cell("—"), Cell("1e-2", 1e-2)]],
    caption="100 % of it.",
    notes=["† a note"],
)


def test_the_best_is_bold_ties_too_and_controls_never() -> None:
    text = markdown(GRID)
    assert "| b | **0.700** | **1.00** | 1e-2 |" in text
    assert "| c | **0.700** | missing | 1e-2 |" in text
    assert "| pooled | 0.900 | — | 1e-2 |" in text
    assert text.count("**") == 2 * 3


def test_a_cell_can_be_bold_of_itself_a_controls_too() -> None:
    grid = Grid(GRID.columns, [[Cell("a"), Cell("{0.5}", 0.5, bold=True)]], [[Cell("b"), Cell("x", bold=True)]], "")
    assert "| a | **{0.5}** |" in markdown(grid)
    assert "| b | **x** |" in markdown(grid)
    assert r"a & \textbf{\{0.5\}} \\" in latex(grid)
    assert r"b & \textbf{x} \\" in latex(grid)


def test_markdown_is_a_table_of_equally_long_rows() -> None:
    lines = [line for line in markdown(GRID).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 3 + 1 + 1
    assert {line.count("|") for line in lines} == {5}
    assert lines[1] == "| :--- | ---: | ---: | ---: |"


def test_markdown_cannot_be_broken_by_a_bar() -> None:
    grid = Grid([Column("Method", number=False)], [[Cell("a|b")]], [], "")
    assert r"| a\|b |" in markdown(grid)


def test_latex_is_escaped_and_has_rules() -> None:
    text = latex(GRID)
    assert r"a\_1 & 0.500 $\pm$ 0.010 & 2.00 & 1e-3$^\dagger$ \\" in text
    assert r"b & \textbf{0.700} & \textbf{1.00} & 1e-2 \\" in text
    assert r"\caption{100 \% of it.}" in text
    assert text.index("c & ") < text.rindex(r"\midrule") < text.index("pooled & 0.900")
    assert text.count(r"\midrule") == 2
    assert r"\begin{tabular}{lrrr}" in text
