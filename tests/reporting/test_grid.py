"""Tables as Markdown and LaTeX."""

from pathlib import Path

import pytest

from benchmark.reporting.grid import Cell, Column, Grid, latex, markdown
from tests.reporting import pdflatex

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
    grid = Grid(GRID.columns[:2], [[Cell("a"), Cell("{0.5}", 0.5, bold=True)]], [[Cell("b"), Cell("x", bold=True)]], "")
    assert "| a | **{0.5}** |" in markdown(grid)
    assert "| b | **x** |" in markdown(grid)
    assert r"a & \textbf{\{0.5\}} \\" in latex(grid, "x")
    assert r"b & \textbf{x} \\" in latex(grid, "x")


def test_markdown_is_a_table_of_equally_long_rows() -> None:
    lines = [line for line in markdown(GRID).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 3 + 1 + 1
    assert {line.count("|") for line in lines} == {5}
    assert lines[1] == "| :--- | ---: | ---: | ---: |"


def test_markdown_cannot_be_broken_by_a_bar() -> None:
    grid = Grid([Column("Method", number=False)], [[Cell("a|b")]], [], "")
    assert r"| a\|b |" in markdown(grid)


def test_latex_is_escaped_and_has_rules() -> None:
    text = latex(GRID, "x")
    assert r"a\_1 & 0.500 & 2.00 & 1e-3$^\dagger$ \\" in text
    assert r" & {\tiny $\pm$ 0.010} &  &  \\" in text
    assert r"\label{tab:x}" in text
    assert r"b & \textbf{0.700} & \textbf{1.00} & 1e-2 \\" in text
    assert r"\caption{100 \% of it.}" in text
    assert text.index("c & ") < text.rindex(r"\midrule") < text.index("pooled & 0.900")
    assert text.count(r"\midrule") == 2
    assert r"\begin{tabular}{lrrr}" in text


def test_a_wide_table_takes_the_page_and_a_narrow_one_its_column() -> None:
    assert latex(GRID, "x").startswith(r"\begin{table}")
    many = [Column(f"client {i}") for i in range(9)]
    row = [Cell("0.500 ± 0.010 (0.400 to 0.600)", 0.5)] * 9
    wide = Grid([GRID.columns[0], *many], [[Cell("a"), *row]], [], "")
    assert latex(wide, "x").startswith(r"\begin{table*}")


def test_a_heading_is_broken_between_words_and_behind_low_lines() -> None:
    heads = ["Rate", "Average rank (of 8)", "1 drawn vidir_molemax"]
    text = latex(Grid([Column(head) for head in heads], [[Cell("1")] * 3], [], ""), "x")
    assert r"Rate & \begin{tabular}[b]{@{}r@{}}Average\\rank (of\\8)\end{tabular}" in text
    assert r"\begin{tabular}[b]{@{}r@{}}1 drawn\\vidir\_\\molemax\end{tabular}" in text


def test_a_long_table_has_one_line_a_row_and_says_where_the_rest_is() -> None:
    long = Grid(GRID.columns, [GRID.rows[0]] * 21, [], "")
    assert r"\tiny" not in latex(long, "x")
    assert "CSV file" in latex(long, "x")


@pdflatex.needed
@pytest.mark.parametrize("layout", ["", "twocolumn"])
@pytest.mark.parametrize(("methods", "clients"), [(3, 2), (10, 6), (40, 12)])
def test_latex_compiles_without_anything_that_runs_over(
    methods: int, clients: int, layout: str, tmp_path: Path
) -> None:
    columns = [
        Column("Method", number=False),
        *(Column(f"{i} vidir_molemax & more", "max") for i in range(clients)),
        Column(f"Average rank (of {methods})", "min"),
        Column("Rate"),
    ]
    scores = [Cell(f"0.{i}00 ± 0.010 (0.400 to 0.600)", i / 10) for i in range(clients)]
    rows = [
        [Cell(f"FedMethod-{i}"), *scores, Cell("4.50 (3.75 to 4.83)", 4.5), Cell("2e-2†", 2e-2)] for i in range(methods)
    ]
    caption = "Lesions at 100 %: balanced accuracy on the test images. Protocol: lesion_disjoint_of_all_hospitals. " * 4
    table = latex(Grid(columns, rows, rows[:2], caption, ["† a note that is long enough for two lines. " * 3]), "x")
    assert pdflatex.faults(table, tmp_path, layout) == []
