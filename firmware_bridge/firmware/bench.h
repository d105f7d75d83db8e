/* Bench: what a panel without hardware is worked with. A pseudo-terminal behind a symlink is its serial port, commands
   on standard input are its buttons and its cable, and JSON lines on standard output are its lights. */
#ifndef PANEL_BENCH_H
#define PANEL_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bench_order {
    BENCH_GO_ON,
    BENCH_RESTART, /* plugged in, or told to reboot: the firmware starts anew */
    BENCH_HANG,    /* the firmware is to hang, for its watchdog to find */
    BENCH_QUIT
};

/* Make the serial port at `link_path` and say so. Returns false, with a sentence on standard error, where it cannot. */
bool bench_start(const char *link_path);

/* Take the port away. */
void bench_stop(void);

/* Wait for a command or a received byte, at most so long, and do what the commands say. */
enum bench_order bench_wait(int timeout_ms);

bool bench_plugged(void);

/* Microseconds of the monotonic clock. */
uint64_t bench_us(void);

/* The buttons' contacts now, those that bounce included. */
uint8_t bench_contacts(void);

/* What the host has sent: returns how many bytes, at most `size`. */
size_t bench_read(uint8_t *bytes, size_t size);

/* Send to the host; as on a real line, what nobody takes is lost. */
void bench_write(const uint8_t *bytes, size_t length);

/* Print what the panel shows, where it has changed: LIGHT_ bits, bar lamps, hertz. */
void bench_show(uint8_t lights, uint8_t lamps, uint16_t hertz);

/* Print the scene that begins. */
void bench_scene(uint8_t scene);

#endif
