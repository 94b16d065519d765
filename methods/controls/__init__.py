"""What the others are compared with, shown and not ranked: each hospital alone, all data in one place, heads alone."""
