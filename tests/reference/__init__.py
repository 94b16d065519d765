"""The plain path: Hugging Face PEFT, torch's SGD and Python loops, one run at a time.

Written from the papers, to be read beside them, and to say whether the engine is right. It shares no code with the
engine, and imports nothing of it. What the engine drew at random is read from it: initial leaves, and of every batch
which images it holds and the five numbers by which each is changed. What is made of them (scaling of pixels,
augmentation, batches that show every image once in an epoch) is computed, or checked, here.
"""
