"""A script in which everything is its own: classes, constants, an exception, a global that counts."""

from clustrix import cluster

G = 4 * 3.141592653589793**2  # au³ / (solar mass · year²)
calls = 0


class Escaped(Exception):
    def __init__(self, year, distance):
        super().__init__(f"left the system in year {year:.2f}")
        self.year, self.distance = year, distance


class Body:
    count = 0

    def __init__(self, x, v):
        self.x, self.v = x, v
        type(self).count += 1

    def step(self, dt):
        x, y = self.x
        r3 = (x * x + y * y) ** 1.5
        self.v = self.v[0] - G * x / r3 * dt, self.v[1] - G * y / r3 * dt
        self.x = x + self.v[0] * dt, y + self.v[1] * dt


class Comet(Body):
    def step(self, dt):
        global calls
        calls += 1
        super().step(dt)


@cluster
def orbit(body, years, dt=0.001):
    for n in range(int(years / dt)):
        body.step(dt)
        distance = (body.x[0] ** 2 + body.x[1] ** 2) ** 0.5
        if distance > 5:
            raise Escaped(n * dt, distance)
    return body


if __name__ == "__main__":
    back = orbit(Body((1, 0), (0, 2 * 3.141592653589793)), 1)
    print(round(back.x[0], 2), type(back) is Body)
    try:
        orbit(Comet((1, 0), (0, 20)), 2)
    except Escaped as error:
        print(error, round(error.distance, 2), isinstance(error, Escaped))
