#include "outbox.h"

#include <stddef.h>

static struct event events[OUTBOX_EVENTS];
static uint8_t first;
static uint8_t count;
static uint8_t next_sequence;
static bool under_way; /* the first event has been sent */
static uint32_t sent_ms;
static uint16_t missed_presses;

void outbox_init(void)
{
    first = 0;
    count = 0;
    next_sequence = 0;
    under_way = false;
    missed_presses = 0;
}

void outbox_put(uint8_t button, bool pressed, uint32_t now_ms)
{
    if (count == OUTBOX_EVENTS) {
        outbox_miss(pressed);
        return;
    }
    struct event *event = &events[(uint8_t)(first + count) % OUTBOX_EVENTS];
    event->at_ms = now_ms;
    event->sequence = next_sequence++;
    event->button = button;
    event->pressed = pressed;
    count++;
}

void outbox_miss(bool pressed)
{
    if (pressed && missed_presses != UINT16_MAX)
        missed_presses++;
}

static void remove_first(void)
{
    first = (uint8_t)((uint8_t)(first + 1) % OUTBOX_EVENTS);
    count--;
    under_way = false;
}

void outbox_acknowledge(uint8_t sequence)
{
    if (count != 0 && under_way && events[first].sequence == sequence)
        remove_first();
}

static void drop_first(void)
{
    outbox_miss(events[first].pressed);
    remove_first();
}

void outbox_clear(void)
{
    while (count != 0)
        drop_first();
}

const struct event *outbox_due(uint32_t now_ms)
{
    while (count != 0 && now_ms - events[first].at_ms >= EVENT_LIFETIME_MS)
        drop_first();
    if (count == 0 || (under_way && now_ms - sent_ms < REPEAT_MS))
        return NULL;
    return &events[first];
}

void outbox_sent(uint32_t now_ms)
{
    under_way = true;
    sent_ms = now_ms;
}

uint16_t outbox_missed_presses(void)
{
    return missed_presses;
}

uint8_t outbox_count(void)
{
    return count;
}
