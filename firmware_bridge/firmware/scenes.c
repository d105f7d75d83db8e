#include "scenes.h"

#include <stdbool.h>

#include "hal.h"

#define STEP_MS 125u /* a scene's pattern is 16 such steps, two seconds, and then begins again */
#define STEPS 16
#define NOTES 4
#define FADE_MS 25u
#define FADE_LEVELS 12u /* from the loudest to silence in half a second */
#define ANSWER_STEPS 4u /* a press that changes nothing: two blinks of the red light, two low notes */
#define ANSWER_HZ 260u
#define ALL_LAMPS ((uint8_t)((1u << BAR_LAMPS) - 1u))

enum bar { BAR_DARK, BAR_FULL, BAR_LEVEL, BAR_RUNNING, BAR_EMPTYING, BAR_BLINKING };

/* Lights: bit n is set where the light is lit during step n. Notes: tens of hertz, one in each of the first steps. */
struct look {
    uint16_t ring;
    uint16_t green;
    uint16_t red;
    uint8_t bar;
    uint8_t notes[NOTES];
};

#define ALWAYS 0xFFFFu
#define SLOWLY 0x00FFu
#define BLINKING 0x3333u
#define FAST 0x5555u
#define TWICE 0x000Au

/* No two scenes look the same to an eye that knows no colours. Recording makes no tone: the microphone listens. */
static const struct look looks[SCENE_COUNT] = {
    [SCENE_OUT_OF_SERVICE] = {0, 0, ALWAYS, BAR_DARK, {0}},
    [SCENE_IDLE] = {SLOWLY, 0, 0, BAR_DARK, {0}},
    [SCENE_RECORDING] = {ALWAYS, 0, 0, BAR_LEVEL, {0}},
    [SCENE_FINISHING] = {0, 0, 0, BAR_RUNNING, {0}},
    [SCENE_THANKS] = {0, ALWAYS, 0, BAR_FULL, {52, 66, 78, 105}},
    [SCENE_SORRY] = {0, 0, BLINKING, BAR_DARK, {52, 44, 35, 26}},
    [SCENE_DISCARDED] = {0, 0, 0, BAR_EMPTYING, {66, 52, 0, 0}},
    [SCENE_NOTHING_HEARD] = {0, TWICE, TWICE, BAR_DARK, {0, 59, 0, 59}},
    [SCENE_OFFLINE] = {SLOWLY, ALWAYS, ALWAYS, BAR_DARK, {0}},
    [SCENE_CLOSED] = {0, 0, 0, BAR_DARK, {0}},
    [SCENE_IDENTIFY] = {FAST, FAST, FAST, BAR_BLINKING, {105, 0, 105, 0}},
};

static uint8_t shown;
static uint8_t step;      /* 0..STEPS-1, the place in the pattern */
static bool first_round;  /* the notes are for the scene's first steps only */
static uint32_t step_ms;  /* when this step began */
static uint8_t level;
static uint8_t answered;  /* the number of answers in the newest command for this scene */
static uint8_t answering; /* steps of an answer that are still to come; 0: none is given */
static uint32_t answer_ms; /* when its present step began */
static uint32_t level_ms; /* when the level was given, or has faded last */

static uint8_t lowest(uint8_t lamps)
{
    return (uint8_t)((1u << lamps) - 1u);
}

static uint8_t level_lamps(void)
{
    return lowest((uint8_t)((level * BAR_LAMPS + 254) / 255));
}

static uint8_t emptying_lamps(void)
{
    uint8_t gone = (uint8_t)(step / 2u);
    return lowest(gone < BAR_LAMPS ? (uint8_t)(BAR_LAMPS - gone) : 0);
}

static uint8_t bar_lamps(uint8_t bar)
{
    switch (bar) {
    case BAR_FULL:
        return ALL_LAMPS;
    case BAR_LEVEL:
        return level_lamps();
    case BAR_RUNNING:
        return (uint8_t)(1u << (step % BAR_LAMPS));
    case BAR_EMPTYING:
        return emptying_lamps();
    case BAR_BLINKING:
        return (step & 1u) ? 0 : ALL_LAMPS;
    default:
        return 0;
    }
}

static void draw(void)
{
    const struct look *look = &looks[shown];
    uint16_t bit = (uint16_t)(1u << step);
    uint8_t lights = 0;
    if (look->ring & bit)
        lights = (uint8_t)(lights | LIGHT_RING);
    if (look->green & bit)
        lights = (uint8_t)(lights | LIGHT_GREEN);
    if (look->red & bit)
        lights = (uint8_t)(lights | LIGHT_RED);
    uint16_t hertz = first_round && step < NOTES ? (uint16_t)(look->notes[step] * 10u) : 0;
    if (answering != 0) {
        bool blinks = answering % 2u == 0;
        if (blinks)
            lights = (uint8_t)(lights ^ LIGHT_RED);
        hertz = blinks && shown != SCENE_RECORDING ? ANSWER_HZ : 0;
    }
    hal_lights(lights);
    hal_level_bar(bar_lamps(look->bar));
    hal_tone(hertz);
}

static void begin(uint8_t scene, uint32_t now_ms)
{
    shown = scene;
    step = 0;
    first_round = true;
    step_ms = now_ms;
    level = 0;
    answering = 0;
    hal_scene(scene);
    draw();
}

void scenes_init(uint32_t now_ms)
{
    answered = 0;
    begin(SCENE_OUT_OF_SERVICE, now_ms);
}

static void answer(uint32_t now_ms)
{
    answering = ANSWER_STEPS;
    answer_ms = now_ms;
    draw();
}

void scenes_show(uint8_t scene, uint8_t answers, uint32_t now_ms)
{
    if (scene >= SCENE_COUNT)
        scene = SCENE_OUT_OF_SERVICE;
    if (scene != shown)
        begin(scene, now_ms);
    else if (answers != 0 && answers != answered)
        answer(now_ms);
    answered = answers;
}

void scenes_level(uint8_t loud, uint32_t now_ms)
{
    level = loud;
    level_ms = now_ms;
    draw();
}

void scenes_step(uint32_t now_ms)
{
    bool moved = false;
    if (now_ms - step_ms >= STEP_MS) {
        step_ms += STEP_MS;
        step = (uint8_t)((uint8_t)(step + 1) % STEPS);
        first_round = first_round && step != 0;
        moved = true;
    }
    if (answering != 0 && now_ms - answer_ms >= STEP_MS) {
        answer_ms += STEP_MS;
        answering--;
        moved = true;
    }
    if (level != 0 && now_ms - level_ms >= FADE_MS) {
        level_ms += FADE_MS;
        level = level > FADE_LEVELS ? (uint8_t)(level - FADE_LEVELS) : 0;
        moved = true;
    }
    if (moved)
        draw();
}
