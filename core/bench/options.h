// What a load consists of: the options of `noctule bench`, understood and checked.
// One thread; plain values.
// Must not know how the command line spells them.
#ifndef NOCTULE_BENCH_OPTIONS_H
#define NOCTULE_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/bench/target.h"

enum bench_scenario {
    BENCH_CONNECT,
    BENCH_PAIRS,
    BENCH_FAN_IN,
    BENCH_FAN_OUT,
    BENCH_LATENCY,
    BENCH_SUBSCRIPTIONS,
    BENCH_RETAINED,
    BENCH_SCENARIOS,
};

/** Exit codes of `noctule bench`. */
enum bench_exit {
    BENCH_DONE = 0,
    BENCH_LOCAL = 1,         ///< something on this side: files, descriptors, memory
    BENCH_USAGE = 2,         ///< the command line
    BENCH_REFUSED = 3,       ///< not reached, refused, or closed by the broker
    BENCH_SILENT = 4,        ///< no answer in time
    BENCH_INEXACT = 5,       ///< messages lost, doubled, out of order or refused
    BENCH_INTERRUPTED = 130, ///< SIGINT or SIGTERM
};

enum { BENCH_PIDS = 8, BENCH_PAYLOAD_LEAST = 20 };

struct bench_options {
    enum bench_scenario scenario;
    struct bench_target target;
    uint8_t version; ///< enum mqtt_version
    uint8_t qos;
    uint16_t keep_alive;   ///< seconds
    const char *client_id; ///< %i stands for the client's number, in these three
    const char *username;  ///< or NULL
    const char *password;  ///< or NULL
    const char *topic;     ///< first levels of every topic

    const char *ca_file;
    const char *certificate;
    const char *key;
    const char *tls_version; ///< "1.2", "1.3" or NULL
    bool insecure;
    bool resume;

    uint32_t clients;
    uint32_t publishers;
    uint32_t subscribers;
    uint32_t subscriptions;
    uint32_t topics;      ///< of each publisher
    uint32_t payload;     ///< bytes
    uint32_t count;       ///< messages of each publisher; retained messages; 0: as long as the duration
    uint32_t batch;       ///< messages in one write
    uint32_t window;      ///< messages under way, of all publishers; 0: any number
    uint32_t inflight;    ///< unacknowledged messages of each publisher
    uint32_t concurrency; ///< connections being opened at a time
    double ramp;          ///< connections a second; 0: as fast as may be
    double rate;          ///< messages a second, of all publishers; 0: as fast as may be
    double duration;      ///< seconds, as the following
    double warmup;
    double hold;
    double drain;
    double timeout;
    double plus; ///< share of the subscriptions with a + in them
    double hash; ///< share with # at the end
    bool keep;   ///< leave the retained messages in the broker
    bool spin;
    bool allow_loss;
    bool json;
    bool quiet;
    int pids[BENCH_PIDS];
    unsigned pid_count;
};

/** The name of a scenario as the command line has it. */
const char *bench_scenario_name(enum bench_scenario scenario);

/** Runs the load and prints the result on standard output. Returns enum bench_exit. */
int bench_run(const struct bench_options *options);

#endif
