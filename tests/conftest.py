"""What all tests have in common."""

import torch
from hypothesis import settings

# On shared cores, threads that wait for each other make small models ten times slower.
torch.set_num_threads(1)

# Examples are the same in every run, nothing is written beside the sources, and a busy machine fails no test.
settings.register_profile("suite", database=None, deadline=None, derandomize=True)
settings.load_profile("suite")
