"""This process's own published keys, for the verification of tokens that it is called with itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jwt

from services.runtime.errors import Unauthenticated

if TYPE_CHECKING:
    from services.auth.keyring import Keyring


class LocalKeys:
    """Keys of `runtime.identity`, without a request to the process's own HTTP endpoint."""

    def __init__(self, keyring: Keyring) -> None:
        """The keyring knows what the endpoint would answer."""
        self._keyring = keyring

    async def key(self, key_id: str) -> jwt.PyJWK:
        """The key with this id.

        Raises Unauthenticated if there is none.
        """
        for published in self._keyring.published():
            if published["kid"] == key_id:
                return jwt.PyJWK.from_dict(published)
        raise Unauthenticated("the access token was signed with an unknown key")
