/* Probe: what the core makes, for whoever checks it. Commands, one in a line, and an answer of one line to each:
     crc HEX                   the CRC of these bytes
     encode TYPE SEQUENCE HEX  the frame on the wire ("-" for no payload)
     decode HEX                "TYPE SEQUENCE HEX" of each good frame in these bytes
     look SCENE                what the scene shows: one "lights.bar.tone" for each 25 ms of two seconds
     answered SCENE            the same, where a press is answered four seconds after the scene's beginning */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "hal.h"
#include "scenes.h"

#define LINE 1024
#define LOOK_MS 2000u
#define SAMPLE_MS 25u

static uint8_t lights;
static uint8_t lamps;
static uint16_t tone_hz;

uint32_t hal_ms(void)
{
    return 0;
}

uint8_t hal_buttons(void)
{
    return 0;
}

void hal_lights(uint8_t lit)
{
    lights = lit;
}

void hal_level_bar(uint8_t lit)
{
    lamps = lit;
}

void hal_tone(uint16_t hertz)
{
    tone_hz = hertz;
}

void hal_scene(uint8_t scene)
{
    (void)scene;
}

int16_t hal_getc(void)
{
    return -1;
}

uint8_t hal_room(void)
{
    return 0;
}

void hal_putc(uint8_t byte)
{
    (void)byte;
}

static size_t bytes_of(const char *hex, uint8_t *bytes)
{
    size_t length = 0;
    for (; hex[0] != '\0' && hex[1] != '\0' && hex[0] != '-'; hex += 2) {
        char pair[3] = {hex[0], hex[1], '\0'};
        bytes[length++] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return length;
}

static void print_hex(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        (void)printf("%02x", bytes[i]);
}

static void decode(const uint8_t *bytes, size_t length)
{
    struct frame_receiver receiver;
    struct frame frame;
    frame_receiver_init(&receiver);
    for (size_t i = 0; i < length; i++) {
        if (frame_receive(&receiver, bytes[i], &frame)) {
            (void)printf("%u %u ", frame.type, frame.sequence);
            print_hex(frame.payload, frame.length);
            (void)printf(";");
        }
    }
}

static void look(uint8_t scene, uint8_t answers)
{
    uint32_t now_ms = 0;
    /* From another scene, so that this one begins now. */
    scenes_init(0);
    scenes_show(scene == SCENE_IDLE ? SCENE_CLOSED : SCENE_IDLE, 0, 0);
    scenes_show(scene, 0, 0);
    while (answers != 0 && now_ms < 2 * LOOK_MS)
        scenes_step(now_ms++);
    scenes_show(scene, answers, now_ms);
    for (uint32_t end_ms = now_ms + LOOK_MS; now_ms < end_ms; now_ms++) {
        scenes_step(now_ms);
        if (now_ms % SAMPLE_MS == 0)
            (void)printf("%u.%u.%u ", lights, lamps, tone_hz);
    }
}

static void answer(char *line)
{
    uint8_t bytes[LINE];
    uint8_t wire[MAX_FRAME];
    char hex[LINE] = "";
    unsigned type;
    unsigned sequence;
    if (sscanf(line, "crc %1023s", hex) == 1) {
        uint16_t crc = CRC_INITIAL;
        size_t length = bytes_of(hex, bytes);
        for (size_t i = 0; i < length; i++)
            crc = crc16(crc, bytes[i]);
        (void)printf("%04x", crc);
    } else if (sscanf(line, "encode %u %u %1023s", &type, &sequence, hex) == 3) {
        uint8_t length = (uint8_t)bytes_of(hex, bytes);
        print_hex(wire, frame_encode((uint8_t)type, (uint8_t)sequence, bytes, length, wire));
    } else if (sscanf(line, "decode %1023s", hex) == 1) {
        decode(bytes, bytes_of(hex, bytes));
    } else if (sscanf(line, "look %u", &type) == 1) {
        look((uint8_t)type, 0);
    } else if (sscanf(line, "answered %u", &type) == 1) {
        look((uint8_t)type, 1);
    }
    (void)printf("\n");
}

int main(void)
{
    char line[LINE];
    while (fgets(line, sizeof line, stdin) != NULL)
        answer(line);
    return 0;
}
