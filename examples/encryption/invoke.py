from __future__ import annotations

import uuid

from encryption import from_environment

from resonate import Resonate

if __name__ == "__main__":
    resonate = Resonate.remote(group="reception", encoder=from_environment())
    anyone = resonate.options(target="poll://any@diagnoses", timeout=60)
    handle = anyone.begin_rpc(f"diagnose-{uuid.uuid4()}", "diagnose", "Ada", [36.5, 38.0])
    print(handle.result())
    print(f"the server stored it without being able to read it: {handle.id}")
    resonate.stop()
