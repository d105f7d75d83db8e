/* Buttons: from contacts that bounce to edges that do not. */
#ifndef PANEL_BUTTONS_H
#define PANEL_BUTTONS_H

#include <stdint.h>

#define DEBOUNCE_MS 8

/* Start with the contacts as they are: a button that is down already makes no edge. */
void buttons_init(uint8_t contacts);

/* Take the contacts as they are now and return the buttons that have just gone down or up. Due every millisecond. */
uint8_t buttons_step(uint8_t contacts, uint32_t now_ms);

/* The buttons that are down, debounced. */
uint8_t buttons_held(void);

#endif
