"""STUN and TURN servers: their addresses, and credentials that expire (coturn's REST scheme).

The room server mints a user name and password for each participant at each join:
`username = expiry:uid` with the expiry in Unix seconds, `credential = base64(HMAC-SHA1(secret,
username))`. The TURN server checks them with the same shared secret (`use-auth-secret`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

from rtc.signaling.protocol import IceServer
from utils import wall_clock_ms


def mint_turn_credentials(secret: str, uid: int, expires_at_s: int) -> tuple[str, str]:
    """User name and password for `uid`, good until `expires_at_s` (Unix seconds)."""
    username = f"{expires_at_s}:{uid}"
    digest = hmac.new(secret.encode(), username.encode(), hashlib.sha1).digest()
    return username, base64.b64encode(digest).decode()


def explain_refusal(username: str, now_s: float) -> str:
    """Return the likely reason why a TURN server refused the credentials of `username`."""
    expiry = username.partition(":")[0]
    if expiry.isdecimal() and int(expiry) <= now_s:
        return f"the credentials expired {now_s - int(expiry):.0f} s ago; rejoin the room for fresh ones"
    return "the credentials are not accepted: is TURN_SECRET the server's static-auth-secret?"


@dataclass(frozen=True)
class IceServers:
    """The servers that are sent to participants."""

    stun_urls: Sequence[str] = ()
    turn_urls: Sequence[str] = ()
    turn_secret: str = field(default="", repr=False)
    turn_ttl_s: int = 6 * 3600
    # Participants shall offer nothing but what the TURN servers give them.
    is_relay_only: bool = False

    def for_participant(self, uid: int) -> tuple[IceServer, ...]:
        """Return the servers for `uid`, with credentials for `turn_ttl_s` from now on."""
        servers = []
        if self.stun_urls:
            servers.append(IceServer(urls=tuple(self.stun_urls)))
        if self.turn_urls:
            expires_at_s = wall_clock_ms() // 1000 + self.turn_ttl_s
            username, credential = mint_turn_credentials(self.turn_secret, uid, expires_at_s)
            urls = tuple(self.turn_urls)
            servers.append(IceServer(urls=urls, username=username, credential=credential))
        return tuple(servers)
