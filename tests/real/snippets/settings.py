"""Settings from YAML, results as JSON: read here, used there."""

import json
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import yaml

from clustrix import cluster

TEXT = """
start: 2024-02-27
days: 3
rates: {low: 0.1, high: "0.35"}
"""


@cluster
def planned(settings):
    days = [settings["start"] + timedelta(days=n) for n in range(settings["days"])]
    rate = Decimal(settings["rates"]["high"]) - Decimal("0.05")
    text = json.dumps({"days": days, "rate": rate, "part": Fraction(rate)}, default=str, indent=1)
    return json.loads(text), yaml.safe_dump({"last": days[-1]})


if __name__ == "__main__":
    settings = yaml.safe_load(TEXT)
    assert settings["start"] == date(2024, 2, 27)
    print(*planned(settings))
