"""Functions of Python that wait at the end of all kinds of calls, until the process is killed."""

import functools
import os
import threading
import time


def sleeps():
    time.sleep(3600)


def descend(depth, then):
    if depth == 0:
        return then()
    return descend(
        depth - 1,
        then,
    )


class Cart:
    @property
    def total(self):
        return sorted([2, 1], key=lambda item: self.price(item))

    def price(self, item):
        # C calls Python, which calls C, which calls Python.
        return functools.reduce(lambda one, other: descend(3, sleeps), [item, item])


def items():
    yield 1
    yield descend(2, sleeps)


def comprehension():
    return [item for item in items()]


def größe():
    return max("ab", key=lambda letter: descend(1, sleeps))


def handler():
    try:
        raise ValueError("no such cart")
    except ValueError:
        exec(compile("descend(1, sleeps)", "generated.py", "exec"), globals())


async def waits():
    sleeps()


async def serves():
    await waits()


def runs():
    import asyncio

    asyncio.run(serves())


for work in (Cart.total.fget, comprehension, größe, handler, runs):
    args = (Cart(),) if work is Cart.total.fget else ()
    threading.Thread(target=work, args=args, daemon=True).start()
time.sleep(0.7)
print("ready", os.getpid(), flush=True)
descend(20, sleeps)
