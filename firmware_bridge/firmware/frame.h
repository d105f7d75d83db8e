/* Frames: 0x00 | COBS(type, sequence number, payload, inverted CRC-16 with its high byte first) | 0x00. */
#ifndef PANEL_FRAME_H
#define PANEL_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#define MAX_PAYLOAD 64
#define MAX_BODY (MAX_PAYLOAD + 4)
#define MAX_ENCODED (MAX_BODY + 1)
#define MAX_FRAME (MAX_ENCODED + 2)
#define CRC_INITIAL 0xFFFFu

struct frame {
    uint8_t type;
    uint8_t sequence;
    uint8_t length;
    const uint8_t *payload; /* in the receiver's buffer: good until its next byte */
};

struct frame_receiver {
    uint8_t buffer[MAX_ENCODED];
    uint8_t used;
    bool overlong;
};

/* The CRC with one more byte: polynomial 0x1021, not reflected; it starts with CRC_INITIAL. */
uint16_t crc16(uint16_t crc, uint8_t byte);

/* Start, or forget a half-received frame. */
void frame_receiver_init(struct frame_receiver *receiver);

/* Take the next byte of the line; true where it completes a good frame, which is then in `frame`. */
bool frame_receive(struct frame_receiver *receiver, uint8_t byte, struct frame *frame);

/* Write the frame with its zeros to `out`, of MAX_FRAME bytes; returns its length, 0 where the payload is too long. */
uint8_t frame_encode(uint8_t type, uint8_t sequence, const uint8_t *payload, uint8_t length, uint8_t *out);

#endif
