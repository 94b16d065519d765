"""What a method's file must say, and must not."""

import ast
import dataclasses
import difflib
import inspect
import io
import sys
import tokenize
from pathlib import Path

from benchmark.contract.fault import ContractError, Remark
from benchmark.contract.trial import Trial
from benchmark.method import Method

LINES = 40
"""Most lines of code that a published method takes, without comments, documentation and empty lines."""
NEAR = 0.75
"""How much of two names must be equal for one to be the other, mistyped: `los` and `loss` have 0.86 in common."""
PROJECT = {"benchmark", "methods", "adaptations", "tests", ""}
"""First names of this project's modules; the empty one is that of a relative import."""
_LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def says_what_it_is(trial: Trial) -> None:
    """Title and paper for the tables; one line of documentation for the file and for the class."""
    cls = type(trial.engine.model.method)
    for attribute in ("title", "paper"):
        if not getattr(cls, attribute).strip():
            raise ContractError(
                f"{trial.path}: `{attribute}` of {cls.__name__} is empty; expected a text for the tables"
            )
    for what, documentation in (("the file", sys.modules[cls.__module__].__doc__), (cls.__name__, cls.__doc__)):
        first = (documentation or "").strip().partition("\n")[0].strip()
        if not first.endswith(".") or documentation == Method.__doc__:
            raise ContractError(
                f"{trial.path}: the docstring of {what} begins with {first!r}; expected one line that says what the "
                "method does, with a full stop"
            )


def its_names_are_the_contracts(trial: Trial) -> Remark | None:
    """A public function or attribute that the contract does not have is never asked for: mostly, it is mistyped."""
    cls = type(trial.engine.model.method)
    settings: set[str] = {f.name for f in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()
    own = {name: value for name, value in vars(cls).items() if not name.startswith("_") and name not in settings}
    known = [name for name in (*vars(Method), *Method.__annotations__) if not name.startswith("_")]
    mistyped, strange = [], []
    for name, value in own.items():
        if name in known:
            continue
        function = inspect.isfunction(value)
        place = f"{trial.path}:{inspect.getsourcelines(value)[1]}: {name}()" if function else f"{trial.path}: `{name}`"
        alike = [other for other in known if inspect.isfunction(vars(Method).get(other)) == function]
        if near := difflib.get_close_matches(name.lower(), alike, 1, NEAR):
            meant = f"{near[0]}()" if function else f"`{near[0]}`"
            mistyped.append(
                f"{place} is not in the contract, and nothing asks for it; expected {meant}: mend the name, or begin "
                "it with an underscore if it is your own"
            )
        strange.append(f"{place} is not in the contract: nothing else asks for it; begin helpers with an underscore")
    if mistyped:
        raise ContractError("\n".join(mistyped))
    return Remark("hint", "\n".join(strange)) if strange else None


def imports_the_contract_alone(trial: Trial) -> None:
    """A method's file stands alone: it cannot reach into the engine, nor into another method."""
    imports_alone(trial.path, "benchmark.method")


def imports_alone(path: Path, contract: str) -> None:
    """Whether a file imports nothing of this project but the module that is its contract; a ContractError where not."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [f"{'.' * node.level}{node.module or ''}"]
        else:
            continue
        for module in modules:
            if module.partition(".")[0] in PROJECT and module != contract:
                raise ContractError(
                    f"{path}:{node.lineno}: imports {module}; expected nothing of this project but {contract}: what is "
                    "needed is there, or stands in its own file"
                )


def fits_in_forty_lines(trial: Trial) -> Remark | None:
    """Lines that say something; a limit for published methods, a hint for others."""
    return fits(trial.path, "benchmark/method.py")


def fits(path: Path, contract: str) -> Remark | None:
    """A hint where a file has more than `LINES` lines of code; the contract's file has the defaults."""
    found = significant_lines(path.read_text(encoding="utf-8"))
    if found <= LINES:
        return None
    return Remark(
        "hint",
        f"{path}: {found} lines of code; what is published here has at most {LINES}: what the defaults of {contract} "
        "do need not be written",
    )


def significant_lines(text: str) -> int:
    """Lines of code of a Python file, without comments, docstrings and empty lines."""
    documentation = {
        number
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    code = {
        number
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in _LAYOUT
        for number in range(token.start[0], token.end[0] + 1)
    }
    return len(code - documentation)
