// What the files of WebSocket share: the layer, what it keeps, its reader of frames.
// As websocket.h.
// Nothing outside of core/net/websocket*.c includes this.
#ifndef NOCTULE_NET_WEBSOCKET_STATE_H
#define NOCTULE_NET_WEBSOCKET_STATE_H

#include <wslay/wslay.h>

#include "core/net/output.h"
#include "core/net/websocket.h"

enum {
    WEBSOCKET_CONTROL_MAX = 125, ///< payload of a control frame [RFC 6455 5.5]
    WEBSOCKET_HEAD_MAX = 10,     ///< head of a frame without a mask
};

/** The upgrade, while it is under way. */
struct websocket_opening {
    struct upgrade_rules rules;
    void (*release)(void *owner);
    void *owner;
    uint8_t *bytes; ///< of the request, that has not come to its end; NULL: none
    size_t length;
    size_t seen; ///< by upgrade_head_length
};

/** What the layer below would not take yet. */
struct websocket_kept {
    size_t start;
    size_t end;
    uint8_t bytes[UPGRADE_ANSWER_MAX];
    size_t control_length; ///< of a control frame that waits for the end of a data frame
    uint8_t control[2 + WEBSOCKET_CONTROL_MAX];
};

/** Frames as they come in. A worker has one that is between two frames; a connection that is in the middle of
 * one holds another. */
struct websocket_reader;

/** Sized for many idle connections: everything behind a pointer exists only while it is needed. */
struct websocket {
    struct transport transport;        ///< first
    struct websocket_opening *opening; ///< NULL: frames are exchanged
    struct websocket_reader *reader;
    struct websocket_kept *kept;
    uint64_t frame_left; ///< bytes that the head of a frame to the peer has promised
    char *text;          ///< owned: the client's address behind proxies, or words about the upgrade
    const char *why;     ///< what is wrong; NULL: nothing
    uint16_t code;       ///< to close with
    bool in_message : 1; ///< the peer's next data frame goes on with a message
    bool peer_done : 1;  ///< the peer has sent Close
    bool said_close : 1; ///< so have we, or will as soon as the socket takes it
    bool told : 1;       ///< the stream knows of the end, or of what is wrong
};

/* websocket_opening.c */
/** As a transport's `read`: the exchange, then what came behind it. */
ssize_t websocket_open(struct websocket *layer, struct stream *stream, void *buffer, size_t size);
void websocket_opening_free(struct websocket_opening *opening);

/* websocket_in.c */
/** Unpacks `length` bytes in their place: returns how many bytes of data they hold, all at the beginning.
 * Sets layer->why or layer->peer_done where it comes to an end. -1: memory is out. */
ssize_t websocket_unpack(struct websocket *layer, struct stream *stream, uint8_t *bytes, size_t length);

/* websocket_out.c */
/** Sends bytes that belong between frames; what is not taken is kept. False: failed, with errno. */
bool websocket_say(struct websocket *layer, struct stream *stream, const void *bytes, size_t length);
/** Sends a control frame at the end of the data frame under way; one that still waits is replaced. */
bool websocket_say_control(struct websocket *layer, struct stream *stream, uint8_t opcode,
                           const void *payload, size_t length);
/** Close, the last frame, with `code` (0: none). */
bool websocket_say_close(struct websocket *layer, struct stream *stream, uint16_t code);
/** The functions of the transport. */
ssize_t websocket_write(struct transport *transport, struct stream *stream, const struct iovec *pieces,
                        int count);
bool websocket_wants_write(const struct transport *transport);

#endif
