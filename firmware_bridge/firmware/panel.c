#include "panel.h"

#include <stdbool.h>
#include <stdint.h>

#include "buttons.h"
#include "hal.h"
#include "link.h"
#include "scenes.h"

void panel_init(void)
{
    uint32_t now_ms = hal_ms();
    buttons_init(hal_buttons());
    scenes_init(now_ms);
    link_init(now_ms);
}

void panel_step(void)
{
    uint32_t now_ms = hal_ms();
    int16_t byte;
    /* Bounded: a line that never stops talking must not keep the buttons and the watchdog waiting. */
    for (uint8_t i = 0; i < LINE_BYTES && (byte = hal_getc()) >= 0; i++)
        link_receive((uint8_t)byte, now_ms);
    uint8_t changed = buttons_step(hal_buttons(), now_ms);
    for (uint8_t i = 0; i < BUTTON_COUNT; i++) {
        if ((changed >> i) & 1)
            link_button(i, ((buttons_held() >> i) & 1) != 0, now_ms);
    }
    link_step(now_ms);
    scenes_step(now_ms);
}
