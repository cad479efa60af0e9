"""``python -m resonate`` is the command ``resonate``."""

from __future__ import annotations

from resonate.cli.main import main

if __name__ == "__main__":
    main()
