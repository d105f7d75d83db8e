#include "frame.h"

#define MIN_BODY 4

uint16_t crc16(uint16_t crc, uint8_t byte)
{
    crc = (uint16_t)(crc ^ (uint16_t)((uint16_t)byte << 8));
    for (uint8_t bit = 0; bit < 8; bit++)
        crc = (uint16_t)((crc & 0x8000u) ? (uint16_t)(crc << 1) ^ 0x1021u : (uint16_t)(crc << 1));
    return crc;
}

static uint16_t inverted_crc(const uint8_t *bytes, uint8_t length)
{
    uint16_t crc = CRC_INITIAL;
    for (uint8_t i = 0; i < length; i++)
        crc = crc16(crc, bytes[i]);
    return (uint16_t)~crc;
}

/* Undo COBS in place; returns the body's length, 0 where it is no COBS. */
static uint8_t decode(uint8_t *bytes, uint8_t length)
{
    uint8_t used = 0;
    uint8_t at = 0;
    while (at < length) {
        uint8_t code = bytes[at++];
        if (code == 0 || code - 1 > length - at)
            return 0;
        for (uint8_t i = 1; i < code; i++)
            bytes[used++] = bytes[at++];
        if (at < length)
            bytes[used++] = 0;
    }
    return used;
}

void frame_receiver_init(struct frame_receiver *receiver)
{
    receiver->used = 0;
    receiver->overlong = false;
}

static bool finish(struct frame_receiver *receiver, struct frame *frame)
{
    uint8_t *body = receiver->buffer;
    uint8_t length = receiver->overlong ? 0 : decode(body, receiver->used);
    frame_receiver_init(receiver);
    if (length < MIN_BODY)
        return false;
    uint16_t sent = (uint16_t)((uint16_t)((uint16_t)body[length - 2] << 8) | body[length - 1]);
    if (inverted_crc(body, (uint8_t)(length - 2)) != sent)
        return false;
    frame->type = body[0];
    frame->sequence = body[1];
    frame->length = (uint8_t)(length - MIN_BODY);
    frame->payload = body + 2;
    return true;
}

bool frame_receive(struct frame_receiver *receiver, uint8_t byte, struct frame *frame)
{
    if (byte == 0)
        return finish(receiver, frame);
    if (receiver->used == MAX_ENCODED)
        receiver->overlong = true;
    else
        receiver->buffer[receiver->used++] = byte;
    return false;
}

/* A frame that is being written: where its next byte goes, and where the distance to its next zero will stand. */
struct writer {
    uint8_t *out;
    uint8_t code_at;
    uint8_t used;
};

static void put(struct writer *writer, uint8_t byte)
{
    if (byte != 0) {
        writer->out[writer->used++] = byte;
        return;
    }
    writer->out[writer->code_at] = (uint8_t)(writer->used - writer->code_at);
    writer->code_at = writer->used++;
}

uint8_t frame_encode(uint8_t type, uint8_t sequence, const uint8_t *payload, uint8_t length, uint8_t *out)
{
    if (length > MAX_PAYLOAD)
        return 0;
    struct writer writer = {out, 1, 2};
    uint16_t crc = crc16(crc16(CRC_INITIAL, type), sequence);
    out[0] = 0;
    put(&writer, type);
    put(&writer, sequence);
    for (uint8_t i = 0; i < length; i++) {
        crc = crc16(crc, payload[i]);
        put(&writer, payload[i]);
    }
    crc = (uint16_t)~crc;
    put(&writer, (uint8_t)(crc >> 8));
    put(&writer, (uint8_t)(crc & 0xFFu));
    out[writer.code_at] = (uint8_t)(writer.used - writer.code_at);
    out[writer.used++] = 0;
    return writer.used;
}
