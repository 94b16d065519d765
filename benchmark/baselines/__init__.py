"""Rows of the leaderboard that are kept with the project, and taken again instead of being trained."""
