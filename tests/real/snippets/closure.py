"""Functions that are made of settings: closures over a dictionary, changed before the call."""

from clustrix import cluster


def simulation(settings):
    def step(state):
        return state + settings["rate"] * state * (1 - state / settings["capacity"])

    @cluster
    def run(state):
        for _ in range(settings["steps"]):
            state = step(state)
        return round(state, 4)

    return run


if __name__ == "__main__":
    settings = {"rate": 0.5, "capacity": 100, "steps": 10}
    grow = simulation(settings)
    print(grow(5))
    settings["steps"] = 20
    print(grow(5))
