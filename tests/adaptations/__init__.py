"""Adaptations: how a hospital that took no part is served."""
