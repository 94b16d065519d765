"""What the author of a broken method reads: one fault in every hook, and the message that names it."""

import re
from pathlib import Path

import pytest

from benchmark.__main__ import main
from benchmark.contract.rules import RULES, Outcome, outcomes
from benchmark.contract.trial import Trial
from benchmark.contract.written import significant_lines

SOUND = '''"""Mine."""

from dataclasses import dataclass

import numpy as np
import torch

from benchmark.method import Method, Phase, mean_over_clients, part


class Mine(Method):
    """FedAvg of one adapter beside a personal one."""

    title = "Mine"
    paper = "none"
    adapters = ("global", "personal")
'''
HOOKS = [c.name for c in RULES if c.name.startswith("hooks")]
RETURNED, CHANGED = HOOKS
ROUNDS, PASSES = "two rounds run", "the loss depends on what is trained"


def written(folder: Path, hook: str, sound: str = SOUND) -> Path:
    """The file of a sound method with one hook more."""
    path = folder / "mine.py"
    body = "\n".join(f"    {line}" if line else "" for line in hook.splitlines())
    path.write_text(f"{sound}\n{body}\n")
    return path


def failures(path: Path) -> list[Outcome]:
    """The rules that are broken."""
    return [found for found in outcomes(Trial(path, {})) if found.word == "FAILED"]


def assert_first_failure(path: Path, rule: str, said: str) -> None:
    """The first rule that is broken is this one; the last line of its message is this."""
    found = next(outcome for outcome in outcomes(Trial(path, {})) if outcome.word == "FAILED")
    assert found.rule == rule, found.text
    last = found.text.splitlines()[-1]
    assert re.search(said, last), last
    assert last.startswith(str(path))


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        (
            "def memory(self, params):\n    return {'way': 0.0}",
            r"mine.py:18: memory\(\) returned float '0.0' for 'way'; expected a tensor: `torch.zeros_like",
        ),
        (
            "def memory(self, params):\n    return {n: leaf for n, leaf in params.items()}\n"
            "def after(self, params, start, memory, gradients):\n    return {'more': params['head/bias']}",
            r"mine.py:20: after\(\) returned nothing for memory 'global/blocks.0.attn.q.A'; expected "
            r"\(4, 48\) float64: return the whole memory",
        ),
        ("def phases(self, round):\n    return []", r"phases\(\) returned no pass for round 0; expected at least one"),
        (
            "def phases(self, round):\n    return [Phase(trains=part('mine'))]",
            r"phases\(\) returned a pass that trains no leaf; .* the parts global, personal, head",
        ),
        (
            "def phases(self, round):\n    return [Phase(mix={'own': 1.0})]",
            r"phases\(\), a Phase's `mix` returned {'own': 1.0}; expected weights by name, of global, personal, head",
        ),
        (
            "def loss(self, batch, params, start, memory):\n    return batch(params).prediction.mean(1)",
            r"loss\(\) returned \(4,\) float64; expected a scalar",
        ),
        (
            "def loss(self, batch, params, start, memory):\n    return (batch(params).prediction * 0 - 1).log().mean()",
            r"loss\(\) returned nan \(client north\); expected a finite number",
        ),
        (
            "def upload(self, params, memory):\n    return {'head/bias': params['head/bias']}",
            r"upload\(\) returned 'head/bias', the name of a leaf; expected names that no leaf has",
        ),
        (
            "def upload(self, params, memory):\n    return {'way': params['head/bias']}",
            r"server\(\) returned \(4,\) float64 for leaf 'way'; expected nothing: define `download`",
        ),
        (
            "def server(self, sent, start, weights):\n    return {n: leaf * 2 for n, leaf in sent.items()}",
            r"mine.py:18: server\(\) returned \(3, 4, 48\) float64 for leaf 'global/blocks.0.attn.q.A'; "
            r"expected \(4, 48\) float64: what every client receives, without the clients' dimension 0",
        ),
        (
            "def server(self, sent, start, weights):\n    mean = mean_over_clients(sent, weights)\n"
            "    return {n: leaf for n, leaf in mean.items() if n != 'head/bias'}",
            r"server\(\) returned nothing for leaf 'head/bias'; expected \(4,\) float64",
        ),
        (
            "def measure(self, sent, start, weights, received):\n    return {'share': weights}",
            r"mine.py:18: measure\(\) returned \(3,\) float64 for 'share'; expected a scalar: reduce it",
        ),
        (
            "def after(self, params, start, memory):\n    return memory",
            r"after\(\) takes \(params, start, memory\); expected the arguments \(params, start, memory, gradients\)",
        ),
        (
            "def download(self, received, params, memory, fresh):\n    return dict(received)",
            r"download\(\) returned dict .*; expected two dicts: the leaves that change, and the whole memory",
        ),
        (
            "def download(self, received, params, memory, fresh):\n    return {'x': params['head/bias']}, memory",
            r"download\(\) returned \(4,\) float64 for leaf 'x'; expected nothing",
        ),
        (
            "def deployed(self, params, memory):\n    return {n: x for n, x in params.items() if n != 'head/bias'}",
            r"deployed\(\) returned nothing for leaf 'head/bias'; expected \(4,\) float64: return every leaf",
        ),
        (
            "def mix(self, params):\n    return {'local': 1.0}",
            r"mix\(\) returned {'local': 1.0}; expected weights by name",
        ),
        (
            "def predict(self, batch, support, params):\n    return batch(params).features",
            r"predict\(\) returned \(4, 48\) float64; expected shape \(4, 4\)",
        ),
        (
            "def loss(self, batch, params, start, memory):\n"
            "    return batch(params).prediction.mean() + 1 / len(memory)",
            r"mine.py:19: in loss\(\) \(client north\): ZeroDivisionError: division by zero",
        ),
    ],
)
def test_what_a_hook_returns_wrongly_is_named(tmp_path: Path, hook: str, said: str) -> None:
    """File, line, hook, leaf; what it is, what it should be, and what to do."""
    assert_first_failure(written(tmp_path, hook), RETURNED, said)


@pytest.mark.parametrize(
    ("hook", "rule", "said"),
    [
        (
            "def server(self, sent, start, weights):\n    sent['head/bias'].mul_(2)\n"
            "    return mean_over_clients(sent, weights)",
            CHANGED,
            r"server\(\) changed 'head/bias' of its argument `sent`; expected the arguments to stay: make a new tensor",
        ),
        (
            "def deployed(self, params, memory):\n    params['head/bias'] += 1\n    return params",
            CHANGED,
            r"deployed\(\) changed 'head/bias' of its argument `params`",
        ),
        (
            "def mix(self, params):\n    return {'global': 1.0}",
            PASSES,
            r"a pass trains leaf 'personal/blocks.0.attn.q.A', and the loss does not depend on it; give its part",
        ),
        (
            "def loss(self, batch, params, start, memory):\n    loss = batch.task_loss(batch(params))\n"
            "    return loss * loss.item()",
            ROUNDS,
            r"mine.py:20: in loss\(\) \(client north, round 1\): .*keep tensors, without `.item\(\)`",
        ),
        (
            "def loss(self, batch, params, start, memory):\n    loss = batch.task_loss(batch(params))\n"
            "    return loss if loss < 9 else 9 * loss",
            ROUNDS,
            r"mine.py:20: in loss\(\) \(client north, round 1\): .*`torch.where\(condition, a, b\)` instead of `if`",
        ),
        (
            "def server(self, sent, start, weights):\n    mean = mean_over_clients(sent, weights)\n"
            "    return {n: leaf + torch.randn_like(leaf) for n, leaf in mean.items()}",
            ROUNDS,
            r"mine.py:20: in server\(\) \(all clients, round 1\): .*called random operation.*every draw is keyed",
        ),
        (
            "def server(self, sent, start, weights):\n    mean = mean_over_clients(sent, weights)\n"
            "    return {n: leaf / start[n].any() for n, leaf in mean.items()}",
            ROUNDS,
            r"is not finite after round 1, at the rate 1e-1; expected numbers: look for a division by zero",
        ),
    ],
)
def test_what_cannot_be_trained_is_named(tmp_path: Path, hook: str, rule: str, said: str) -> None:
    """What only shows when leaves are compared, or when hooks are mapped over lanes."""
    assert_first_failure(written(tmp_path, hook), rule, said)


@pytest.mark.parametrize(
    ("hook", "rule", "said"),
    [
        (
            "def server(self, sent, start, weights):\n    mean = mean_over_clients(sent, weights)\n"
            "    return {n: leaf + 1e-3 * np.random.rand() for n, leaf in mean.items()}",
            "a second run is equal to the bit",
            r"a second run differs, most in '.*' of client .*; expected equality to the bit: draw no random numbers",
        ),
        (
            "def server(self, sent, start, weights):\n    return {n: leaf[0] for n, leaf in sent.items()}",
            "the order of clients does not matter",
            r"mine.py:18: server\(\): with the clients in another order results differ",
        ),
        (
            "def download(self, received, params, memory, fresh):\n"
            "    return {n: (leaf + params[n]) / 2 for n, leaf in received.items()}, memory",
            "shared leaves are equal, personal ones untouched",
            r"mine.py:18: download\(\): shared leaf '.*' of client .* is not that of client north after a round",
        ),
        (
            "def predict(self, batch, support, params):\n    return batch(params).prediction.nan_to_num()",
            "a lane that diverges disturbs no other",
            r"predict\(\): loss of client north is .* expected NaN for that lane alone",
        ),
        (
            "count = 0\ndef phases(self, round):\n    type(self).count += 1\n"
            "    return [Phase(epochs=1 + (type(self).count > 8))]",
            "an interrupted run equals an uninterrupted one",
            r"a run that goes on from a checkpoint differs|a second run differs",
        ),
    ],
)
def test_what_breaks_the_comparison_of_methods_is_named(tmp_path: Path, hook: str, rule: str, said: str) -> None:
    """Such a method trains, and its row would be no result."""
    found = {outcome.rule: outcome.text for outcome in failures(written(tmp_path, hook))}
    assert rule in found, found
    assert re.search(said, found[rule].splitlines()[-1]), found[rule]


def test_one_lane_cannot_be_reached_from_another(tmp_path: Path) -> None:
    """A hook that takes a mean over all it sees, sees its own lane alone."""
    mean = "batch.task_loss(batch(params)) + params['head/bias'].mean()"
    hook = f"def loss(self, batch, params, start, memory):\n    return {mean}"
    assert failures(written(tmp_path, hook)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('    title = "Mine"\n', ""), r"mine.py: Mine needs `title`, a text$"),
        (
            ('    """FedAvg of one adapter beside a personal one."""\n\n    title = "Mine"\n    paper = "none"\n', ""),
            r"mine.py: Mine needs `title`, a text; `paper`, a text; a docstring, one line that says what it does$",
        ),
        (("Method, Phase", "Method Phase"), r"mine.py:8: while it was loaded: SyntaxError"),
        (("class Mine(Method)", "class Mine"), r"exactly one subclass of Method; this one defines none"),
        (("import numpy as np", "import numpi as np"), r"mine.py:5: while it was loaded: ModuleNotFoundError"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_one_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: tuple[str, str], said: str
) -> None:
    path = written(tmp_path, "", SOUND.replace(*change))
    assert main(["check", str(path)]) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("FAILED   the file can be loaded")
    assert re.search(said, printed.splitlines()[-1])


def test_another_import_is_named_with_its_line(tmp_path: Path) -> None:
    sound = SOUND.replace("import numpy as np", "from benchmark.federation.engine import Engine")
    assert_first_failure(
        written(tmp_path, "", sound),
        "imports the contract alone",
        r"mine.py:5: imports benchmark.federation.engine; expected nothing of this project but benchmark.method",
    )


NAMES = "its names are the contract's"


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        ("def los(self, batch, params, start, memory):\n    return 0", r"mine.py:18: los\(\) .*; expected loss\(\)"),
        ("def serve(self, sent, start, weights):\n    return sent", r"mine.py:18: serve\(\) .*; expected server\(\)"),
        ("def Phases(self, round):\n    return []", r"mine.py:18: Phases\(\) .*; expected phases\(\)"),
        ("scalar = {'alpha': 0.5}", r"mine.py: `scalar` .*; expected `scalars`: mend the name, or begin it with an"),
    ],
)
def test_a_mistyped_name_fails(tmp_path: Path, hook: str, said: str) -> None:
    """It would train, and without what its author wrote."""
    found = {outcome.rule: outcome for outcome in outcomes(Trial(written(tmp_path, hook), {}))}[NAMES]
    assert found.word == "FAILED"
    assert re.search(said, found.text)


def test_all_mistyped_names_are_said_at_once(tmp_path: Path) -> None:
    hook = "scalar = {'alpha': 0.5}\ndef los(self, batch, params, start, memory):\n    return 0"
    found = {outcome.rule: outcome for outcome in outcomes(Trial(written(tmp_path, hook), {}))}[NAMES]
    assert len(found.text.splitlines()) == 2


def test_a_helper_is_a_hint(tmp_path: Path) -> None:
    trial = Trial(written(tmp_path, "def squeezed(self, leaf):\n    return leaf.squeeze()"), {})
    found = {outcome.rule: outcome for outcome in outcomes(trial)}[NAMES]
    assert found.word == "hint"
    assert re.search(r"mine.py:18: squeezed\(\) is not in the contract: .*; begin helpers with an under", found.text)


OWN = "trains as no other method does"


@pytest.mark.parametrize(
    ("hook", "name"),
    [
        ("def los(self, batch, params, start, memory):\n    return 0 * batch.task_loss(batch(params))", "fedit"),
        ("def shared(self, leaf):\n    return leaf.part == 'Global'\nhead = 'personal'", "local"),
    ],
)
def test_a_method_that_trains_as_another_fails(tmp_path: Path, hook: str, name: str) -> None:
    """A hook that nothing calls leaves FedAvg; a part that there is not leaves every client alone."""
    sound = SOUND.replace('    adapters = ("global", "personal")\n', "")
    found = {outcome.rule: outcome.text for outcome in failures(written(tmp_path, hook, sound))}[OWN]
    assert re.fullmatch(
        rf".*mine.py: trains exactly as {name} \([\w ]+\): after 6 rounds every client predicts the same; expected a "
        r"row of its own: write the hook in which it differs, or give its settings other values",
        found,
    )


LEARNS_FROM_WHAT_IT_RECEIVES = '''"""A client learns how much of what it receives it takes over."""

from benchmark.method import Method, Phase, part


class Blended(Method):
    """Received and held leaves are blended with a trained weight, one round late (after arXiv 2212.01197, eq. 4)."""

    title = "Blended"
    paper = "none"
    scalars = {"blend": 1.0}
    head = "personal"

    def shared(self, leaf):
        return False

    def memory(self, params):
        return {f"{age}/{n}": p for age in ("held", "got", "newest") for n, p in params.items() if n != "blend"}

    def upload(self, params, memory):
        return {f"sent/{n}": p for n, p in params.items() if n != "blend"}

    def phases(self, round):
        return [Phase(trains=part("blend")), Phase(trains=part("global", "head"))]

    def loss(self, batch, params, start, memory):
        held = {n: memory[f"held/{n}"] for n in params if n != "blend"}
        blended = {n: own + params["blend"] * (memory[f"got/{n}"] - own) for n, own in held.items()}
        return batch.task_loss(batch(params)) + batch.task_loss(batch({**params, **blended}))

    def download(self, received, params, memory, fresh):
        names = [n for n in params if n != "blend"]
        new = {n: params[n] + params["blend"] * (received[f"sent/{n}"] - params[n]) for n in names}
        aged = {f"got/{n}": memory[f"newest/{n}"] for n in names} | {f"held/{n}": params[n] for n in names}
        late = {name: new if name.startswith("got/") else memory[name] for name, new in aged.items()}
        return new, {**memory, **late, **{f"newest/{n}": received[f"sent/{n}"] for n in names}}
'''


def test_a_method_that_learns_from_what_it_receives_has_rounds_enough(tmp_path: Path) -> None:
    """In two rounds what it has received equals what it holds, so its weight has no gradient; later it moves."""
    path = tmp_path / "blended.py"
    path.write_text(LEARNS_FROM_WHAT_IT_RECEIVES)
    trial = Trial(path, {})
    start, two = (trial.trained.states[n].params["blend"] for n in (0, 2))
    assert (start == two).all(), "else two rounds were enough, and this test shows nothing"
    assert [outcome for outcome in outcomes(trial) if outcome.word in ("hint", "FAILED")] == []


def test_a_name_that_no_leaf_has_is_answered_with_those_that_leaves_have(tmp_path: Path) -> None:
    hook = "def after(self, params, start, memory, gradients):\n    return {'x': params['head.weight']}"
    (found,) = failures(written(tmp_path, hook))
    assert found.text.splitlines()[-1] == (
        f"{tmp_path / 'mine.py'}:19: in after(): KeyError: 'head.weight'; did you mean 'head/weight'? there are "
        "global/blocks.N.attn.q.A, global/blocks.N.attn.q.B, global/blocks.N.attn.v.A, global/blocks.N.attn.v.B, "
        "head/bias, head/weight, personal/blocks.N.attn.q.A, personal/blocks.N.attn.q.B, personal/blocks.N.attn.v.A, "
        "personal/blocks.N.attn.v.B"
    )


def test_what_is_not_run_is_one_line_after_what_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(written(tmp_path, "def phases(self, round):\n    return []"))]) == 1
    lines = capsys.readouterr().out.splitlines()
    failed = next(number for number, line in enumerate(lines) if line.startswith("FAILED"))
    left = len(RULES) - 1 - [rule.name for rule in RULES].index(RETURNED)
    assert lines[failed + 2 :] == [f"not run  {left} more rules, which need: {RETURNED}", "", "1 failed"]


def test_a_sound_method_passes_and_its_summary_says_what_it_costs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for every rule; two adapters train 1 + 1536 / 1732 times as much as one, and send as much."""
    assert main(["check", str(written(tmp_path, ""))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("ok ")] == [f"ok       {rule.name}" for rule in RULES]
    assert "trains  3,268 numbers (1.89 x FedAvg of one adapter)" in lines
    assert "sends   13.9 kB (1.00 x) per round and client" in lines
    assert "personal  8       1,536    yes      no" in lines
    assert "leaves  global/blocks.N.attn.q.A (4, 48)" in lines
    assert "        head/bias (4,)" in lines


def test_settings_are_those_of_the_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown one is an error that lists the known ones; one without a value says how to write it."""
    path = written(tmp_path, "mu: float = 0.5", SOUND.replace("class Mine", "@dataclass(frozen=True)\nclass Mine"))
    assert main(["check", str(path), "--settings", "nu=1"]) == 1
    assert "Mine has no setting nu; allowed: mu" in capsys.readouterr().out
    assert main(["check", str(path), "--settings", "mu"]) == 1
    assert "expected KEY=VALUE" in capsys.readouterr().out


def test_lines_of_code_are_counted_without_comments_and_documentation() -> None:
    """An import, the head of a class, and one expression of two lines."""
    text = (
        '"""A file."""\n\nimport x\n\n\nclass A:  # Why.\n    """One.\n    Two."""\n\n    # Here.\n    y = (\n    1)\n'
    )
    assert significant_lines(text) == 4
