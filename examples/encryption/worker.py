from __future__ import annotations

from encryption import from_environment

from resonate import Context, Resonate

resonate = Resonate.remote(group="diagnoses", encoder=from_environment())


@resonate.register
def diagnose(ctx: Context, patient: str, values: list[float]) -> str:
    print(f"diagnosing {patient}, call {ctx.id}")
    return f"{patient}: {sum(values) / len(values):.1f} on average"


if __name__ == "__main__":
    resonate.run_until_signal()
