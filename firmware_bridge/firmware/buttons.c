#include "buttons.h"

#include "hal.h"

static uint8_t held;
static uint8_t doubtful; /* buttons whose contact differs from `held` */
static uint8_t doubtful_since_ms[BUTTON_COUNT]; /* the clock's low byte */

void buttons_init(uint8_t contacts)
{
    held = contacts;
    doubtful = 0;
}

uint8_t buttons_step(uint8_t contacts, uint32_t now_ms)
{
    uint8_t now = (uint8_t)(now_ms & 0xFFu);
    uint8_t different = (uint8_t)(contacts ^ held);
    uint8_t changed = 0;
    for (uint8_t i = 0; i < BUTTON_COUNT; i++) {
        uint8_t bit = (uint8_t)(1u << i);
        /* One millisecond back at the old place starts the time anew: only a contact that rests counts. */
        if ((different & doubtful & bit) == 0)
            doubtful_since_ms[i] = now;
        else if ((uint8_t)(now - doubtful_since_ms[i]) >= DEBOUNCE_MS)
            changed = (uint8_t)(changed | bit);
    }
    held = (uint8_t)(held ^ changed);
    doubtful = (uint8_t)(different & (uint8_t)~changed);
    return changed;
}

uint8_t buttons_held(void)
{
    return held;
}
