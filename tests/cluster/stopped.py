"""`lakehouse`, in a process that is stopped (SIGSTOP) when its load first comes to a step; runs in a pod of the loader.

Arguments: the step, or an empty word; then those of `lakehouse`. It says when it is stopped, and `kill -CONT -1` in the same pod
lets it go on. The first process of a pod cannot be stopped, so the load is its child.
"""

import os
import signal
import sys
import time

STOPPED = "the load is stopped"
ASKED = "asked"
"""The last moment of a commit: its metadata is written, and the metastore is about to be asked to change the table."""


def run(step: str, arguments: list[str]) -> int:
    """Run the command; also prints how long each commit took, without the stop."""
    from lakehouse import hive
    from lakehouse.cli.app import main
    from lakehouse.cli.progress import ProgressObserver

    left = {step}
    begun = 0.0

    def come_to(name: str) -> None:
        if name in left:
            left.remove(name)
            os.kill(os.getpid(), signal.SIGSTOP)

    def observe(self: ProgressObserver, name: str) -> None:
        nonlocal begun
        come_to(name)
        if name == "staged":
            begun = time.monotonic()
        if name == "committed":
            print(f"commit: {time.monotonic() - begun:.3f} s", flush=True)

    alter = hive._Client.alter_table_with_environment_context

    def ask(*given: object, **named: object) -> None:
        come_to(ASKED)
        alter(*given, **named)  # type: ignore[arg-type]

    ProgressObserver.step = observe  # type: ignore[method-assign]
    hive._Client.alter_table_with_environment_context = ask  # type: ignore[method-assign]
    return main(arguments)


def watch(child: int) -> int:
    """Say when the child is stopped; its exit code, once it has ended."""
    while True:
        _, status = os.waitpid(child, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            return os.waitstatus_to_exitcode(status)
        print(STOPPED, flush=True)


if __name__ == "__main__":
    process = os.fork()
    sys.exit(watch(process) if process else run(sys.argv[1], sys.argv[2:]))
