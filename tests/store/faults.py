"""A disk that fails when it is told to: an SQLite file layer above the real one."""

from __future__ import annotations

import itertools
import threading

import apsw

_names = itertools.count()


class Disk(apsw.VFS):
    """Fails writes or syncs of the database and its log.

    ``fail(what, error, after=n, times=m)``: the operation ``what`` ("write", "sync" or "read")
    works n times more and then fails m times (None: for good). ``heal`` ends all faults.
    """

    def __init__(self) -> None:
        self.name = f"faulty{next(_names)}"
        self.failed = 0
        self._lock = threading.Lock()
        self._faults: dict[str, list] = {}
        super().__init__(self.name, "")

    def fail(self, what, error=apsw.IOError, *, after=0, times=None, part=""):
        with self._lock:
            self._faults[what] = [error, after, times, part]

    def heal(self):
        with self._lock:
            self._faults.clear()

    def touch(self, what, name):
        with self._lock:
            fault = self._faults.get(what)
            if fault is None or not name.endswith(fault[3]):
                return
            if fault[1] > 0:
                fault[1] -= 1
                return
            if fault[2] is not None:
                fault[2] -= 1
                if fault[2] == 0:
                    del self._faults[what]
            self.failed += 1
        raise fault[0]("injected")

    def xOpen(self, name, flags):  # noqa: N802  # SQLite's names
        return _File(self, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, disk, name, flags):
        self._disk = disk
        self._name = name.filename() if isinstance(name, apsw.URIFilename) else name or ""
        super().__init__("", name, flags)

    def xRead(self, amount, offset):  # noqa: N802
        self._disk.touch("read", self._name)
        return super().xRead(amount, offset)

    def xWrite(self, data, offset):  # noqa: N802
        self._disk.touch("write", self._name)
        super().xWrite(data, offset)

    def xSync(self, flags):  # noqa: N802
        self._disk.touch("sync", self._name)
        super().xSync(flags)
