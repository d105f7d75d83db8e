/* The real ATmega328P program in an emulated chip, at the pace of real time, on the bench of bench.h. */
#include <simavr/avr_extint.h>
#include <simavr/avr_ioport.h>
#include <simavr/avr_uart.h>
#include <simavr/sim_avr.h>
#include <simavr/sim_elf.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "hal.h"

#define CPU_MHZ 16u
#define CPU_HZ 16000000u
#define SLICE_CYCLES 1600u    /* 0.1 ms: how often its pins are moved and looked at */
#define MAX_BEHIND_CYCLES CPU_HZ /* a machine that was stalled for longer is not made up for by a race */
#define LINE_FIFO 4096u
#define CONTACT_PINS ((1u << BUTTON_COUNT) - 1u) /* of port C, from its first pin on */

/* Addresses in the data space, from the ATmega328P's data sheet. */
#define PINC 0x26
#define GPIOR0 0x3E
#define TCCR2A 0xB0
#define TCCR2B 0xB1
#define OCR2A 0xB3
#define LAST_FLASH_WORD 0x7FFEu

static avr_t *avr;
static avr_irq_t *line_in;
static uint8_t fifo[LINE_FIFO];
static unsigned fifo_head;
static unsigned fifo_tail;
static bool may_send = true;
static uint8_t port_b;
static uint8_t port_d;

static void on_line_out(avr_irq_t *irq, uint32_t value, void *param)
{
    (void)irq;
    (void)param;
    uint8_t byte = (uint8_t)value;
    bench_write(&byte, 1);
}

static void on_xon(avr_irq_t *irq, uint32_t value, void *param)
{
    (void)irq;
    (void)value;
    (void)param;
    may_send = true;
}

static void on_xoff(avr_irq_t *irq, uint32_t value, void *param)
{
    (void)irq;
    (void)value;
    (void)param;
    may_send = false;
}

static void on_port(avr_irq_t *irq, uint32_t value, void *param)
{
    (void)irq;
    *(uint8_t *)param = (uint8_t)value;
}

static void on_scene(avr_irq_t *irq, uint32_t value, void *param)
{
    (void)irq;
    (void)param;
    bench_scene((uint8_t)value);
}

static void do_not_sleep(avr_t *chip, avr_cycle_count_t how_long)
{
    (void)chip; /* the pace is kept by main */
    (void)how_long;
}

/* Standard output belongs to the JSON lines. */
static void log_errors(avr_t *chip, const int level, const char *format, va_list words)
{
    (void)chip;
    if (level == LOG_ERROR)
        (void)vfprintf(stderr, format, words);
}

static bool load(const char *path)
{
    static elf_firmware_t firmware;
    avr_global_logger_set(log_errors);
    if (elf_read_firmware(path, &firmware) != 0) {
        (void)fprintf(stderr, "%s is no AVR program: build it with make avr\n", path);
        return false;
    }
    (void)strcpy(firmware.mmcu, "atmega328p");
    firmware.frequency = CPU_HZ;
    avr = avr_make_mcu_by_name(firmware.mmcu);
    if (avr == NULL || avr_init(avr) != 0)
        return false;
    avr->log = LOG_ERROR;
    avr_load_firmware(avr, &firmware);
    avr->sleep = do_not_sleep;
    avr->run_cycle_limit = SLICE_CYCLES;
    return true;
}

static void connect(void)
{
    /* Lamps are on the pins of the external interrupts; the emulator would look at a dark one in every cycle. */
    avr_extint_set_strict_lvl_trig(avr, 0, 0);
    avr_extint_set_strict_lvl_trig(avr, 1, 0);
    uint32_t flags = 0;
    (void)avr_ioctl(avr, AVR_IOCTL_UART_GET_FLAGS('0'), &flags);
    flags &= ~(uint32_t)(AVR_UART_FLAG_STDIO | AVR_UART_FLAG_POLL_SLEEP);
    (void)avr_ioctl(avr, AVR_IOCTL_UART_SET_FLAGS('0'), &flags);
    line_in = avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_INPUT);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUTPUT), on_line_out, NULL);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUT_XON), on_xon, NULL);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUT_XOFF), on_xoff, NULL);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ('B'), IOPORT_IRQ_REG_PORT), on_port, &port_b);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ('D'), IOPORT_IRQ_REG_PORT), on_port, &port_d);
    avr_irq_register_notify(avr_iomem_getirq(avr, GPIOR0, "scene", AVR_IOMEM_IRQ_ALL), on_scene, NULL);
}

static void restart(void)
{
    avr_reset(avr);
    fifo_head = fifo_tail = 0;
    may_send = true;
}

/* An endless loop in a place that the firmware does not use; its interrupts go on, so only a watchdog can tell. */
static void hang(void)
{
    avr->flash[LAST_FLASH_WORD] = 0xFF;
    avr->flash[LAST_FLASH_WORD + 1] = 0xCF;
    avr->pc = LAST_FLASH_WORD;
}

/* A contact that is closed takes its pin to ground, whatever the firmware or a reset makes of the pull-ups. */
static void move_contacts(void)
{
    uint8_t high = (uint8_t)(~bench_contacts() & CONTACT_PINS);
    uint8_t different = (uint8_t)((avr->data[PINC] ^ high) & CONTACT_PINS);
    if (different == 0)
        return;
    avr_ioport_external_t contacts = {.name = 'C', .mask = CONTACT_PINS, .value = high};
    (void)avr_ioctl(avr, AVR_IOCTL_IOPORT_SET_EXTERNAL('C'), &contacts);
    for (int i = 0; i < BUTTON_COUNT; i++) {
        avr_irq_t *pin = avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ('C'), i);
        uint32_t level = high >> i & 1;
        if ((different >> i & 1) == 0)
            continue;
        /* The emulator passes on changes only, and its reset forgets a pin's level without being told of one. */
        if (pin->value == level)
            avr_raise_irq(pin, !level);
        avr_raise_irq(pin, level);
    }
}

static void take_line(void)
{
    uint8_t bytes[256];
    size_t got = bench_read(bytes, sizeof bytes);
    for (size_t i = 0; i < got; i++)
        fifo[fifo_head++ % LINE_FIFO] = bytes[i];
}

static uint16_t tone_hz(void)
{
    static const uint16_t prescalers[8] = {0, 1, 8, 32, 64, 128, 256, 1024};
    uint16_t prescaler = prescalers[avr->data[TCCR2B] & 7u];
    if (prescaler == 0 || (avr->data[TCCR2A] & 0xC0u) == 0)
        return 0;
    return (uint16_t)(CPU_HZ / prescaler / 2u / (avr->data[OCR2A] + 1u));
}

/* Run until that cycle; returns false where the chip has stopped for good. */
static bool run_until(avr_cycle_count_t cycle)
{
    while (avr->cycle < cycle) {
        while (may_send && fifo_tail != fifo_head)
            avr_raise_irq(line_in, fifo[fifo_tail++ % LINE_FIFO]);
        int state = avr_run(avr);
        if (state == cpu_Done || state == cpu_Crashed)
            return false;
    }
    return true;
}

int main(int count, char **words)
{
    if (count != 3) {
        (void)fprintf(stderr, "usage: simpanel PROGRAM.elf LINK    (LINK: the symlink to make)\n");
        return 2;
    }
    if (!load(words[1]))
        return 2;
    connect();
    if (!bench_start(words[2]))
        return 2;
    uint64_t start_us = bench_us();
    avr_cycle_count_t start_cycle = avr->cycle;
    for (;;) {
        enum bench_order order = bench_wait(1);
        if (order == BENCH_QUIT)
            break;
        if (order == BENCH_RESTART)
            restart();
        if (order == BENCH_HANG)
            hang();
        avr_cycle_count_t wanted = start_cycle + (bench_us() - start_us) * CPU_MHZ;
        if (wanted > avr->cycle + MAX_BEHIND_CYCLES || !bench_plugged()) {
            start_cycle += wanted - avr->cycle;
            continue;
        }
        take_line();
        while (avr->cycle < wanted) {
            move_contacts();
            if (!run_until(avr->cycle + SLICE_CYCLES)) {
                (void)fprintf(stderr, "the emulated chip has stopped\n");
                return 1;
            }
            bench_show(port_b & 7u, (uint8_t)(port_d >> 2), tone_hz());
        }
    }
    bench_stop();
    return 0;
}
