"""What a reader sees: tables, figures, the leaderboard and the report, all made from files alone."""
