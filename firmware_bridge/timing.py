"""The protocol's times and limits, the same for both sides; `docs/panel-protocol.md` lists them by these names."""

HELLO_REPEAT_S = 0.5
"""How often the host asks a port that does not answer; often enough for a panel that is still starting."""
HELLO_GAP_S = 0.1
"""Least time between two questions, also where a panel's heartbeat prompts one."""
HEARTBEAT_S = 0.5
"""How often each side says that it is there."""
LOST_S = 3.0
"""Without a valid frame for so long, a side takes the other for gone: six heartbeats."""
REPEAT_S = 0.1
"""How often a message is sent again until it is acknowledged; a round trip at 115200 baud takes about 3 ms."""
EVENT_LIFETIME_S = 2.0
"""A button event that could not be delivered for so long is dropped: acting on it now would surprise the visitor."""
LEVEL_GAP_S = 0.05
"""Least time between two levels: 20 in a second look smooth and take 1 % of the line."""
OUTBOX_EVENTS = 8
"""How many button events a panel keeps until they are acknowledged; further ones are dropped and counted."""
