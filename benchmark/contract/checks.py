"""All checks of the contract, by name and in order."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from benchmark.contract import exported, hooks, repeats, rounds, written
from benchmark.contract.fault import ContractError, Remark
from benchmark.contract.trial import Trial
from benchmark.federation import fault


@dataclass(frozen=True)
class Check:
    """One thing that a method must keep.

    Attributes:
        name: As a person reads it.
        run: Raises where it is not kept; may have a remark where it is.
        needed: Whether the checks that follow cannot be run where this one fails.
    """

    name: str
    run: Callable[[Trial], Remark | None]
    needed: bool = False


CHECKS = (
    Check("says what it is", written.says_what_it_is),
    Check("imports the contract alone", written.imports_the_contract_alone),
    Check("its functions are hooks", written.its_functions_are_hooks),
    Check("fits in 40 lines", written.fits_in_forty_lines),
    Check("hooks return what they should", hooks.hooks_return_what_they_should, needed=True),
    Check("hooks change no argument", hooks.hooks_change_no_argument),
    Check("the loss depends on what is trained", hooks.the_loss_depends_on_what_is_trained, needed=True),
    Check("two rounds run", rounds.two_rounds_run, needed=True),
    Check("trained leaves change, others stay", rounds.trained_leaves_change_and_others_stay),
    Check("shared leaves are equal, personal ones untouched", rounds.shared_leaves_are_equal_personal_ones_untouched),
    Check("memory and messages keep their shapes", rounds.memory_and_messages_keep_their_shapes),
    Check("the backbone stays frozen", rounds.the_backbone_stays_frozen),
    Check("a second run is equal to the bit", repeats.a_second_run_is_equal_to_the_bit),
    Check("an interrupted run equals an uninterrupted one", repeats.an_interrupted_run_equals_an_uninterrupted_one),
    Check("a lane alone equals the lane beside others", repeats.a_lane_alone_equals_the_lane_beside_others),
    Check("a lane that diverges disturbs no other", repeats.a_lane_that_diverges_disturbs_no_other),
    Check("the order of clients does not matter", repeats.the_order_of_clients_does_not_matter),
    Check("PEFT loads what is deployed", exported.peft_loads_what_is_deployed),
)


class Outcome(NamedTuple):
    """What a check found.

    Attributes:
        check: Its name.
        word: What is printed before it.
        text: What there is to say.
    """

    check: str
    word: Literal["ok", "hint", "skipped", "not run", "FAILED"]
    text: str = ""


def outcomes(trial: Trial) -> Iterator[Outcome]:
    """Run all checks, one after the other.

    Args:
        trial: The method.

    Yields:
        What each found, as soon as it has.
    """
    missing = ""
    for check in CHECKS:
        if missing:
            yield Outcome(check.name, "not run", f"needs: {missing}")
            continue
        try:
            remark = check.run(trial)
        except ContractError as error:
            found = Outcome(check.name, "FAILED", str(error))
        except Exception as error:  # A hook may raise anything.
            found = Outcome(check.name, "FAILED", fault.report(error, trial.path))
        else:
            found = Outcome(check.name, remark.word, remark.text) if remark else Outcome(check.name, "ok")
        if found.word == "FAILED" and check.needed:
            missing = check.name
        yield found
