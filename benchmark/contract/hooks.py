"""What hooks must return and leave alone, each called by hand."""

from benchmark.contract.fault import ContractError
from benchmark.contract.trial import Trial


def hooks_return_what_they_should(trial: Trial) -> None:
    """Leaves, memory and messages have their names, shapes and dtypes; a loss is a finite scalar."""
    _ = trial.calls


def hooks_change_no_argument(trial: Trial) -> None:
    """Hooks are pure functions: what they are given belongs to the engine."""
    if trial.calls.changed:
        raise ContractError(trial.calls.changed[0])


def the_loss_depends_on_what_is_trained(trial: Trial) -> None:
    """A pass that trains an adapter uses it: an adapter without weight gets no gradient."""
    if trial.calls.unused:
        raise ContractError(trial.calls.unused[0])
