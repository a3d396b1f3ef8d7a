// What is remembered of the addresses that clients connect from: how fast they connect, how often they fail.
// Any thread; one lock inside, taken when a connection comes or a login fails.
// Must not know connections.
#ifndef NOCTULE_BROKER_ADDRESSES_H
#define NOCTULE_BROKER_ADDRESSES_H

#include <stdbool.h>
#include <stdint.h>

/**
 * A table of fixed size: who fills it with ever new addresses makes it forget those whose past matters least.
 */
struct addresses;

struct addresses *addresses_new(void);
void addresses_free(struct addresses *table);

/**
 * The number under which an address ("192.0.2.7:51234", "[2001:db8::7]:51234") is remembered: an IPv4
 * address, or the 64-bit network of an IPv6 one, whose owner has all of it. 0: not an address, nothing is
 * remembered.
 */
uint64_t addresses_key(const char *address);

/** What to do with a connection. */
enum address_answer {
    ADDRESS_WELCOME,
    ADDRESS_TOO_FAST, ///< more than `connect_rate` a second, after a second's worth at once
    ADDRESS_BLOCKED,  ///< its logins failed too often, and the time is not over
};

/** A connection has come. `connect_rate` 0: any number of them. */
enum address_answer addresses_connect(struct addresses *table, uint64_t key, uint64_t now_ms,
                                      uint64_t connect_rate);

/** What a failed login means. */
enum address_failure {
    FAILURE_NOTED,
    FAILURE_SLOW,    ///< half of the number is reached: the answer should wait
    FAILURE_BLOCKS,  ///< with this one, the address is blocked from now on
    FAILURE_BLOCKED, ///< it is blocked already
};

/** A login has failed. `limit` of them, forgotten at the rate of `limit` a minute, block for `block_ms`. */
enum address_failure addresses_failed(struct addresses *table, uint64_t key, uint64_t now_ms, uint64_t limit,
                                      uint64_t block_ms);

/**
 * One rule for all rates: `*until_us` runs ahead of the clock by `cost_us` for each event. Returns by how
 * much it would be ahead of `now_us` by more than `ahead_us`, and then does not move; 0: the event may
 * happen.
 */
uint64_t rate_admits(uint64_t *until_us, uint64_t now_us, uint64_t cost_us, uint64_t ahead_us);

#endif
