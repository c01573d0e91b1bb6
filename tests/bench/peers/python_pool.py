"""One figure of Python's multiprocessing.Pool with two workers.

    python3 python_pool.py MODE COUNT pinned|free

apply       microseconds a task, one at a time
async       million tasks a second, all submitted, then all read
map         million items a second
imap        million items a second
echo        milliseconds for COUNT bytes in and out
life        milliseconds to make a pool of COUNT workers, one task each, and end it
there       0: can be run at all
"""
import multiprocessing
import os
import sys
import time


def nothing():
    return None


def square(value):
    return value * value


def echo(data):
    return data


def measure(mode, count):
    if mode == "there":
        return 0
    if mode == "life":
        start = time.perf_counter()
        pool = multiprocessing.Pool(count)
        pool.map(square, range(count), 1)
        pool.close()
        pool.join()
        return (time.perf_counter() - start) * 1e3
    with multiprocessing.Pool(2) as pool:
        pool.map(square, range(100), 1)
        data = bytes(count) if mode == "echo" else None
        numbers = list(range(count)) if mode == "map" else None
        start = time.perf_counter()
        if mode == "apply":
            for i in range(count):
                pool.apply(square, (i,))
            return (time.perf_counter() - start) * 1e6 / count
        if mode == "async":
            for result in [pool.apply_async(nothing) for i in range(count)]:
                result.get()
        elif mode == "map":
            pool.map(square, numbers)
        elif mode == "imap":
            for result in pool.imap(square, range(count), 64):
                pass
        elif mode == "echo":
            pool.apply(echo, (data,))
            return (time.perf_counter() - start) * 1e3
        return count / (time.perf_counter() - start) / 1e6


if __name__ == "__main__":
    if sys.argv[3] == "pinned" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    multiprocessing.set_start_method("fork")
    print(measure(sys.argv[1], int(sys.argv[2])))
