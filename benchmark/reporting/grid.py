"""A table of text: rows of cells with a caption and notes, written as Markdown or LaTeX."""

import re
from collections.abc import Sequence
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

MOST_LINES = 20
"""Rows of a LaTeX table that may have a second line."""
COLUMN = 52
"""About how many small letters, spaces between columns included, a column of a two-column page holds."""

# Letters of a heading's line, where its words are no longer.
_HEADING = 8


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
        *(_markdown_row(_texts(grid, row)) for row in grid.rows),
    ]
    if grid.controls:
        first_text = next(i for i, column in enumerate(grid.columns) if not column.number)
        lines.append(_markdown_row(["*not ranked:*" if i == first_text else "" for i in range(len(grid.columns))]))
        lines += [_markdown_row(_texts(grid, row)) for row in grid.controls]
    return "\n\n".join(["\n".join(lines), grid.caption, *grid.notes]) + "\n"


def latex(grid: Grid, name: str) -> str:
    """The table in LaTeX with the packages booktabs and graphicx.

    It fits a column where it is narrow and the page where it is wide, and is set smaller where it would still run over.
    An interval or a spread stands below its number, in small type; a table of more than `MOST_LINES` rows leaves them
    out.

    Args:
        grid: The table.
        name: Its label is `tab:NAME`.

    Returns:
        A float.
    """
    stacked = len(grid.rows) + len(grid.controls) <= MOST_LINES
    ranked, controls = ([_latex_row(grid, row, stacked) for row in rows] for rows in (grid.rows, grid.controls))
    float_ = "table*" if sum(_width(grid, column) for column in range(len(grid.columns))) > COLUMN else "table"
    notes = [*grid.notes, *([] if stacked else ["Intervals and spreads stand in the table's CSV file."])]
    return "\n".join(
        [
            rf"\begin{{{float_}}}",
            r"\centering\sloppy",
            rf"\caption{{{_escape(grid.caption)}}}",
            rf"\label{{tab:{name}}}",
            r"\footnotesize\setlength{\tabcolsep}{3.5pt}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{''.join('r' if column.number else 'l' for column in grid.columns)}}}",
            r"\toprule",
            " & ".join(map(_heading, grid.columns)) + r" \\",
            r"\midrule",
            *ranked,
            *([r"\midrule", *controls] if controls else []),
            r"\bottomrule",
            r"\end{tabular}}",
            *(rf"\par\raggedright {_escape(note)}" for note in notes),
            rf"\end{{{float_}}}",
            "",
        ]
    )


def _heading(column: Column) -> str:
    """A heading in lines as short as its longest word, or as `_HEADING` letters; a name may break behind a low line."""
    words = re.findall(r"[^ _]*_| *[^ _]+", column.head)
    room, lines = max([_HEADING, *(len(word.strip()) for word in words)]), [""]
    for word in words:
        if len((lines[-1] + word).strip()) > room:
            lines.append("")
        lines[-1] += word
    lines = [line.strip() for line in lines]
    if len(lines) == 1:
        return _escape(column.head)
    side, text = "r" if column.number else "l", r"\\".join(map(_escape, lines))
    return rf"\begin{{tabular}}[b]{{@{{}}{side}@{{}}}}{text}\end{{tabular}}"


def _apart(text: str) -> tuple[str, str]:
    """A number, and the spread or interval that follows it: `0.726` and `± 0.010 (0.700 to 0.751)`."""
    found = re.fullmatch(r"(\S+)( ± [^ ]+)?( \([^)]* to [^)]*\))?", text)
    return (found[1], (found[2] or "") + (found[3] or "")) if found else (text, "")


def _width(grid: Grid, column: int) -> int:
    """About how many letters wide a column is, with the space beside it."""
    texts = [part for row in (*grid.rows, *grid.controls) for part in _apart(row[column].text)]
    return max(map(len, texts), default=0) + 2


def _latex_row(grid: Grid, row: Sequence[Cell], stacked: bool) -> str:
    """A row, and below it one of spreads and intervals where there are any."""
    parts = [_apart(cell.text) for cell in row]
    numbers = [_escape(number) for number, _ in parts]
    bold = [rf"\textbf{{{text}}}" if grid.is_bold(row, i) else text for i, text in enumerate(numbers)]
    spreads = [rf"{{\tiny {_escape(spread.strip())}}}" if spread else "" for _, spread in parts]
    lines = [bold, *([spreads] if stacked and any(spreads) else [])]
    return "\n".join(" & ".join(texts) + r" \\" for texts in lines)


def _texts(grid: Grid, row: Sequence[Cell]) -> list[str]:
    return [f"**{cell.text}**" if grid.is_bold(row, i) else cell.text for i, cell in enumerate(row)]


def _markdown_row(texts: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", r"\|") for text in texts) + " |"


def _escape(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
