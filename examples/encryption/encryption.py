"""An encoder that encrypts with AES-256-GCM, and can change its keys.

Stored is a mark, the length and text of the key's id, 12 random bytes, and the ciphertext with its
tag. The key's id is not secret, but authenticated: nobody can make one key's text another's.

Run it to make a key: python encryption.py
"""

from __future__ import annotations

import base64
import os
import secrets
import sys

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError:
    sys.exit("This example needs the package cryptography: pip install cryptography")

MARK = b"\x00aes1"  # no JSON begins with it
NONCE_BYTES = 12
KEY_BYTES = 32


class Encryption:
    """Writes with the first of the keys, reads with any of them.

    With ``plain`` it also reads what was stored before there was encryption. Leave that out as soon
    as nothing of that is left: who can write to the database could pass off JSON of their own.
    """

    def __init__(self, keys: dict[str, bytes], *, plain: bool = False) -> None:
        if not keys:
            raise ValueError("there must be a key")
        for id, key in keys.items():
            if not 1 <= len(id.encode()) <= 255:
                raise ValueError(f"the id {id!r} of a key must have 1 to 255 bytes")
            if len(key) != KEY_BYTES:
                raise ValueError(f"key {id} must have {KEY_BYTES} bytes, has {len(key)}")
        self._ciphers = {id.encode(): AESGCM(key) for id, key in keys.items()}
        self._current = next(iter(self._ciphers))
        self._plain = plain

    def encode(self, data: bytes) -> bytes:
        head = MARK + bytes([len(self._current)]) + self._current
        nonce = secrets.token_bytes(NONCE_BYTES)
        return head + nonce + self._ciphers[self._current].encrypt(nonce, data, head)

    def decode(self, data: bytes) -> bytes:
        if not data.startswith(MARK):
            if self._plain:
                return data
            raise ValueError("it is not encrypted")
        start = len(MARK) + 1
        end = start + int.from_bytes(data[len(MARK) : start])
        id, nonce = data[start:end], data[end : end + NONCE_BYTES]
        if len(nonce) < NONCE_BYTES:
            raise ValueError("it is cut off")
        cipher = self._ciphers.get(id)
        if cipher is None:
            raise LookupError(f"there is no key {id.decode(errors='replace')!r} here")
        try:
            return cipher.decrypt(nonce, data[end + NONCE_BYTES :], data[:end])
        except InvalidTag:
            raise ValueError("it was changed, or encrypted with another key of that id") from None


def from_environment(*, plain: bool = False) -> Encryption:
    """Return the encoder with the keys in ENCRYPTION_KEYS: ``id:key,…``, the newest first."""
    keys = {}
    for each in filter(None, os.environ.get("ENCRYPTION_KEYS", "").split(",")):
        id, _, key = each.strip().partition(":")
        keys[id] = base64.b64decode(key, validate=True)
    if not keys:
        sys.exit("Set ENCRYPTION_KEYS, the same everywhere; `python encryption.py` makes a key")
    return Encryption(keys, plain=plain)


if __name__ == "__main__":
    print(f"key-1:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}")
