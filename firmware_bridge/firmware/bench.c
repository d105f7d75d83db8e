#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "hal.h"

#define TAP_US 120000u
#define BOUNCE_US 12000u /* how long a bouncing contact goes on and off, */
#define BOUNCE_TURN_US 3000u /* and how long it stays each time */
#define MAX_RUBBISH 65536

static const char *const buttons[BUTTON_COUNT] = {"record", "cancel", "language", "reply"};
static const char *const scenes[] = {"out_of_service", "idle",      "recording",     "finishing", "thanks",  "sorry",
                                     "discarded",      "nothing_heard", "offline", "closed",    "identify"};

static const char *link_path;
static char port_name[64];
static int panel_end = -1;
static int host_end = -1;
static uint8_t down;
static uint8_t bouncing;
static uint64_t bounce_from_us[BUTTON_COUNT];
static uint64_t release_us[BUTTON_COUNT]; /* 0: it is not being tapped */

uint64_t bench_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static void print_line(const char *event, const char *format, ...)
{
    va_list words;
    va_start(words, format);
    (void)printf("{\"event\":\"%s\",", event);
    (void)vprintf(format, words);
    (void)printf("\"at_s\":%.6f}\n", (double)bench_us() / 1e6);
    va_end(words);
    (void)fflush(stdout);
}

static bool make_link(void)
{
    char fresh[512];
    struct stat there;
    if (lstat(link_path, &there) == 0 && !S_ISLNK(there.st_mode)) {
        (void)fprintf(stderr, "%s exists and is no symlink: give another path for the panel\n", link_path);
        return false;
    }
    (void)snprintf(fresh, sizeof fresh, "%s.%ld", link_path, (long)getpid());
    (void)unlink(fresh);
    if (symlink(port_name, fresh) != 0 || rename(fresh, link_path) != 0) {
        (void)fprintf(stderr, "%s cannot be made: %s\n", link_path, strerror(errno));
        return false;
    }
    return true;
}

static bool plug(void)
{
    struct termios raw;
    memset(&raw, 0, sizeof raw);
    cfmakeraw(&raw);
    raw.c_cflag |= CREAD | CS8;
    (void)cfsetspeed(&raw, B115200);
    /* Both ends stay open, so that a host may come and go. */
    if (openpty(&panel_end, &host_end, port_name, &raw, NULL) != 0) {
        perror("no pseudo-terminal");
        return false;
    }
    (void)fcntl(panel_end, F_SETFL, O_NONBLOCK);
    if (!make_link())
        return false;
    print_line("plugged", "\"port\":\"%s\",", port_name);
    return true;
}

static void unplug(void)
{
    if (panel_end < 0)
        return;
    char target[sizeof port_name];
    ssize_t length = readlink(link_path, target, sizeof target - 1);
    if (length > 0 && (size_t)length == strlen(port_name) && memcmp(target, port_name, (size_t)length) == 0)
        (void)unlink(link_path);
    (void)close(panel_end);
    (void)close(host_end);
    panel_end = host_end = -1;
    print_line("unplugged", "");
}

bool bench_start(const char *path)
{
    link_path = path;
    return plug();
}

void bench_stop(void)
{
    unplug();
}

bool bench_plugged(void)
{
    return panel_end >= 0;
}

static void rubbish(const char *word)
{
    char *end;
    long count = strtol(word, &end, 10);
    if (*end != '\0' || count < 0 || count > MAX_RUBBISH) {
        (void)fprintf(stderr, "rubbish takes a number of bytes from 0 to %d, not %s\n", MAX_RUBBISH, word);
        return;
    }
    for (long i = 0; i < count; i++) {
        uint8_t byte = (uint8_t)random();
        bench_write(&byte, 1);
    }
}

/* Returns whether the word is one that moves a button. */
static bool move(const char *word, uint8_t button)
{
    uint8_t bit = (uint8_t)(1u << button);
    if (strcmp(word, "release") == 0) {
        down = (uint8_t)(down & (uint8_t)~bit);
        return true;
    }
    if (strcmp(word, "tap") == 0)
        release_us[button] = bench_us() + TAP_US;
    else if (strcmp(word, "bounce") == 0) {
        bouncing = (uint8_t)(bouncing | bit);
        bounce_from_us[button] = bench_us();
    } else if (strcmp(word, "press") != 0)
        return false;
    down = (uint8_t)(down | bit);
    return true;
}

static enum bench_order obey(char *line)
{
    char *rest;
    const char *word = strtok_r(line, " \t\r", &rest);
    const char *argument = strtok_r(NULL, " \t\r", &rest);
    if (word == NULL)
        return BENCH_GO_ON;
    if (argument == NULL) {
        if (strcmp(word, "quit") == 0)
            return BENCH_QUIT;
        if (strcmp(word, "reboot") == 0)
            return BENCH_RESTART;
        if (strcmp(word, "hang") == 0)
            return BENCH_HANG;
        if (strcmp(word, "plug") == 0)
            return bench_plugged() || plug() ? BENCH_RESTART : BENCH_QUIT;
        if (strcmp(word, "unplug") == 0) {
            unplug();
            return BENCH_GO_ON;
        }
    } else if (strcmp(word, "rubbish") == 0) {
        rubbish(argument);
        return BENCH_GO_ON;
    } else {
        for (uint8_t i = 0; i < BUTTON_COUNT; i++) {
            if (strcmp(argument, buttons[i]) == 0 && move(word, i))
                return BENCH_GO_ON;
        }
    }
    (void)fprintf(stderr,
                  "unknown command %s %s; there are press, release, tap and bounce with record, cancel, language or"
                  " reply, and plug, unplug, reboot, hang, rubbish N, quit\n",
                  word, argument == NULL ? "" : argument);
    return BENCH_GO_ON;
}

/* Read commands until there are no more, or one asks for more than this bench can do. */
static enum bench_order read_commands(void)
{
    static char line[128];
    static size_t used;
    struct pollfd input = {STDIN_FILENO, POLLIN, 0};
    while (poll(&input, 1, 0) > 0) {
        char byte;
        if (read(STDIN_FILENO, &byte, 1) != 1)
            return BENCH_QUIT;
        if (byte != '\n') {
            if (used < sizeof line - 1)
                line[used++] = byte;
            continue;
        }
        line[used] = '\0';
        used = 0;
        enum bench_order order = obey(line);
        if (order != BENCH_GO_ON)
            return order;
    }
    return BENCH_GO_ON;
}

enum bench_order bench_wait(int timeout_ms)
{
    struct pollfd wakers[2] = {{STDIN_FILENO, POLLIN, 0}, {panel_end, POLLIN, 0}};
    (void)poll(wakers, 2, timeout_ms);
    return wakers[0].revents != 0 ? read_commands() : BENCH_GO_ON;
}

uint8_t bench_contacts(void)
{
    uint64_t now_us = bench_us();
    uint8_t contacts = down;
    for (uint8_t i = 0; i < BUTTON_COUNT; i++) {
        uint8_t bit = (uint8_t)(1u << i);
        if (release_us[i] != 0 && now_us >= release_us[i]) {
            release_us[i] = 0;
            down = (uint8_t)(down & (uint8_t)~bit);
        }
        if ((bouncing & bit) == 0)
            continue;
        uint64_t since_us = now_us - bounce_from_us[i];
        if (since_us >= BOUNCE_US)
            bouncing = (uint8_t)(bouncing & (uint8_t)~bit);
        else if ((since_us / BOUNCE_TURN_US) % 2u == 1u)
            contacts = (uint8_t)(contacts & (uint8_t)~bit);
    }
    return contacts;
}

size_t bench_read(uint8_t *bytes, size_t size)
{
    ssize_t got = panel_end < 0 ? 0 : read(panel_end, bytes, size);
    return got > 0 ? (size_t)got : 0;
}

void bench_write(const uint8_t *bytes, size_t length)
{
    if (panel_end >= 0 && write(panel_end, bytes, length) < 0)
        return;
}

void bench_show(uint8_t lights, uint8_t lamps, uint16_t hertz)
{
    static uint32_t before = UINT32_MAX;
    uint32_t now = (uint32_t)lights | (uint32_t)lamps << 8 | (uint32_t)hertz << 16;
    if (now == before)
        return;
    before = now;
    print_line("lights", "\"ring\":%s,\"green\":%s,\"red\":%s,\"bar\":%u,\"tone_hz\":%u,",
               lights & LIGHT_RING ? "true" : "false", lights & LIGHT_GREEN ? "true" : "false",
               lights & LIGHT_RED ? "true" : "false", lamps, hertz);
}

void bench_scene(uint8_t scene)
{
    print_line("scene", "\"scene\":\"%s\",", scene < sizeof scenes / sizeof *scenes ? scenes[scene] : "unknown");
}
