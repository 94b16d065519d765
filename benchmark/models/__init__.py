"""The frozen backbone and its adapters."""
