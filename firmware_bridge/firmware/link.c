#include "link.h"

#include <stddef.h>

#include "buttons.h"
#include "frame.h"
#include "hal.h"
#include "outbox.h"
#include "scenes.h"
#include "version.h"

#define NO_SESSION 0u
#define PROTOCOL_VERSION 1u
#define SERIAL_NUMBER_BYTES 16
#define LIGHTS (2u + BAR_LAMPS) /* the ring, the status light and the bar's lamps */
#define NO_DISPLAY 0u

enum type {
    HELLO = 0x01,
    HOST_HEARTBEAT = 0x02,
    SCENE_COMMAND = 0x03,
    LEVEL = 0x04,
    HOST_ACK = 0x05,
    IDENTITY = 0x81,
    PANEL_HEARTBEAT = 0x82,
    BUTTON_EDGE = 0x83,
    PANEL_ACK = 0x85
};

#define HELLO_BYTES 5
#define HOST_HEARTBEAT_BYTES 4
#define IDENTITY_BYTES (16 + SERIAL_NUMBER_BYTES)

static struct frame_receiver receiver;
static uint32_t session;
static uint32_t boot_ms;
static uint32_t heard_ms;
static uint32_t heartbeat_ms; /* when the last one was sent */

static uint8_t *put_u16(uint8_t *at, uint16_t value)
{
    *at++ = (uint8_t)(value & 0xFFu);
    *at++ = (uint8_t)(value >> 8);
    return at;
}

static uint8_t *put_u32(uint8_t *at, uint32_t value)
{
    at = put_u16(at, (uint16_t)(value & 0xFFFFu));
    return put_u16(at, (uint16_t)(value >> 16));
}

static uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* A frame goes out whole or not at all; what matters is sent again. Returns whether it went. */
static bool send(uint8_t type, uint8_t sequence, const uint8_t *payload, uint8_t length)
{
    uint8_t bytes[MAX_FRAME];
    uint8_t used = frame_encode(type, sequence, payload, length, bytes);
    if (hal_room() < used)
        return false;
    for (uint8_t i = 0; i < used; i++)
        hal_putc(bytes[i]);
    return true;
}

static void send_identity(uint32_t asked_session)
{
    static const char serial_number[SERIAL_NUMBER_BYTES + 1] = SERIAL_NUMBER;
    uint8_t payload[IDENTITY_BYTES];
    uint8_t *at = payload;
    *at++ = PROTOCOL_VERSION;
    at = put_u32(at, asked_session);
    *at++ = FIRMWARE_MAJOR;
    *at++ = FIRMWARE_MINOR;
    *at++ = FIRMWARE_PATCH;
    at = put_u16(at, (uint16_t)((1u << BUTTON_COUNT) - 1u));
    at = put_u16(at, buttons_held());
    at = put_u16(at, outbox_missed_presses());
    *at++ = LIGHTS;
    *at++ = NO_DISPLAY;
    for (uint8_t i = 0; i < SERIAL_NUMBER_BYTES; i++)
        *at++ = (uint8_t)serial_number[i];
    (void)send(IDENTITY, 0, payload, IDENTITY_BYTES);
}

static void send_heartbeat(uint32_t now_ms)
{
    uint8_t payload[10];
    uint8_t *at = put_u32(payload, session);
    at = put_u32(at, now_ms - boot_ms);
    (void)put_u16(at, buttons_held());
    (void)send(PANEL_HEARTBEAT, 0, payload, sizeof payload);
}

static bool send_event(const struct event *event)
{
    uint8_t payload[6] = {event->button, event->pressed ? 1 : 0};
    (void)put_u32(payload + 2, event->at_ms - boot_ms);
    return send(BUTTON_EDGE, event->sequence, payload, sizeof payload);
}

static void end_session(uint32_t now_ms)
{
    session = NO_SESSION;
    outbox_clear();
    scenes_show(SCENE_OUT_OF_SERVICE, 0, now_ms);
}

static void on_hello(const struct frame *frame, uint32_t now_ms)
{
    uint8_t protocol = frame->payload[0];
    uint32_t asked_session = get_u32(frame->payload + 1);
    /* A host never draws NO_SESSION: such a question is answered, but begins nothing. */
    if (protocol == PROTOCOL_VERSION && asked_session != NO_SESSION) {
        if (asked_session != session) {
            end_session(now_ms);
            session = asked_session;
        }
        heard_ms = now_ms;
    }
    send_identity(asked_session);
}

/* A frame of the host that the panel is in a session with; returns whether it was one. */
static bool on_host(const struct frame *frame, uint32_t now_ms)
{
    switch (frame->type) {
    case HOST_HEARTBEAT:
        return frame->length >= HOST_HEARTBEAT_BYTES && get_u32(frame->payload) == session;
    case SCENE_COMMAND:
        (void)send(PANEL_ACK, frame->sequence, NULL, 0);
        scenes_show(frame->length == 0 ? (uint8_t)SCENE_OUT_OF_SERVICE : frame->payload[0],
                    frame->length < 2 ? 0 : frame->payload[1], now_ms);
        return true;
    case LEVEL:
        if (frame->length == 0)
            return false;
        scenes_level(frame->payload[0], now_ms);
        return true;
    case HOST_ACK:
        outbox_acknowledge(frame->sequence);
        return true;
    default:
        return false;
    }
}

void link_init(uint32_t now_ms)
{
    frame_receiver_init(&receiver);
    outbox_init();
    session = NO_SESSION;
    boot_ms = now_ms;
    heard_ms = now_ms;
    heartbeat_ms = now_ms;
    send_heartbeat(now_ms);
}

void link_receive(uint8_t byte, uint32_t now_ms)
{
    struct frame frame;
    if (!frame_receive(&receiver, byte, &frame))
        return;
    if (frame.type == HELLO) {
        if (frame.length >= HELLO_BYTES)
            on_hello(&frame, now_ms);
    } else if (session != NO_SESSION && on_host(&frame, now_ms)) {
        heard_ms = now_ms;
    }
}

void link_button(uint8_t button, bool pressed, uint32_t now_ms)
{
    if (session == NO_SESSION)
        outbox_miss(pressed);
    else
        outbox_put(button, pressed, now_ms);
}

void link_step(uint32_t now_ms)
{
    if (session != NO_SESSION && now_ms - heard_ms >= LOST_MS)
        end_session(now_ms);
    const struct event *event = outbox_due(now_ms);
    if (event != NULL && send_event(event))
        outbox_sent(now_ms);
    if (now_ms - heartbeat_ms >= HEARTBEAT_MS) {
        heartbeat_ms = now_ms;
        send_heartbeat(now_ms);
    }
}
