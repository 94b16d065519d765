"""The engine: rounds, lanes, local training, the server, the store."""
