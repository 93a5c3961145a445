"""Group a table and send a frame back: pandas. The table lies beside this script."""

import io
from pathlib import Path

import pandas as pd

from clustrix import cluster

TABLE = Path(__file__).parent / "sales.csv"


@cluster(memory="500MB")
def by_region(text):
    frame = pd.read_csv(io.StringIO(text), parse_dates=["day"])
    frame["revenue"] = frame["price"] * frame["pieces"]
    grouped = frame.groupby(["region", frame["day"].dt.month_name()])
    return grouped.agg(revenue=("revenue", "sum"), best=("pieces", "max")).sort_index()


if __name__ == "__main__":
    print(by_region(TABLE.read_text()).to_csv())
