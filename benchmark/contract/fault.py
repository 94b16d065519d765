"""What is wrong with a method, as its author reads it."""

from dataclasses import dataclass
from typing import Literal


class ContractError(ValueError):
    """The contract is broken; the message says where, what was expected, and what to do."""


@dataclass(frozen=True)
class Remark:
    """What there is to say of a rule that was not broken.

    Attributes:
        word: `hint`: something to think about. `skipped`: the rule does not apply to this method.
        text: Why.
    """

    word: Literal["hint", "skipped"]
    text: str
