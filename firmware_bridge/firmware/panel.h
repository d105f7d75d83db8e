/* Panel: the whole of it, as the hardware layers run it. */
#ifndef PANEL_PANEL_H
#define PANEL_PANEL_H

/* Power comes on. */
void panel_init(void);

/* One turn. Due at least every millisecond or two. */
void panel_step(void);

#endif
