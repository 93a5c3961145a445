"""Coroutines inside a call: asyncio.run, gather, a queue and a time-out."""

import asyncio

from clustrix import cluster


async def measured(station, answers):
    await asyncio.sleep(0.01 * station)
    await answers.put((station, station**2))


async def survey(stations):
    answers = asyncio.Queue()
    await asyncio.wait_for(asyncio.gather(*(measured(one, answers) for one in range(stations))), 30)
    return sorted(answers.get_nowait() for _ in range(answers.qsize()))


@cluster
def readings(stations):
    return asyncio.run(survey(stations))


if __name__ == "__main__":
    print(readings(5))
