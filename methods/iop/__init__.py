"""IOP-FL (arXiv 2204.08467): what hospitals of the federation predict with, and what that owes to the last epoch."""
