"""Published values, which no job makes: they stand beside ours in tables.

Their CSV file has the columns federation, method, quantity, value and source, each value as it is printed. Quantities:

* `mean`, `average_rank`: cells of a federation's table;
* `client:ID`: a note under it, and no cell: papers number clients in their own ways;
* `communication`: a cell of the table of communication, FLAP-SAM's "GB".
"""

from pathlib import Path

import pandas as pd

COMMUNICATION = "communication"


def read_published(path: Path) -> pd.DataFrame:
    """Published values, as text, so that `3.50` stays `3.50`."""
    return pd.read_csv(path, dtype=str)
