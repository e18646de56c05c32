"""For how long an answer is waited for. A socket's timeout is for each read, and none for who sends an octet at a time."""

import http.client
import io
import math
import time

# A long list may come over a slow link: a second more for so many octets, as a node gives who reads.
OCTETS = 1 << 16


class Patience:
    """`silence` is in seconds, until something is heard for the first time and each time after; `whole`, until all of it is
    here. Counted on a clock that no test and no sleep of this machine moves."""

    def __init__(self, silence, whole=math.inf):
        self.received, self._silence = 0, silence
        self._end = time.monotonic() + whole
        self.heard()

    def heard(self):
        self._until = time.monotonic() + self._silence

    def goes_on(self):
        """It is a stream that serves: nothing but silence ends it now."""
        self._end = math.inf

    def left(self):
        left = min(self._until, self._end + self.received / OCTETS) - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time, or one that drips")
        return left


class _Octets(io.RawIOBase):
    """What a socket says, for as long as there is patience."""

    def __init__(self, socket, octets, patience):
        self._socket, self._octets, self._patience = socket, octets, patience

    def readable(self):
        return True

    def readinto(self, buffer):
        self._socket.settimeout(self._patience.left())
        count = self._octets.readinto(buffer)
        self._patience.received += count
        return count

    def close(self):
        self._octets.close()
        super().close()


def patient(connection, patience):
    """`connection`, of whose answer every octet is read with `patience`: head, chunk sizes and trailers, too."""

    class Answer(http.client.HTTPResponse):
        def __init__(self, socket, *arguments, **options):
            super().__init__(socket, *arguments, **options)
            self.fp = io.BufferedReader(_Octets(socket, self.fp.detach(), patience))

    connection.response_class = Answer
    return connection
