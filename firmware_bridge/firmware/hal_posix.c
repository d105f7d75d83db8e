/* Hardware layer of a panel without hardware: the core as a program, on the bench of bench.h. */
#include <stdio.h>

#include "bench.h"
#include "hal.h"
#include "panel.h"

static uint8_t lights;
static uint8_t lamps;
static uint16_t tone_hz;
static uint8_t received[LINE_BYTES];
static size_t received_at;
static size_t received_length;
static uint8_t sending[LINE_BYTES];
static uint8_t sending_length;

uint32_t hal_ms(void)
{
    return (uint32_t)(bench_us() / 1000u);
}

uint8_t hal_buttons(void)
{
    return bench_contacts();
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
    bench_scene(scene);
}

int16_t hal_getc(void)
{
    if (received_at == received_length) {
        received_at = 0;
        received_length = bench_read(received, sizeof received);
        if (received_length == 0)
            return -1;
    }
    return received[received_at++];
}

uint8_t hal_room(void)
{
    return (uint8_t)(sizeof sending - sending_length);
}

void hal_putc(uint8_t byte)
{
    if (sending_length < sizeof sending)
        sending[sending_length++] = byte;
}

static void flush(void)
{
    bench_write(sending, sending_length);
    sending_length = 0;
    bench_show(lights, lamps, tone_hz);
}

static void start(void)
{
    received_at = received_length = 0;
    panel_init();
    flush();
}

int main(int count, char **words)
{
    if (count != 2) {
        (void)fprintf(stderr, "usage: panel-host LINK    (LINK: the symlink to make, the panel's serial port)\n");
        return 2;
    }
    if (!bench_start(words[1]))
        return 2;
    start();
    for (;;) {
        enum bench_order order = bench_wait(1);
        if (order == BENCH_QUIT)
            break;
        if (order == BENCH_RESTART)
            start();
        if (order == BENCH_HANG)
            (void)fprintf(stderr, "this panel has no watchdog to find out that it hangs\n");
        if (bench_plugged()) {
            panel_step();
            flush();
        }
    }
    bench_stop();
    return 0;
}
