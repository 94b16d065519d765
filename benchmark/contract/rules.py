"""All rules of the contract, by name and in order."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from benchmark.contract import another, exported, hooks, repeats, rounds, written
from benchmark.contract.fault import ContractError, Remark
from benchmark.contract.trial import Trial
from benchmark.federation import fault

if TYPE_CHECKING:
    from benchmark.contract.adaptation import Serving


@dataclass(frozen=True)
class Rule:
    """One thing that a method must keep, or an adaptation.

    Attributes:
        name: As a person reads it.
        run: Raises where it is not kept; may have a remark where it is.
        needed: whether the rules that follow cannot be run where this one fails.
    """

    name: str
    run: Callable[[Any], Remark | None]
    needed: bool = False


RULES = (
    Rule("says what it is", written.says_what_it_is),
    Rule("imports the contract alone", written.imports_the_contract_alone),
    Rule("its names are the contract's", written.its_names_are_the_contracts),
    Rule("fits in 40 lines", written.fits_in_forty_lines),
    Rule("hooks return what they should", hooks.hooks_return_what_they_should, needed=True),
    Rule("hooks change no argument", hooks.hooks_change_no_argument),
    Rule("the loss depends on what is trained", hooks.the_loss_depends_on_what_is_trained, needed=True),
    Rule("two rounds run", rounds.two_rounds_run, needed=True),
    Rule("trained leaves change, others stay", rounds.trained_leaves_change_and_others_stay),
    Rule("shared leaves are equal, personal ones untouched", rounds.shared_leaves_are_equal_personal_ones_untouched),
    Rule("trains as no other method does", another.trains_as_no_other_method_does),
    Rule("memory and messages keep their shapes", rounds.memory_and_messages_keep_their_shapes),
    Rule("the backbone stays frozen", rounds.the_backbone_stays_frozen),
    Rule("a second run is equal to the bit", repeats.a_second_run_is_equal_to_the_bit),
    Rule("an interrupted run equals an uninterrupted one", repeats.an_interrupted_run_equals_an_uninterrupted_one),
    Rule("a lane alone equals the lane beside others", repeats.a_lane_alone_equals_the_lane_beside_others),
    Rule("a lane that diverges disturbs no other", repeats.a_lane_that_diverges_disturbs_no_other),
    Rule("the order of clients does not matter", repeats.the_order_of_clients_does_not_matter),
    Rule("PEFT loads what is deployed", exported.peft_loads_what_is_deployed),
)


class Outcome(NamedTuple):
    """What became of a rule.

    Attributes:
        rule: Its name.
        word: What is printed before it.
        text: What there is to say.
    """

    rule: str
    word: Literal["ok", "hint", "skipped", "FAILED"]
    text: str = ""


def outcomes(trial: "Trial | Serving", rules: Sequence[Rule] = RULES) -> Iterator[Outcome]:
    """Try all rules, one after the other, up to one that is broken and that all others need.

    Yields what each found, as soon as it has.
    """
    for rule in rules:
        try:
            remark = rule.run(trial)
        except ContractError as error:
            found = Outcome(rule.name, "FAILED", str(error))
        except Exception as error:  # A hook may raise anything.
            found = Outcome(rule.name, "FAILED", fault.report(error, trial.path))
        else:
            found = Outcome(rule.name, remark.word, remark.text) if remark else Outcome(rule.name, "ok")
        yield found
        if found.word == "FAILED" and rule.needed:
            return
