"""The commands of `python -m benchmark`: one module each, with `add`, which names its arguments and what runs it."""
