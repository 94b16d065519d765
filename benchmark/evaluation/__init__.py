"""From runs to scores: selection, test predictions, metrics, ranks, checks."""
