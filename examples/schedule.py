"""Call a function on a schedule: every second, here; the expression is that of cron, with seconds.

    python examples/schedule.py 3       stop after three calls

With a server (RESONATE_URL) the schedule goes on while no worker is there, and what was missed is
made up for when one comes.
"""

from __future__ import annotations

import sys
import threading

from resonate import Context, Resonate

resonate = Resonate(group="reports")
reported = threading.Semaphore(0)


@resonate.register
def report(ctx: Context, what: str) -> None:
    print(f"report of the {what}, called by {ctx.info.tags['resonate:schedule']}")
    reported.release()


def main(times="3", cron="* * * * * *"):
    resonate.start()
    schedule = resonate.schedule("reports", report, cron, "weather")
    for _ in range(int(times)):
        reported.acquire()
    schedule.delete()
    runs = resonate.promises.search_all(tags={"resonate:schedule": "reports"})
    print("each call is a promise, such as", next(runs).id)
    resonate.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
