"""A server as a process, as a user would start it."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys

LINE = re.compile(r"resonate (\S+) serving (http://127\.0\.0\.1:(\d+)) \((.*)\)\n")


class Server:
    """``python -m resonate`` with arguments; ready once it is made, killed at the end of a with."""

    def __init__(self, *arguments, cwd):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "resonate", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
        )
        line = self.process.stdout.readline()
        self.line = LINE.fullmatch(line)
        if self.line is None:
            self.process.kill()
            raise AssertionError((line, *self.process.communicate()))
        self.url = self.line[2]
        self.port = int(self.line[3])

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()

    def ask(self, method, path, document=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, None if document is None else json.dumps(document))
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def stop(self, number):
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err
