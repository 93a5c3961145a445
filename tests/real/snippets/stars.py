"""A database that lives inside of a call: sqlite3 in memory."""

import sqlite3
from contextlib import closing

from clustrix import cluster

STARS = [("Sirius", -1.46, 8.6), ("Canopus", -0.74, 310), ("Vega", 0.03, 25), ("Rigel", 0.13, 860)]


@cluster
def brightest(stars, within):
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE stars (name TEXT, magnitude REAL, distance REAL)")
        database.executemany("INSERT INTO stars VALUES (?, ?, ?)", stars)
        database.create_function("near", 1, lambda distance: distance <= within)
        query = "SELECT name, round(distance / 3.26, 1) FROM stars WHERE near(distance) ORDER BY magnitude"
        return database.execute(query).fetchall()


if __name__ == "__main__":
    print(brightest(STARS, within=400))
