/* Fuzz: the core under a seeded stream of damaged and invented frames; after each burst a good Hello
   must be answered. usage: fuzz FRAMES SEED. Memory errors and undefined behaviour end it through the sanitizers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "hal.h"
#include "outbox.h"
#include "panel.h"

#define MAX_BURST 48u    /* frames between two questions */
#define BURST_BYTES 8192u
#define SENT_BYTES 65536u
#define MAX_IDLE_STEPS 128u
#define PATIENCE_STEPS 200u
#define HELLO 0x01u
#define IDENTITY 0x81u
#define IDENTITY_BYTES 32u
#define FIRST_PANEL_TYPE 0x81u
#define LAST_PANEL_TYPE 0x85u

static uint64_t random_state;
static uint32_t now_ms;
static uint8_t contacts;
static uint8_t line[BURST_BYTES];
static size_t line_at;
static size_t line_length;
static uint8_t sent[SENT_BYTES];
static size_t sent_length;
static bool blocked; /* the line takes nothing */
static uint32_t session;
static unsigned long identities;

uint32_t hal_ms(void)
{
    return now_ms;
}

uint8_t hal_buttons(void)
{
    return contacts;
}

void hal_lights(uint8_t lights)
{
    if (lights > (LIGHT_RING | LIGHT_GREEN | LIGHT_RED))
        abort();
}

void hal_level_bar(uint8_t lamps)
{
    if (lamps >> BAR_LAMPS)
        abort();
}

void hal_tone(uint16_t hertz)
{
    if (hertz > 4000u)
        abort();
}

void hal_scene(uint8_t scene)
{
    (void)scene;
}

int16_t hal_getc(void)
{
    return line_at < line_length ? line[line_at++] : (int16_t)-1;
}

uint8_t hal_room(void)
{
    return blocked || sent_length + LINE_BYTES > SENT_BYTES ? 0 : LINE_BYTES;
}

void hal_putc(uint8_t byte)
{
    if (blocked || sent_length == SENT_BYTES)
        abort();
    sent[sent_length++] = byte;
}

/* xorshift64*: the same stream on every machine. */
static uint32_t draw(uint32_t below)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * 0x2545F4914F6CDD1Dull) >> 32) % below;
}

static uint8_t draw_byte(void)
{
    return (uint8_t)draw(256);
}

static void append(const uint8_t *bytes, size_t length)
{
    if (length > BURST_BYTES - line_length)
        length = BURST_BYTES - line_length;
    memcpy(line + line_length, bytes, length);
    line_length += length;
}

static void put_session(uint8_t *payload)
{
    for (unsigned i = 0; i < 4; i++)
        payload[i] = (uint8_t)(session >> (8u * i) & 0xFFu);
}

static uint8_t hello(uint8_t *wire)
{
    uint8_t payload[5] = {1};
    put_session(payload + 1);
    return frame_encode(HELLO, 0, payload, sizeof payload, wire);
}

/* A frame of a type that a host sends, or nearly, mostly in the panel's session and of a likely length. */
static uint8_t plausible(uint8_t *wire)
{
    uint8_t payload[MAX_PAYLOAD];
    uint8_t type = draw(16) ? (uint8_t)(1u + draw(6)) : draw_byte();
    uint8_t length = (uint8_t)(draw(8) ? draw(8) : draw(MAX_PAYLOAD + 1));
    for (unsigned i = 0; i < MAX_PAYLOAD; i++)
        payload[i] = draw(4) ? (uint8_t)draw(12) : draw_byte();
    if (type == 2 && draw(4))
        put_session(payload);
    return frame_encode(type, (uint8_t)draw(4), payload, length, wire);
}

/* One frame more on the line, as it is or with one kind of damage. */
static void append_frame(void)
{
    uint8_t wire[2 * MAX_FRAME];
    uint8_t other[MAX_FRAME];
    size_t length = plausible(wire);
    size_t at = draw((uint32_t)length);
    switch (draw(7)) {
    case 0:
        wire[at] = (uint8_t)(wire[at] ^ (1u << draw(8)));
        break;
    case 1:
        length = at;
        break;
    case 2:
        append(wire, length);
        break;
    case 3:
        memcpy(other, wire, length);
        length = plausible(wire);
        append(other, at);
        append(wire + draw((uint32_t)length), length / 2);
        return;
    case 4:
        length = draw(2 * MAX_FRAME);
        for (size_t i = 0; i < length; i++)
            wire[i] = draw_byte();
        break;
    case 5:
        memmove(wire + at, wire + at + 1, length - at - 1);
        length--;
        break;
    default:
        break;
    }
    append(wire, length);
}

/* Read what the panel has sent: good frames of its own types and nothing else; true where an answer is among them. */
static bool read_sent(void)
{
    struct frame_receiver receiver;
    struct frame frame;
    bool answered = false;
    size_t bytes_in_frames = 0;
    frame_receiver_init(&receiver);
    for (size_t i = 0; i < sent_length; i++) {
        if (!frame_receive(&receiver, sent[i], &frame))
            continue;
        uint8_t expected[4];
        bytes_in_frames += frame.length + 7u; /* type, sequence number, CRC, COBS, two zeros */
        put_session(expected);
        if (frame.type < FIRST_PANEL_TYPE || frame.type > LAST_PANEL_TYPE)
            abort();
        if (frame.type == IDENTITY && frame.length == IDENTITY_BYTES && memcmp(frame.payload + 1, expected, 4) == 0)
            answered = true;
    }
    if (bytes_in_frames != sent_length)
        abort();
    sent_length = 0;
    return answered;
}

static void step(void)
{
    now_ms += draw(512) ? draw(8) : draw(4000);
    if (draw(8) == 0)
        contacts = (uint8_t)draw(1u << BUTTON_COUNT);
    panel_step();
    if (outbox_count() > OUTBOX_EVENTS)
        abort();
}

static bool ask(void)
{
    uint8_t wire[MAX_FRAME];
    if (session == 0 || draw(8) == 0)
        session = 1u + draw(UINT32_MAX);
    line_at = line_length = 0;
    append(wire, hello(wire));
    blocked = false;
    sent_length = 0;
    for (unsigned i = 0; i < PATIENCE_STEPS; i++) {
        step();
        if (read_sent()) {
            identities++;
            return true;
        }
    }
    return false;
}

static void burst(unsigned frames)
{
    line_at = line_length = 0;
    for (unsigned i = 0; i < frames; i++)
        append_frame();
    blocked = draw(8) == 0;
    while (line_at < line_length)
        step();
    for (unsigned idle = draw(MAX_IDLE_STEPS); idle != 0; idle--)
        step();
    (void)read_sent();
}

int main(int count, char **words)
{
    if (count != 3) {
        (void)fprintf(stderr, "usage: fuzz FRAMES SEED\n");
        return 2;
    }
    unsigned long frames = strtoul(words[1], NULL, 10);
    random_state = strtoull(words[2], NULL, 10) * 2u + 1u;
    now_ms = UINT32_MAX - 5000u; /* the clock's overflow is near */
    panel_init();
    for (unsigned long done = 0; done < frames;) {
        unsigned next = 1u + draw(MAX_BURST);
        burst(next);
        done += next;
        if (!ask()) {
            (void)printf("seed %s: no answer after %lu frames\n", words[2], done);
            return 1;
        }
    }
    (void)printf("%lu frames, %lu questions answered, %u presses missed\n", frames, identities,
                 outbox_missed_presses());
    return 0;
}
