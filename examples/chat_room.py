"""Two agents with voices of their own discuss with you: `make run APP=examples/chat_room.py`.

Choose "Panel" on the page and ask "Ada, is tea better than coffee?". They hear one another, go on for at most
three turns without you, and you may interrupt both at any time. Needs a provider whose replies can be left to us
(MODEL_PROVIDER=openai and OPENAI_API_KEY; the local model takes part, but has little to discuss).
"""

from __future__ import annotations

from parley import Agent, ChatRoom

MANNERS = "Answer in one or two short sentences. To hear the other one, end with a question to them by name."

ada = Agent(
    "ada",
    display_name="Ada",
    voice="marin",
    instructions=f"You are Ada, an optimist. You find the good side of everything. {MANNERS}",
    greeting="Hello, I am Ada, and Ben is here too. What shall we talk about?",
)

ben = Agent(
    "ben",
    display_name="Ben",
    voice="cedar",
    instructions=f"You are Ben, a sceptic. You doubt what Ada says, kindly. {MANNERS}",
)

panel = ChatRoom(
    "panel",
    display_name="Panel",
    description="Ada and Ben discuss with you.",
    agents=[ada, ben],
    max_agent_turns=3,
)
