/* Hardware layer: all that the panel's core asks of a machine. */
#ifndef PANEL_HAL_H
#define PANEL_HAL_H

#include <stdbool.h>
#include <stdint.h>

#define BUTTON_COUNT 4     /* record, cancel, language, reply: bit n of a mask is the protocol's button n */
#define BAR_LAMPS 6        /* the lamps of the level bar, the lowest first */
#define LINE_BYTES 128     /* what a hardware layer keeps of the line in each direction */

#define LIGHT_RING 0x01u   /* around the record button */
#define LIGHT_GREEN 0x02u  /* the status light; both of its colours together are amber */
#define LIGHT_RED 0x04u

/* Milliseconds of a free-running clock, modulo 2^32. */
uint32_t hal_ms(void);

/* The buttons' contacts as they are now, not debounced: bit n is set while button n is down. */
uint8_t hal_buttons(void);

/* Light exactly these of LIGHT_RING, LIGHT_GREEN and LIGHT_RED. */
void hal_lights(uint8_t lights);

/* Light exactly these lamps of the level bar: bit 0 is the lowest. */
void hal_level_bar(uint8_t lamps);

/* Sound a tone of so many hertz until the next call; 0 is silence. */
void hal_tone(uint16_t hertz);

/* A scene begins: for hardware that also tells it in words, and for whoever watches a panel being tested. */
void hal_scene(uint8_t scene);

/* The next received byte, or -1. */
int16_t hal_getc(void);

/* How many bytes hal_putc takes now. */
uint8_t hal_room(void);

/* Send a byte; without room it is lost. */
void hal_putc(uint8_t byte);

#endif
