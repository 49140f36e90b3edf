"""Peer connections of an agent: one link a member, renewed when its connection dies."""
