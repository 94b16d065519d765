"""A lane's name in the store: a hash of everything that determines its result.

The number of rounds does not, so that more rounds continue from the last checkpoint; but where the learning rate
follows a schedule over all rounds, it does. `docs/store.md` says of every field why it counts.
"""

import json
from collections.abc import Mapping, Sequence

from benchmark import provenance
from benchmark.config import TrainingJob
from benchmark.federation.client import Lane
from benchmark.files import digest

LABELS = {"federation", "method", "variant", "clients", "rates", "seeds", "rounds"}
"""Excluded from the key: labels, and lists of which a lane uses one entry."""
PACKAGES = ("torch", "timm")
"""What computes, besides the project's own files."""


def key(settings: TrainingJob, clients: Sequence[str], hashes: Mapping[str, str], lane: Lane) -> str:
    """The key of a lane, in hexadecimal.

    `clients` are those that take part, whether the configuration names them or not; `hashes` those of `Job.hashes`.
    """
    decides = json.loads(settings.model_dump_json(exclude=LABELS))
    versions = {name: version.partition("+")[0] for name, version in provenance.versions().items() if name in PACKAGES}
    optimiser = settings.training.optimiser
    rounds = settings.rounds if optimiser.scheduled and not optimiser.decay_rounds else None
    return digest([decides, sorted(clients), dict(hashes), float(lane.rate), lane.seed, versions, rounds])
