"""Run a command and tell what it used.

A small process of its own: the system counts the memory of whoever starts a program towards that program's peak.

    python launcher.py RESULT_DESCRIPTOR CPU|all COMMAND ARGUMENT...
"""

import os
import sys
import time


def main() -> None:
    result, cpu, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    os.set_inheritable(result, False)
    if cpu != "all":
        os.sched_setaffinity(0, {int(cpu)})
    begun = time.perf_counter()
    process = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(process, 0)
    wall = time.perf_counter() - begun
    # Linux tells kilobytes of 1024, macOS bytes.
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    answer = f"{os.waitstatus_to_exitcode(status)} {wall} {usage.ru_utime + usage.ru_stime} {peak}"
    os.write(result, answer.encode())


main()
