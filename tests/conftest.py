"""What all tests have in common."""

import torch

# On shared cores, threads that wait for each other make small models ten times slower.
torch.set_num_threads(1)
