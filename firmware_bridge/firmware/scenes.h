/* Scenes: how each looks and sounds on this panel. */
#ifndef PANEL_SCENES_H
#define PANEL_SCENES_H

#include <stdint.h>

enum scene {
    SCENE_OUT_OF_SERVICE,
    SCENE_IDLE,
    SCENE_RECORDING,
    SCENE_FINISHING,
    SCENE_THANKS,
    SCENE_SORRY,
    SCENE_DISCARDED,
    SCENE_NOTHING_HEARD,
    SCENE_OFFLINE,
    SCENE_CLOSED,
    SCENE_IDENTIFY,
    SCENE_COUNT
};

/* Start with *out of service*. */
void scenes_init(uint32_t now_ms);

/* Show a scene; the one that is shown already goes on, one that is not known here is shown as *out of service*.
   In the one that is shown already, another number of answers than before, but 0, answers a press that changes nothing. */
void scenes_show(uint8_t scene, uint8_t answers, uint32_t now_ms);

/* It is this loud, 0..255; it fades by itself, and only *recording* shows it. */
void scenes_level(uint8_t level, uint32_t now_ms);

/* Move the lights and the tone on. Due every few milliseconds. */
void scenes_step(uint32_t now_ms);

#endif
