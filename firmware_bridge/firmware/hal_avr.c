/* Hardware layer of an ATmega328P at 16 MHz (a board such as the Nano). The pins are those of docs/panel-wiring.md. */
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>
#include <avr/wdt.h>
#include <util/atomic.h>

#include "hal.h"
#include "panel.h"

/* Buttons, each to ground, with the pull-ups of port C. */
#define PIN_RECORD PC0
#define PIN_CANCEL PC1
#define PIN_LANGUAGE PC2
#define PIN_REPLY PC3
/* Lights, high is lit: port B, */
#define PIN_RING PB0
#define PIN_GREEN PB1
#define PIN_RED PB2
/* a piezo on timer 2's output, */
#define PIN_TONE PB3
/* and the level bar on port D from the lowest lamp on; PD0 and PD1 are the line. */
#define PIN_BAR_1 PD2
#define PIN_BAR_2 PD3
#define PIN_BAR_3 PD4
#define PIN_BAR_4 PD5
#define PIN_BAR_5 PD6
#define PIN_BAR_6 PD7

#define BUTTON_PINS (_BV(PIN_RECORD) | _BV(PIN_CANCEL) | _BV(PIN_LANGUAGE) | _BV(PIN_REPLY))
#define LIGHT_PINS (_BV(PIN_RING) | _BV(PIN_GREEN) | _BV(PIN_RED))
#define BAR_PINS (((1u << BAR_LAMPS) - 1u) << PIN_BAR_1)

/* The core's masks go to the ports as they are. */
#if PIN_RECORD != 0 || PIN_CANCEL != 1 || PIN_LANGUAGE != 2 || PIN_REPLY != 3
#error "the buttons' pins must be those of the protocol's bits"
#endif
#if PIN_RING != 0 || PIN_GREEN != 1 || PIN_RED != 2
#error "the lights' pins must be those of LIGHT_RING, LIGHT_GREEN and LIGHT_RED"
#endif
#if PIN_BAR_6 - PIN_BAR_1 != BAR_LAMPS - 1
#error "the level bar's pins must follow each other"
#endif

/* With U2X the line runs at 117647 baud, 2.1 % fast; without it the nearest would be 3.5 % slow. */
#define UBRR_U2X_115200 16
#define BAUD_WITH_U2X (F_CPU / 8u / (UBRR_U2X_115200 + 1u))
#if BAUD_WITH_U2X < 115200 * 975 / 1000 || BAUD_WITH_U2X > 115200 * 1025 / 1000
#error "the line must be within 2.5 % of 115200 baud"
#endif
#define MS_TICKS (F_CPU / 64u / 1000u)
#define TONE_TICKS_HZ (F_CPU / 128u / 2u)

#define RING_MASK (LINE_BYTES - 1u)

struct ring {
    volatile uint8_t head;
    volatile uint8_t tail;
    volatile uint8_t bytes[LINE_BYTES];
};

static struct ring received;
static struct ring sending;
static volatile uint32_t ms;

ISR(TIMER0_COMPA_vect)
{
    ms++;
}

ISR(USART_RX_vect)
{
    uint8_t byte = UDR0;
    uint8_t next = (uint8_t)((received.head + 1u) & RING_MASK);
    if (next != received.tail) {
        received.bytes[received.head] = byte;
        received.head = next;
    }
}

ISR(USART_UDRE_vect)
{
    if (sending.head == sending.tail) {
        UCSR0B = (uint8_t)(UCSR0B & (uint8_t)~_BV(UDRIE0));
    } else {
        UDR0 = sending.bytes[sending.tail];
        sending.tail = (uint8_t)((sending.tail + 1u) & RING_MASK);
    }
}

uint32_t hal_ms(void)
{
    uint32_t now = 0;
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE)
    {
        now = ms;
    }
    return now;
}

uint8_t hal_buttons(void)
{
    return (uint8_t)(~PINC & BUTTON_PINS);
}

void hal_lights(uint8_t lights)
{
    PORTB = (uint8_t)((PORTB & (uint8_t)~LIGHT_PINS) | (lights & LIGHT_PINS));
}

void hal_level_bar(uint8_t lamps)
{
    PORTD = (uint8_t)((PORTD & (uint8_t)~BAR_PINS) | (uint8_t)((uint8_t)(lamps << PIN_BAR_1) & BAR_PINS));
}

void hal_tone(uint16_t hertz)
{
    uint16_t ticks = hertz == 0 ? 0 : (uint16_t)(TONE_TICKS_HZ / hertz);
    if (ticks == 0 || ticks > 256u) {
        TCCR2A = 0;
        TCCR2B = 0;
        return;
    }
    OCR2A = (uint8_t)(ticks - 1u);
    TCCR2A = _BV(COM2A0) | _BV(WGM21);
    TCCR2B = _BV(CS22) | _BV(CS20);
}

void hal_scene(uint8_t scene)
{
    GPIOR0 = scene;
}

int16_t hal_getc(void)
{
    if (received.head == received.tail)
        return -1;
    uint8_t byte = received.bytes[received.tail];
    received.tail = (uint8_t)((received.tail + 1u) & RING_MASK);
    return byte;
}

uint8_t hal_room(void)
{
    return (uint8_t)((uint8_t)(sending.tail - sending.head - 1) & RING_MASK);
}

void hal_putc(uint8_t byte)
{
    if (hal_room() == 0)
        return;
    sending.bytes[sending.head] = byte;
    sending.head = (uint8_t)((sending.head + 1u) & RING_MASK);
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE)
    {
        UCSR0B = (uint8_t)(UCSR0B | _BV(UDRIE0));
    }
}

/* After a watchdog's reset the watchdog goes on, at its shortest time: stop it before the memory is set up. */
void stop_watchdog(void) __attribute__((naked, used, section(".init3")));
void stop_watchdog(void)
{
    MCUSR = 0;
    wdt_disable();
}

int main(void)
{
    DDRB = LIGHT_PINS | _BV(PIN_TONE);
    DDRD = BAR_PINS;
    PORTC = BUTTON_PINS;
    UCSR0A = _BV(U2X0);
    UBRR0 = UBRR_U2X_115200;
    UCSR0C = _BV(UCSZ01) | _BV(UCSZ00);
    UCSR0B = _BV(RXEN0) | _BV(TXEN0) | _BV(RXCIE0);
    TCCR0A = _BV(WGM01);
    TCCR0B = _BV(CS01) | _BV(CS00);
    OCR0A = MS_TICKS - 1u;
    TIMSK0 = _BV(OCIE0A);
    wdt_enable(WDTO_250MS);
    SMCR = 0; /* idle: the line and the clock go on while it sleeps */
    sei();
    panel_init();
    for (;;) {
        wdt_reset();
        panel_step();
        sleep_mode(); /* the clock's next millisecond wakes it at the latest */
    }
}
