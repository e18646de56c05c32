"""What a follower holds: the ids, its position, and the rules by which a message changes them. No I/O, no clock."""

import base64
import hashlib
import json
import struct
import uuid

import jwt
from jwt.api_jws import PyJWS

# Ids are kept so many seconds beyond their expiry, for the error of this machine's clock.
MARGIN = 300


class BadMessage(Exception):
    """Cut off, contradictory, or not signed by whom it should be. Nothing of it was applied."""


def binary(entry):
    """The entry as the signature's digest counts it."""
    for kind, name in ((1, "jti"), (2, "sid")):
        if name in entry:
            return bytes([kind]) + uuid.UUID(entry[name]).bytes + struct.pack(">I", min(entry["exp"], 0xFFFFFFFF))
    for kind, name in ((3, "kid"), (4, "lift")):
        if name in entry:
            key_id = entry[name].encode("ascii")
            if len(key_id) != 43:
                raise BadMessage("an entry's key id is not a thumbprint")
            return bytes([kind]) + key_id
    raise BadMessage("an entry of no known kind")


class Signatures:
    """Checks messages against pinned keys of the feed: needed where they come through a cache or a mirror."""

    def __init__(self, jwks, issuer):
        self._keys = {key.key_id: key.key for key in jwt.PyJWKSet.from_dict(jwks).keys}
        self._issuer = issuer

    def checked(self, message, entries):
        """The message as it was signed: every value from the payload, only the entries from outside it."""
        try:
            header = jwt.get_unverified_header(message["signature"])
            if header.get("typ") != "latchkey-feed+jwt":
                raise BadMessage("signed for another purpose")
            signed = json.loads(PyJWS().decode(
                message["signature"], self._keys[header["kid"]], algorithms=["EdDSA"]))
        except (jwt.PyJWTError, KeyError, ValueError) as error:
            raise BadMessage("not signed by a key of the feed") from error
        digest = hashlib.sha256(b"".join(binary(entry) for entry in entries)).digest()
        if (
            signed.get("iss") != self._issuer
            or signed.get("count") != len(entries)
            or signed.get("digest") != base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        ):
            raise BadMessage("the signature is of other entries")
        return signed


class Revocations:
    """The set. Readers on other threads see whole values only: each change is one assignment of a dictionary's key."""

    def __init__(self, signatures=None):
        self.position = None
        self.epoch = None
        self._signatures = signatures
        self._ids = {}
        self._key_ids = frozenset()
        self._parts = []

    def __len__(self):
        return len(self._ids) + len(self._key_ids)

    def holds(self, claims, key_id):
        ids = self._ids
        return key_id in self._key_ids or claims.get("jti") in ids or claims.get("sid") in ids

    def has_applied(self, position):
        """Whether what was revoked at `position` (`Latchkey-Position`) is in the set; None: of another history."""
        epoch, seq = position.split(".")[:2]
        if self.position is None or epoch != self.epoch:
            return None
        return int(self.position.split(".")[1]) >= int(seq)

    def forget(self):
        """Another history, or a new connection: the position and what parts are there say nothing any more. The ids stay:
        one too many refuses a token, one too few would accept it."""
        self.position, self._parts = None, []

    def drop_parts(self):
        """A stream ended; its parts come again behind the position."""
        self._parts = []

    def add_part(self, entries):
        self._parts.extend(entries)

    def apply(self, message):
        """Takes in a whole message with the parts before it.

        Returns what was signed, or the message itself where nobody checks. Throws `BadMessage` with nothing applied.
        """
        entries, self._parts = self._parts + message.get("entries", []), []
        if self._signatures:
            message = self._signatures.checked(message, entries)
        if message.get("count") != len(entries):
            raise BadMessage("some entries are missing")
        try:
            epoch, behind = message["epoch"], message.get("after")
            if behind is not None and behind != self.position:
                raise BadMessage("it does not follow what is here")
            if not message["position"].startswith(epoch + "."):
                raise BadMessage("its position is of another epoch")
            ids = {
                entry.get("jti") or entry["sid"]: int(entry["exp"])
                for entry in entries if "kid" not in entry and "lift" not in entry
            }
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadMessage("a member is missing") from error
        key_ids = set(self._key_ids)
        if behind is None and epoch == self.epoch:
            # A whole list of the history that we know: a lift that we have missed shows by the key's absence.
            key_ids.clear()
        for entry in entries:
            if "kid" in entry:
                key_ids.add(entry["kid"])
            if "lift" in entry:
                key_ids.discard(entry["lift"])
        for id, expiry in ids.items():
            self._ids[id] = max(expiry, self._ids.get(id, 0))
        self._key_ids = frozenset(key_ids)
        self.position, self.epoch = message["position"], epoch
        return message

    def remove_expired(self, now):
        """`now` in seconds since 1970."""
        kept = {id: expiry for id, expiry in self._ids.items() if expiry + MARGIN > now}
        if len(kept) < len(self._ids):
            self._ids = kept
