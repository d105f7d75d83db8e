/* Outbox: button events until the host has acknowledged them, or until nobody should act on them any more. */
#ifndef PANEL_OUTBOX_H
#define PANEL_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>

#define OUTBOX_EVENTS 8
#define REPEAT_MS 100u
#define EVENT_LIFETIME_MS 2000u

struct event {
    uint32_t at_ms;
    uint8_t sequence;
    uint8_t button;
    bool pressed;
};

void outbox_init(void);

/* Keep an event that happens now. Without room it is dropped, as with `outbox_miss`. */
void outbox_put(uint8_t button, bool pressed, uint32_t now_ms);

/* An event is dropped undelivered: a press is counted, a release is not. */
void outbox_miss(bool pressed);

/* The host has the event of this number; any other number is passed over. */
void outbox_acknowledge(uint8_t sequence);

/* Drop all events: their session has ended. */
void outbox_clear(void);

/* Drop what is too old, and return the event that is to be sent (again) now, or NULL. Tell it with `outbox_sent`. */
const struct event *outbox_due(uint32_t now_ms);
void outbox_sent(uint32_t now_ms);

/* Presses dropped undelivered since the start; it stays at 65535. */
uint16_t outbox_missed_presses(void);

uint8_t outbox_count(void);

#endif
