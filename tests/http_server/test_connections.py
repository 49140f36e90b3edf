from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_server.connections import RESERVE, Asker, Connections

ANN, BOB = Asker("ann"), Asker("bob")
OWN = Asker("127.0.0.1", is_limited=False)


def table(total: int = 4, per_address: int = 3) -> Connections[str]:
    return Connections(total, per_address)


def test_the_connection_idle_longest_is_evicted_within_an_address() -> None:
    connections = table()
    for name in ("a1", "a2", "a3"):
        assert connections.make_room(ANN) == (True, None)
        connections.enter(name, ANN)
    assert connections.make_room(ANN) == (True, "a1")
    connections.use("a1")
    assert connections.make_room(ANN) == (True, "a2")
    connections.rest("a1")
    connections.use("a2")
    assert connections.make_room(ANN) == (True, "a3")
    assert connections.make_room(BOB) == (True, None)


def test_a_crowd_makes_room_itself_before_it_takes_it_from_others() -> None:
    connections = table()
    connections.enter("b1", BOB)
    for name in ("a1", "a2", "a3"):
        connections.enter(name, ANN)
    assert connections.make_room(ANN) == (True, "a1")
    assert connections.make_room(BOB) == (True, "b1")
    assert connections.make_room(Asker("cid")) == (True, "b1")


def test_a_connection_in_use_is_never_evicted() -> None:
    connections = table()
    for name in ("a1", "a2", "a3"):
        connections.enter(name, ANN)
        connections.use(name)
    assert connections.make_room(ANN) == (False, None)
    assert connections.make_room(BOB) == (True, None)
    connections.enter("b1", BOB)
    connections.use("b1")
    assert connections.make_room(BOB) == (False, None)
    # A program of this machine asks whether the server lives.
    assert connections.make_room(OWN) == (True, None)
    for number in range(RESERVE):
        connections.enter(f"o{number}", OWN)
        connections.use(f"o{number}")
    assert connections.make_room(OWN) == (False, None)


def test_of_this_machine_only_those_are_limited_that_ask_for_nothing() -> None:
    connections = table(total=10)
    for number in range(5):
        connections.enter(f"used{number}", OWN)
        connections.use(f"used{number}")
    for name in ("o1", "o2", "o3"):
        assert connections.make_room(OWN) == (True, None)
        connections.enter(name, OWN)
    assert connections.make_room(OWN) == (True, "o1")


@pytest.mark.parametrize("steps", ["use", "rest", "leave"])
def test_a_connection_that_left_is_not_counted(steps: str) -> None:
    connections = table()
    connections.enter("a1", ANN)
    connections.leave("a1")
    getattr(connections, steps)("a1")
    assert (len(connections), connections.waiting, connections.oldest_waiting()) == (0, 0, None)
    assert connections._crowds == {}


class Model:
    """The same in the plainest way, to compare with."""

    def __init__(self) -> None:
        self.connections: Connections[int] = Connections(6, 3)
        self.alive: dict[int, Asker] = {}
        self.used: set[int] = set()

    def come(self, number: int, asker: Asker) -> None:
        has_room, victim = self.connections.make_room(asker)
        waits = set(self.alive) - self.used
        assert victim is None or victim in waits
        if asker.is_limited and self.count(asker) >= 3:
            assert has_room == any(self.alive[one] == asker for one in waits)
        elif waits:
            assert has_room
        if victim is not None:
            self.connections.leave(victim)
            self.alive.pop(victim)
        if has_room:
            self.connections.enter(number, asker)
            self.alive[number] = asker

    def step(self, step: str, chosen: int) -> None:
        getattr(self.connections, step)(chosen)
        self.used.discard(chosen)
        if step == "use":
            self.used.add(chosen)
        if step == "leave":
            self.alive.pop(chosen)

    def count(self, asker: Asker) -> int:
        return sum(one == asker for one in self.alive.values())


@given(st.lists(st.tuples(st.sampled_from(["new", "use", "rest", "leave"]), st.integers(0, 7))))
def test_limits_hold_whatever_happens(steps: list[tuple[str, int]]) -> None:
    model = Model()
    askers = [ANN, BOB, Asker("cid"), OWN]
    for number, (step, which) in enumerate(steps):
        if step == "new":
            model.come(number, askers[which % 4])
        elif model.alive:
            model.step(step, list(model.alive)[which % len(model.alive)])
        assert len(model.connections) == len(model.alive) <= 6 + RESERVE
        assert model.connections.waiting == len(set(model.alive) - model.used)
        assert all(model.count(asker) <= 3 for asker in askers[:3])
