"""Network addresses and ports of an agent's media, as configured. Pure."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict


def _parse_ip_address(text: str) -> str:
    return str(ipaddress.ip_address(text))


def _split_ports(value: Any) -> Any:
    return value.split("-") if isinstance(value, str) else value


def _check_ports(ports: tuple[int, int]) -> tuple[int, int]:
    if not 1024 <= ports[0] <= ports[1] <= 65_535:
        raise ValueError("need FIRST-LAST with 1024 <= FIRST <= LAST <= 65535")
    return ports


IpAddress = Annotated[str, AfterValidator(_parse_ip_address)]
PortRange = Annotated[tuple[int, int], BeforeValidator(_split_ports), AfterValidator(_check_ports)]
"""First and last port, both included; as text `FIRST-LAST`."""


class MediaNetwork(BaseModel):
    """Addresses and ports for media. A range of ports is shared by all agents of a machine.

    bind_address: the only local address used; ports: first and last UDP port, both included
    advertised_address: signalled in place of the bound address (1:1 NAT)
    is_relay_only: offer nothing but what a TURN server gives
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bind_address: IpAddress | None = None
    ports: PortRange | None = None
    advertised_address: IpAddress | None = None
    is_relay_only: bool = False
