/* Link: the panel's side of the protocol: sessions, heartbeats, acknowledgements. */
#ifndef PANEL_LINK_H
#define PANEL_LINK_H

#include <stdbool.h>
#include <stdint.h>

#define HEARTBEAT_MS 500u
#define LOST_MS 3000u

/* The panel starts: no session, and a heartbeat at once. */
void link_init(uint32_t now_ms);

/* Take a byte of the line. */
void link_receive(uint8_t byte, uint32_t now_ms);

/* A button went down or up just now. */
void link_button(uint8_t button, bool pressed, uint32_t now_ms);

/* Send what is due, and give a silent host up. Due every few milliseconds. */
void link_step(uint32_t now_ms);

#endif
