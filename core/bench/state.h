// The structures of this room: one run of the load generator, its connections, publishers and subscribers.
// One thread, the one that called bench_run.
// Must not know the command line, nor the broker's side of anything.
#ifndef NOCTULE_BENCH_STATE_H
#define NOCTULE_BENCH_STATE_H

#include <jansson.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bench/histogram.h"
#include "core/bench/options.h"

#define NS_PER_SECOND 1000000000ULL
#define NEVER         UINT64_MAX

enum {
    RECEIVE_SIZE = 256 * 1024, ///< read at once
    KEPT_SMALL = 16 * 1024, ///< an incomplete packet of at most this size is copied in front of what follows
    SEND_SIZE = 256 * 1024, ///< written at once
    /** Bytes in front of what is sent, for the header of a WebSocket frame. */
    SEND_HEADROOM = 16,
};

enum connection_state {
    CONNECTION_NEW,
    CONNECTION_TCP,
    CONNECTION_TLS,
    CONNECTION_UPGRADE, ///< waits for the answer to the WebSocket handshake
    CONNECTION_CONNECT, ///< waits for CONNACK
    CONNECTION_READY,
    CONNECTION_CLOSED,
};

struct websocket;

struct connection {
    int fd;
    uint8_t state; ///< enum connection_state
    bool waits_to_write;
    uint16_t subacks; ///< awaited
    uint16_t last_packet_id;
    uint32_t number; ///< among all connections
    SSL *ssl;
    struct websocket *websocket;
    uint8_t *kept; ///< an incomplete packet
    uint32_t kept_length;
    uint32_t kept_capacity;
    uint32_t wanted;  ///< whole size of a packet that is larger than KEPT_SMALL, else 0
    uint8_t *pending; ///< what the socket did not take
    size_t pending_start;
    size_t pending_end;
    size_t pending_capacity;
    uint64_t due_ns;               ///< when it was to be opened
    uint64_t sent_ns;              ///< when something was sent last
    struct publisher *publisher;   ///< or NULL
    struct subscriber *subscriber; ///< or NULL
};

/**
 * A stream is the messages of one topic: each has one publisher, which numbers them from 0. A publisher has
 * `streams` of them from `first_stream` on, and publishes to them in turn, `stride` apart.
 */
struct publisher {
    struct connection *connection;
    uint64_t sent;
    uint64_t limit; ///< messages to send in all
    uint64_t due;   ///< at a fixed rate: messages whose time has come, not sent yet
    uint32_t index;
    uint32_t first_stream;
    uint32_t streams;
    uint32_t stride;
    uint32_t cursor; ///< next stream, from first_stream
    uint32_t round;  ///< times that every stream had a message: the next one's number in its stream
    uint32_t in_round;
    uint32_t header_size;
    uint32_t id_offset;
    uint32_t digits_offset;
    uint8_t *header; ///< a PUBLISH up to its payload
    bool queued;     ///< in bench->ready
    uint16_t window; ///< packet identifiers: 1 to window
    uint16_t free_count;
    uint16_t free_first;
    uint16_t *free_ids; ///< a ring
    uint8_t *id_states; ///< by packet identifier
    uint64_t *id_stamps;
};

struct subscriber {
    struct connection *connection;
    uint32_t first_stream; ///< what it is to receive: so many streams from here on
    uint32_t streams;
    uint32_t filters;
    uint32_t filters_sent;
    size_t first_slot; ///< in the ledger
};

/** What subscribers subscribe to. */
enum filters {
    FILTERS_EXACT, ///< each of its topics
    FILTERS_ALL,   ///< everything, with one #
    FILTERS_MIXED, ///< each of its topics, some with + or #
};

/** How topics look: PREFIX/word/DIGITS, or PREFIX/word/DIGITS/DIGITS with `tail` behind it. */
struct topics {
    const char *word;
    const char *tail; ///< "" or a level with its slash
    bool tree;
    int digits; ///< of the flat form
};

struct ledger_slot;

/** What was received, message by message; see ledger.h. */
struct ledger {
    struct ledger_slot *slots;
    size_t count;
    uint64_t delivered; ///< different messages
    uint64_t passed;    ///< delivered ones, and those behind which a later one came
    uint64_t duplicates;
    uint64_t reordered;
    uint64_t misrouted;
    uint64_t wrong_size;
    uint64_t stray;    ///< of another run
    uint64_t retained; ///< with RETAIN set
};

/** A look at the clocks. */
struct sample {
    uint64_t now_ns;
    uint64_t broker_ns;      ///< CPU time
    uint64_t broker_wait_ns; ///< its threads could run and did not
    uint64_t own_ns;
    uint64_t own_wait_ns;
    uint64_t busy_ns; ///< of all processors, whoever used them
    uint64_t idle_ns; ///< this program, polling in vain
    uint64_t delivered;
    uint64_t sent;
};

/** One stretch of publishing. */
struct traffic {
    uint64_t start_ns;
    uint64_t warm_ns;   ///< when measuring begins
    uint64_t stop_ns;   ///< when it ends; 0: with the last message
    uint64_t total;     ///< messages of all publishers; NEVER: no end
    uint64_t scheduled; ///< at a fixed rate: messages whose time has come
    double interval_ns;
    bool warm;
    bool stopping;
    bool by_count;
    bool ended;
    bool barrier; ///< end with a PINGREQ of each publisher: the answer says that all before it was taken
    bool barrier_sent;
    uint64_t stopped_ns;
    uint64_t stalled_ns;
    struct sample begin;
    struct sample end;
};

struct bench {
    const struct bench_options *options;
    uint32_t run; ///< marks the payloads of this run
    uint64_t now_ns;
    uint64_t progress_ns; ///< when something came in that the run waits for
    uint64_t idle_ns;
    const char *phase;
    bool stop;
    bool tolerant; ///< a connection that fails is counted and does not end the run
    enum bench_exit exit;
    char *problem; ///< what ended the run, or NULL

    int epoll;
    SSL_CTX *tls;
    SSL_SESSION *session; ///< to resume
    char *upgrade;        ///< the WebSocket handshake
    char *accept;         ///< the answer to its key

    struct connection *connections;
    uint32_t connection_count;
    uint32_t open_next; ///< the next one to open, up to open_end
    uint32_t open_end;
    uint32_t open_first;
    uint64_t open_start_ns;
    uint32_t opening;
    uint32_t connected;
    uint32_t failed;
    uint32_t lost;
    uint32_t resumed; ///< TLS sessions
    uint64_t connected_ns;
    uint64_t pings_due;     ///< PINGRESP awaited
    uint64_t keep_alive_ns; ///< when to look for quiet connections

    struct subscriber *subscribers;
    uint32_t subscriber_count;
    struct subscriber **subscribing; ///< those with filters to send
    uint32_t subscribing_count;
    enum filters filters;
    struct topics topics;
    uint64_t subacks_due;
    uint64_t subscribed;
    uint64_t subscriptions_refused;
    uint64_t lower_qos;

    struct publisher *publishers;
    uint32_t publisher_count;
    struct publisher **ready; ///< a ring of those that may send
    uint32_t ready_first;
    uint32_t ready_count;
    uint32_t batch;
    bool retain;
    uint32_t fan; ///< deliveries of each message
    uint64_t sent;
    uint64_t acknowledged;
    uint64_t refused; ///< acknowledgements with an error
    uint64_t wrong_acks;
    uint64_t written_off; ///< deliveries not waited for any longer
    uint64_t stalls;
    uint64_t first_message_ns;
    uint64_t last_message_ns;
    uint64_t measure_from_ns; ///< latencies of what was due before are not counted
    struct traffic traffic;
    uint64_t settle_ns;
    uint64_t progress_shown_ns;
    uint64_t progress_shown; ///< what the progress line counted then

    struct ledger ledger;
    struct histogram connecting; // nanoseconds, as all of these
    struct histogram latency;
    struct histogram acknowledging;
    struct histogram lateness; ///< of this program

    uint8_t *receive; ///< KEPT_SMALL, then RECEIVE_SIZE
    uint8_t *send;    ///< SEND_HEADROOM, then send_size
    size_t send_size;
    uint8_t *acks; ///< SEND_HEADROOM, then answers to the packets of one read
    size_t acks_length;
    uint8_t *payload;
};

/** Ends the run: the first problem counts. */
void bench_fail(struct bench *bench, enum bench_exit exit, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Set by SIGINT and SIGTERM. */
extern volatile sig_atomic_t bench_interrupted;

#endif
