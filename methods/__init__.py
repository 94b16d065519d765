"""One file, one published method, one row of the leaderboard."""
