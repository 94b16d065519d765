"""A table of text: rows of cells with a caption and notes, written as Markdown or LaTeX."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmark.reporting.measure import Measure

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "†": r"$^\dagger$",
    "‡": r"$^\ddagger$",
    "±": r"$\pm$",
    "—": "---",
}


@dataclass(frozen=True)
class Cell:
    """What stands in a cell.

    Attributes:
        text: As people read it.
        value: The number that it stands for, rounded as in the text; None where there is none.
        bold: Whether it is set in bold whatever its column's best is, in a control's row too.
    """

    text: str
    value: float | None = None
    bold: bool = False


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        head: Its heading.
        best: Whether its largest or its smallest value is the best, and set in bold; None for neither.
        number: Whether it holds numbers, which are set flush right.
    """

    head: str
    best: Literal["max", "min"] | None = None
    number: bool = True


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        columns: The columns.
        rows: The ranked methods' rows.
        controls: The rows below the rule. They are shown, but never the best.
        caption: What is to be seen, complete enough to read the table without other text.
        notes: Lines below the table.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    controls: Sequence[Sequence[Cell]]
    caption: str
    notes: Sequence[str] = ()

    def is_bold(self, row: Sequence[Cell], column: int) -> bool:
        """Whether a cell says so, or is a ranked method's and holds its column's best value, alone or with others."""
        cell, best = row[column], self.columns[column].best
        if best is None or row not in self.rows:
            return cell.bold
        values = [own[column].value for own in self.rows]
        numbers = [value for value in values if value is not None]
        return cell.bold or (bool(numbers) and cell.value == (max if best == "max" else min)(numbers))


def measured(measure: Measure, digits: int = 3) -> Cell:
    """The cell of a measured number."""
    return Cell(measure.text(digits), None if measure.reason else round(measure.mean, digits))


def markdown(grid: Grid) -> str:
    """The table in GitHub's Markdown. Controls follow a row that says so: Markdown has no rule."""
    lines = [
        _markdown_row([column.head for column in grid.columns]),
        _markdown_row(["---:" if column.number else ":---" for column in grid.columns]),
        *(_markdown_row(_texts(grid, row, "**{}**")) for row in grid.rows),
    ]
    if grid.controls:
        first_text = next(i for i, column in enumerate(grid.columns) if not column.number)
        lines.append(_markdown_row(["*not ranked:*" if i == first_text else "" for i in range(len(grid.columns))]))
        lines += [_markdown_row(_texts(grid, row, "**{}**")) for row in grid.controls]
    return "\n\n".join(["\n".join(lines), grid.caption, *grid.notes]) + "\n"


def latex(grid: Grid) -> str:
    """The table in LaTeX with the package booktabs."""
    ranked, controls = (
        [_latex_row(_texts(grid, row, r"\textbf{{{}}}", _escape)) for row in rows]
        for rows in (grid.rows, grid.controls)
    )
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_escape(grid.caption)}}}",
            rf"\begin{{tabular}}{{{''.join('r' if column.number else 'l' for column in grid.columns)}}}",
            r"\toprule",
            _latex_row([_escape(column.head) for column in grid.columns]),
            r"\midrule",
            *ranked,
            *([r"\midrule", *controls] if controls else []),
            r"\bottomrule",
            r"\end{tabular}",
            *(rf"\par\footnotesize {_escape(note)}" for note in grid.notes),
            r"\end{table}",
            "",
        ]
    )


def _texts(grid: Grid, row: Sequence[Cell], bold: str, escape: Callable[[str], str] = str) -> list[str]:
    texts = [escape(cell.text) for cell in row]
    return [bold.format(text) if grid.is_bold(row, i) else text for i, text in enumerate(texts)]


def _markdown_row(texts: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", r"\|") for text in texts) + " |"


def _latex_row(texts: Sequence[str]) -> str:
    return " & ".join(texts) + r" \\"


def _escape(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
