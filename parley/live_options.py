"""Options of a call that runs in-process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from parley.in_process.conversation_store import ConversationStore
    from realtime.playback import PlaybackTracker


class LiveOptions(TypedDict, total=False):
    """The options of `Agent.arealtime`; everything may be left out.

    thread_id: name of the conversation: a later call with it goes on where this one ended
    state: values that `Call.state` begins with, unless the conversation has a state already
    metadata: values for placeholders in the agent's texts, and for `Call.metadata`
    start: fields of a start (`POST /start_agent`) that override the definition's
    settings: variables (`OPENAI_API_KEY`, `MODEL_PROVIDER`, ...) that override the environment's
    store: keeps the conversations of `thread_id`: a `ConversationStore`, the folder of one, or its
        URL; left out, they are kept in memory
    playback_tracker: fed by the application with what it has played; left out, audio counts as
        played in real time from its arrival on
    """

    thread_id: str
    state: Mapping[str, Any]
    metadata: Mapping[str, str]
    start: Mapping[str, Any]
    settings: Mapping[str, str]
    store: ConversationStore | str
    playback_tracker: PlaybackTracker
