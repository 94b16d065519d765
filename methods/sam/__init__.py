"""FLAP-SAM's rows (arXiv 2407.21739): which parts of the Segment Anything model hospitals train and send."""
