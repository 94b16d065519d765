"""A finished comparison as one folder or archive that others can check: `publish` writes it, `verify` reads it."""
