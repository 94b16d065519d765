"""The verdict: which method leads, which ones cannot be told apart from it, and what that rests on."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.comparison import LOCAL
from benchmark.evaluation.merit import DIGITS
from benchmark.evaluation.statistics import FEW_GROUPS
from benchmark.reporting.inputs import MethodInfo, Results
from benchmark.reporting.measure import counted
from benchmark.reporting.tables import too_few
from benchmark.reporting.tested import ClientTests


@dataclass(frozen=True)
class Verdict:
    """What the results say at first sight.

    Attributes:
        leader: The method with the best average rank.
        rank: Its average rank.
        tied: The methods that have the same average rank.
        ranked: Number of ranked methods.
        alike: The methods whose average rank may equal the leader's: the interval of the paired difference holds 0.
        behind: The methods that are reliably worse.
        unknown: The methods that could not be compared with it.
        helped: Clients on which the leader is reliably better than training alone.
        hurt: Those on which it is reliably worse.
        compared: All clients on which the two were compared.
        unsure: Those of them whose difference has no interval.
        too_few: Why there are differences without an interval; empty where no test set is too small.
    """

    leader: MethodInfo
    rank: float
    tied: Sequence[MethodInfo]
    ranked: int
    alike: Sequence[MethodInfo]
    behind: Sequence[MethodInfo]
    unknown: Sequence[MethodInfo]
    helped: int
    hurt: int
    compared: int
    unsure: int
    too_few: str

    @property
    def against_alone(self) -> str:
        """What the leader does to every client, against training alone."""
        said = (
            f"Against training alone, {self.leader.title} reliably helps {self.helped or 'none'} of "
            f"{counted(self.compared, 'client')} and reliably hurts {self.hurt or 'none'}."
        )
        if self.helped + self.hurt < self.compared:
            said += " The others are undecided"
            if self.unsure:
                unsure = "all" if self.unsure == self.compared else self.unsure
                said += f", {unsure} of them because their test sets are too small for an interval"
            said += "."
        if self.unsure < self.compared:
            said += (
                " Here each client is looked at alone: of twenty clients that nothing changes for, one would be "
                "counted by chance."
            )
        return said


def verdict(results: Results) -> Verdict | None:
    """The verdict, from results with their statistics; None where no method has an average rank."""
    ranks = results.overall.dropna()
    ranked = [name for name in results.order if name in ranks]
    if not ranked:
        return None
    leader, *others = ranked
    found = {name: results.difference(leader, name, "average_rank") for name in others}
    known = {name: difference for name, difference in found.items() if difference is not None and difference.sure}
    against = [
        results.difference(leader, LOCAL, "score", federation, client)
        for federation in results.counted
        for client in results.sites(federation)
    ]
    compared = [difference for difference in against if difference is not None]
    signs = [difference.sign for difference in compared]
    methods = results.methods
    return Verdict(
        leader=methods[leader],
        rank=float(ranks[leader]),
        tied=[methods[name] for name in others if round(ranks[name], DIGITS) == round(ranks[leader], DIGITS)],
        ranked=len(ranked),
        alike=[methods[name] for name, difference in known.items() if not difference.apart],
        behind=[methods[name] for name, difference in known.items() if difference.apart],
        unknown=[methods[name] for name in others if name not in known],
        helped=signs.count(1),
        hurt=signs.count(-1),
        compared=len(compared),
        unsure=sum(not difference.sure for difference in compared),
        too_few=too_few(results, results.counted),
    )


def evidence(results: Results, tested: ClientTests) -> list[str]:
    """What the verdict rests on, a sentence for each: how much was tested, how often trained, how small classes are."""
    held = {name: own for name, own in tested.items() if name not in results.comparison.draw_of}
    clients = [one for own in held.values() for one in own.values()]
    parts = [int(n) for one in clients if one.support is not None for n in one.support if n]
    few, seeds = sum(n < FEW_GROUPS for n in parts), results.seeds
    groups = results.groups(results.counted)
    parted = [name for name, own in held.items() if any(one.support is not None for one in own.values())]
    sentences = [
        f"{sum(one.samples for one in clients):,} test images of {sum(one.groups for one in clients):,} {groups},"
        f" at {counted(len(clients), 'client')} of {counted(len(held), 'federation')}.",
        "One seed: what another run of the same training would give is not known."
        if len(seeds) == 1
        else f"{len(seeds)} seeds: every method was trained so often, at every rate.",
    ]
    for federation, own in held.items():
        if cases := sum(one.cases or 0 for one in own.values()):
            sentences.append(
                f"{results.title(federation)}: a score is the mean over a client's test cases, {cases} at all clients."
            )
    for name in results.drawn:
        sentences.append(
            f"{len(results.comparison.draws(name))} draws of the split of {name}, all trained and tested; together they"
            " count as one federation."
        )
    if few:
        sentences.append(
            f"{few} of {len(parts)} classes at a client are tested on fewer than {FEW_GROUPS}"
            f" {results.groups(parted)}: whether one of these is right moves that class's part of the score by more"
            " than a tenth."
        )
    return sentences
