"""One file, one method, one row of the leaderboard.

A folder is a group that a configuration names as a whole. Files of one's own stand here, in no group, and always run.
"""
