"""The plain path: Hugging Face PEFT, torch's SGD and Python loops, one run at a time.

Written from the papers, to be read beside them, and to say whether the engine is right. It shares with the engine the
keyed random draws and the augmentation, so that both see the same numbers, and nothing else.
"""
