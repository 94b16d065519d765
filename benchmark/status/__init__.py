"""How far a campaign is: what `python -m benchmark status` tells, from files alone."""
