#include "core/broker/addresses.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/topic/table.h"

enum { SETS = 512, WAYS = 8, SECOND_US = 1000000, MINUTE_US = 60 * SECOND_US };

/** Each of the three times lies in the future as long as it means something. */
struct entry {
    uint64_t key; ///< 0: free
    uint64_t connected_us;
    uint64_t failed_us;
    uint64_t blocked_us;
};

struct addresses {
    pthread_mutex_t lock;
    struct entry entries[SETS][WAYS];
};

struct addresses *addresses_new(void)
{
    struct addresses *table = memory_zalloc(sizeof *table);
    pthread_mutex_init(&table->lock, NULL);
    return table;
}

void addresses_free(struct addresses *table)
{
    if (!table)
        return;
    pthread_mutex_destroy(&table->lock);
    free(table);
}

static uint64_t big_endian(const uint8_t *bytes, size_t count)
{
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++)
        value = value << 8 | bytes[i];
    return value;
}

// No network of IPv6 that is in use begins with 32 bits of zero, so IPv4 addresses have keys of their own.
uint64_t addresses_key(const char *address)
{
    static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    char host[INET6_ADDRSTRLEN];
    uint8_t bytes[16];
    bool bracketed = *address == '[';
    const char *end = bracketed ? strchr(address, ']') : strrchr(address, ':');
    const char *start = address + bracketed;
    if (!end || (size_t)(end - start) >= sizeof host)
        return 0;
    memcpy(host, start, (size_t)(end - start));
    host[end - start] = '\0';
    if (inet_pton(AF_INET, host, bytes) == 1)
        return big_endian(bytes, 4);
    if (inet_pton(AF_INET6, host, bytes) != 1)
        return 0;
    if (memcmp(bytes, mapped, sizeof mapped) == 0)
        return big_endian(bytes + sizeof mapped, 4);
    uint64_t network = big_endian(bytes, 8);
    return network ? network : big_endian(bytes + 8, 8);
}

static uint64_t matters_until(const struct entry *entry)
{
    uint64_t last = entry->connected_us > entry->failed_us ? entry->connected_us : entry->failed_us;
    return last > entry->blocked_us ? last : entry->blocked_us;
}

// The entry of `key`, in the place of the one that matters least when it is new. Under the lock.
static struct entry *find(struct addresses *table, uint64_t key)
{
    struct entry *set = table->entries[table_mix(key) % SETS];
    struct entry *least = set;
    for (struct entry *entry = set; entry < set + WAYS; entry++) {
        if (entry->key == key)
            return entry;
        if (matters_until(entry) < matters_until(least))
            least = entry;
    }
    *least = (struct entry){.key = key};
    return least;
}

uint64_t rate_admits(uint64_t *until_us, uint64_t now_us, uint64_t cost_us, uint64_t ahead_us)
{
    uint64_t from = *until_us > now_us ? *until_us : now_us;
    if (from + cost_us > now_us + ahead_us)
        return from + cost_us - now_us - ahead_us;
    *until_us = from + cost_us;
    return 0;
}

enum address_answer addresses_connect(struct addresses *table, uint64_t key, uint64_t now_ms,
                                      uint64_t connect_rate)
{
    if (key == 0)
        return ADDRESS_WELCOME;
    uint64_t now_us = now_ms * 1000;
    enum address_answer answer = ADDRESS_WELCOME;
    pthread_mutex_lock(&table->lock);
    struct entry *entry = find(table, key);
    if (entry->blocked_us > now_us)
        answer = ADDRESS_BLOCKED;
    else if (connect_rate &&
             rate_admits(&entry->connected_us, now_us, SECOND_US / connect_rate, SECOND_US) > 0)
        answer = ADDRESS_TOO_FAST;
    pthread_mutex_unlock(&table->lock);
    return answer;
}

enum address_failure addresses_failed(struct addresses *table, uint64_t key, uint64_t now_ms, uint64_t limit,
                                      uint64_t block_ms)
{
    if (key == 0)
        return FAILURE_NOTED;
    uint64_t now_us = now_ms * 1000;
    enum address_failure failure = FAILURE_NOTED;
    pthread_mutex_lock(&table->lock);
    struct entry *entry = find(table, key);
    if (entry->blocked_us > now_us) {
        failure = FAILURE_BLOCKED;
    } else {
        uint64_t cost_us = MINUTE_US / limit;
        rate_admits(&entry->failed_us, now_us, cost_us, UINT32_MAX);
        uint64_t ahead_us = entry->failed_us - now_us;
        if (ahead_us + cost_us > MINUTE_US) {
            entry->blocked_us = now_us + block_ms * 1000;
            entry->failed_us = 0;
            failure = FAILURE_BLOCKS;
        } else if (ahead_us > MINUTE_US / 2) {
            failure = FAILURE_SLOW;
        }
    }
    pthread_mutex_unlock(&table->lock);
    return failure;
}
