"""The seams: a task and a network of which nothing else in the project knows, each in one file."""
