"""What is learned: one module per task."""
