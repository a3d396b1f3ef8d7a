// The client's end of a connection to an in-process broker: what it sends, and a check of every byte that it
// gets: all must decode, in the right order and within the client's own limits. One thread. The broker's end
// runs over a transport that can be told to fail. Must not know the broker's sessions.
#ifndef NOCTULE_TESTS_PEER_H
#define NOCTULE_TESTS_PEER_H

#include "tests/fault/inprocess.h"

struct peer;

/** What a call of the broker's for its socket meets. */
enum fault {
    FAULT_NONE,
    FAULT_INTERRUPTED, ///< EINTR
    FAULT_AGAIN,       ///< EAGAIN
    FAULT_SHORT,       ///< some bytes, see short_size
    FAULT_RESET,       ///< ECONNRESET
    FAULTS,
};
typedef enum fault fault_fn(struct peer *peer, bool writing);

/** How a peer answers QoS 1 and 2. */
enum peer_answers {
    ANSWERS_NONE,
    ANSWERS_RIGHT,
    ANSWERS_ERROR, ///< PUBACK and PUBREC with 0x80
    ANSWERS_WRONG, ///< the other kind of acknowledgement
    ANSWERS,
};

/** What a test wants to know of; each may be NULL. */
struct peer_observer {
    void (*connected)(struct peer *peer, bool session_present, uint8_t reason);
    void (*published)(struct peer *peer, const struct mqtt_publish *publish);
    void (*acknowledged)(struct peer *peer, const struct mqtt_ack *ack);
    void (*subscribed)(struct peer *peer, const struct mqtt_suback *suback);
};

struct bytes {
    uint8_t *data;
    size_t length;
    size_t capacity;
};

enum { PEER_ALIASES = 16 };

struct peer {
    struct transport transport; ///< first: a layer over the socket, by which the broker's end finds the peer
    int fd;                     ///< the client's end; -1: closed
    struct connection *connection; ///< NULL: the broker has let go of it
    unsigned holders;              ///< the test, and the broker's transport
    fault_fn *fault;
    size_t short_size; ///< bytes that pass with FAULT_SHORT
    const struct peer_observer *observer;
    void *owner; ///< the test's
    enum peer_answers answers;
    bool deaf; ///< reads nothing
    bool connacked;
    bool refused;
    bool dismissed; ///< has got a DISCONNECT
    bool ended;     ///< the broker has closed
    uint8_t version;
    struct bytes connect; ///< what was sent up to the end of CONNECT
    bool connect_sent;
    uint32_t maximum_packet_size;
    uint16_t alias_maximum;
    bool aliases[PEER_ALIASES + 1]; ///< those the broker has defined
    struct bytes input;             ///< got, not yet a whole packet
    struct bytes output;            ///< not yet taken by the socket
};

/** A new connection to worker `index`; NULL when the broker refuses it at once. */
struct peer *peer_new(struct inprocess *house, unsigned index);

/** Closes the client's end, if it is open, and gives the peer back. NULL is fine. */
void peer_free(struct peer *peer);

void peer_send(struct peer *peer, const void *data, size_t length);

/** PUBACK, PUBREC, PUBREL or PUBCOMP. */
void peer_send_ack(struct peer *peer, uint8_t type, uint16_t packet_id, uint8_t reason);

/** Sends what the socket did not take, reads and checks what has come, answers it. */
void peer_go_on(struct peer *peer);

/** Closes the client's sending half. */
void peer_shutdown(struct peer *peer);

/** Closes the socket; the peer stays. */
void peer_hang_up(struct peer *peer);

#endif
