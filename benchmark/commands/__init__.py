"""The commands of `python -m benchmark`: one module each, whose function is the command."""
