"""What a follower holds: the ids, its position, and the rules by which a message changes them. No I/O, no clock."""

import base64
import datetime
import hashlib
import json
import math
import re
import struct
from typing import NamedTuple

import jwt
from jwt.api_jws import PyJWS

from .errors import BadMessage

# One spelling for each id: another that the signature cannot tell from it would be looked up in vain.
ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
KEY_ID = re.compile("[A-Za-z0-9_-]{43}")
POSITION = re.compile("([0-9a-f-]{36})[.](0|[1-9][0-9]{0,18})[.][A-Za-z0-9_-]{16}")
KINDS = {"jti": 1, "sid": 2, "kid": 3, "lift": 4}
NEVER = 0xFFFFFFFF
# A message of more is refused: in memory they are some 2 GB.
MOST_ENTRIES = 10_000_000


def parsed(entry):
    """(kind, id, expiry, binary form): read once, so that what is signed is what is applied."""
    kinds = [kind for kind in KINDS if kind in entry]
    if len(kinds) != 1:
        raise BadMessage("an entry of no known kind, or of two")
    kind, id = kinds[0], entry[kinds[0]]
    if kind in ("kid", "lift"):
        if not KEY_ID.fullmatch(id):
            raise BadMessage("an entry's key id is not a thumbprint")
        return kind, id, None, bytes([KINDS[kind]]) + id.encode()
    expiry = entry["exp"]
    if not ID.fullmatch(id) or type(expiry) is not int or expiry < 0:
        raise BadMessage("an entry's id or expiry is none")
    octets = bytes([KINDS[kind]]) + bytes.fromhex(id.replace("-", "")) + struct.pack(">I", min(expiry, NEVER))
    return kind, id, expiry if expiry < NEVER else math.inf, octets


def seq_of(position):
    """(epoch, seq) of a position."""
    match = POSITION.fullmatch(position)
    if not match:
        raise ValueError("this is no position of the revocation list")
    return match[1], int(match[2])


class Staged:
    """The entries of one message that is still coming, apart from the set until all of it is found to be good."""

    def __init__(self):
        self.count, self.ids, self.keys, self.digest = 0, {}, [], hashlib.sha256()

    def add(self, entries):
        self.count += len(entries)
        if self.count > MOST_ENTRIES:
            raise BadMessage("too many entries")
        for kind, id, expiry, octets in map(parsed, entries):
            self.digest.update(octets)
            if expiry is None:
                self.keys.append((kind, id))
            else:
                self.ids[id] = max(expiry, self.ids.get(id, 0))


class Message(NamedTuple):
    """A message that is whole, signed where that is asked for, and goes on where the follower stands."""

    epoch: str
    seq: int
    position: str
    is_whole_list: bool
    node: str
    as_of: int
    now: int
    # Milliseconds since 1970.
    time: int
    nonce: str | None
    ids: dict
    keys: list


class Signatures:
    """Checks messages against pinned keys of the feed: needed where they come through a cache or a mirror."""

    def __init__(self, jwks, issuer):
        self._keys = {key.key_id: key.key for key in jwt.PyJWKSet.from_dict(jwks).keys}
        self._issuer = issuer

    def checked(self, message, digest):
        """What was signed: every value is taken from the payload, only the entries from outside it."""
        try:
            header = jwt.get_unverified_header(message["signature"])
            if header.get("typ") != "latchkey-feed+jwt":
                raise BadMessage("signed for another purpose")
            signed = json.loads(PyJWS().decode(
                message["signature"], self._keys[header["kid"]], algorithms=["EdDSA"]))
        except (jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
            raise BadMessage("not signed by a key of the feed") from error
        digest = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if signed.get("iss") != self._issuer or signed.get("digest") != digest:
            raise BadMessage("the signature is of other entries")
        return signed


class Revocations:
    """The set. One thread writes; readers on others see whole values only: each change is one assignment."""

    def __init__(self, signatures=None):
        self.position = None
        # (epoch, seq) of the furthest that is in the set, in the latest epoch.
        self.applied = None
        # The latest time of what is in the set.
        self._latest = 0
        self._signatures = signatures
        self._ids = {}
        self._key_ids = frozenset()
        self._staged = Staged()

    def __len__(self):
        return len(self._ids) + len(self._key_ids)

    def holds(self, claims, key_id):
        ids = self._ids
        return key_id in self._key_ids or claims.get("jti") in ids or claims.get("sid") in ids

    def has_applied(self, position):
        """Whether what was revoked at `position` (`Latchkey-Position`) is in the set; None: of another history."""
        epoch, seq = seq_of(position)
        # Read once: the follower may forget its position meanwhile.
        applied, known = self.applied, self.position
        here = [at for at in (applied, known and seq_of(known)) if at and at[0] == epoch]
        return any(at[1] >= seq for at in here) if here else None

    def forget(self):
        """Another history: position and parts say nothing any more. The ids stay: one too many refuses a token, one too
        few would accept it."""
        self.position, self._staged = None, Staged()

    def drop_parts(self):
        """A stream ended; its parts come again behind the position."""
        self._staged = Staged()

    def add_part(self, part):
        try:
            self._staged.add(part["entries"])
        except (KeyError, TypeError, AttributeError) as error:
            raise BadMessage("a part is malformed") from error

    def read(self, message):
        """A whole message with the parts before it. Throws `BadMessage`; nothing is applied yet."""
        staged, self._staged = self._staged, Staged()
        try:
            staged.add(message.get("entries", []))
            if self._signatures:
                message = self._signatures.checked(message, staged.digest.digest())
            if message["count"] != staged.count:
                raise BadMessage("some entries are missing")
            epoch, seq = seq_of(message["position"])
            after, nonce = message.get("after"), message.get("nonce")
            as_of, now, node, time = (message[name] for name in ("as_of", "now", "node", "time"))
            if epoch != message["epoch"] or type(node) is not str or type(nonce) not in (str, type(None)):
                raise BadMessage("a member is malformed")
            if type(as_of) is not int or type(now) is not int or not 0 <= as_of <= now < 1 << 43:
                raise BadMessage("its instants are none")
            if not time.endswith("Z"):
                raise BadMessage("its time is not in UTC")
            time = int(datetime.datetime.fromisoformat(time).timestamp() * 1000)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadMessage("a member is missing or malformed") from error
        if after is not None and after != self.position:
            raise BadMessage("it does not follow what is here")
        return Message(
            epoch, seq, message["position"], after is None, node, as_of, now, time, nonce, staged.ids, staged.keys)

    def apply(self, message):
        """Takes in what `read` gave, once `Freshness.judge` has passed it, too."""
        for id, expiry in message.ids.items():
            self._ids[id] = max(expiry, self._ids.get(id, 0))
        at, applied = (message.epoch, message.seq), self.applied
        is_known = applied is not None and applied[0] == message.epoch
        # It says less than is known, and takes no key back: the key may have been revoked since. Two epochs are told apart
        # by the database's clock: a list of one that has ended, brought twice, would else be new, and then the known one.
        is_behind = message.seq < applied[1] if is_known else applied is not None and message.time <= self._latest
        # A whole list of the history that we know: a lift that we have missed shows by the key's absence.
        is_next = message.is_whole_list and is_known and not is_behind and message.time >= self._latest
        key_ids = set() if is_next else set(self._key_ids)
        for kind, key_id in message.keys:
            if kind == "kid":
                key_ids.add(key_id)
            elif not is_behind:
                key_ids.discard(key_id)
        self._key_ids = frozenset(key_ids)
        self.position, self._latest = message.position, max(message.time, self._latest)
        if not is_behind:
            self.applied = at

    def remove_expired(self, second):
        """Forgets the ids whose expiry is `second` (since 1970) or earlier."""
        kept = {id: expiry for id, expiry in self._ids.items() if expiry > second}
        if len(kept) < len(self._ids):
            self._ids = kept
