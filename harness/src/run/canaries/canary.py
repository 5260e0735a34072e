"""A program whose parts a pause must keep: what it is, a number, open files, timers, and a port that it listens at."""

import base64
import json
import os
import random
import socket
import sys
import threading
import time

PORT = 41999
HOME = "/home/user/"
# Seconds until a timer fires.
SOON = 0.2
# Seconds that a client waits for the program to listen and to answer.
PATIENCE = 15


class Canary:
    def __init__(self):
        self.started = "%d %d" % (os.getpid(), random.getrandbits(48))
        self.count = 0
        self.files = {name: open(HOME + "torpor-" + name, "w+", newline="") for name in ("open", "unlinked")}
        os.unlink(HOME + "torpor-unlinked")
        self.timers = []
        self.fired = 0

    def fire(self):
        self.fired += 1

    def content(self, asked):
        register = asked["register"]
        if register == "started":
            return self.started
        if register == "count":
            self.count += asked.get("add", 0)
            return str(self.count)
        if register == "timers":
            for _ in range(asked.get("add", 0)):
                self.timers.append(threading.Timer(SOON, self.fire))
                self.timers[-1].start()
            if "add" not in asked:
                for timer in self.timers:
                    timer.join(PATIENCE / 2)
            return str(self.fired)
        return self.in_file(self.files[register], asked.get("append", ""))

    @staticmethod
    def in_file(file, more):
        # Where it stands is part of what is kept: nothing seeks to the end.
        file.write(more)
        file.flush()
        end = file.tell()
        file.seek(0)
        content = file.read()
        file.seek(end)
        return content


def serve():
    canary = Canary()
    server = socket.create_server(("127.0.0.1", PORT))
    while True:
        connection, _ = server.accept()
        try:
            with connection, connection.makefile("rw") as lines:
                lines.write(json.dumps({"content": canary.content(json.loads(lines.readline()))}) + "\n")
        except (OSError, ValueError):
            # A client that has gone.
            pass


def ask(asked):
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", PORT), PATIENCE)
            break
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
    with connection, connection.makefile("rw") as lines:
        lines.write(json.dumps(asked) + "\n")
        lines.flush()
        print(lines.readline(), end="")


if len(sys.argv) > 1:
    ask(json.loads(base64.b64decode(sys.argv[1])))
else:
    serve()
