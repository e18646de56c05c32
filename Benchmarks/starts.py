"""How long a node takes to start, and what it holds in memory once it has."""

import time

from service import resident


class Starts:
    """Seconds until a node answers, and what it holds in memory two seconds later: one of each for each installation."""

    def __init__(self):
        self.new, self.old, self.attached, self.idle = [], [], [], []

    def measure(self, service):
        self.new.append(service.first_start)
        service.stop()
        self.old.append(service.start())
        time.sleep(2)
        self.idle.append(resident(service.pid))
        self.attached.append(service.attach()[1])
        service.end(service.nodes[-1])
