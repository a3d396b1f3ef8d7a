// limits.memory: above it new work is refused, so that nothing that was accepted has to be lost.
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/broker/state.h"

enum { TRIM_EVERY_MS = 1000, GOOD_AGAIN_PERCENT = 95 };

// What the process really occupies: buffers, indexes and what the allocator keeps back are all in it.
uint64_t ceiling_resident_bytes(void)
{
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0)
        return 0;
    text[length] = '\0';
    const char *second = strchr(text, ' ');
    return second ? strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

// What was freed counts until it is given back to the system.
static uint64_t trimmed_bytes(uint64_t *trimmed_ms)
{
    uint64_t now = clock_monotonic_ms();
    if (now - *trimmed_ms < TRIM_EVERY_MS)
        return ceiling_resident_bytes();
    *trimmed_ms = now;
    malloc_trim(0);
    return ceiling_resident_bytes();
}

bool broker_is_full(const struct broker *broker)
{
    if (atomic_load_explicit(&broker->memory_full, memory_order_relaxed))
        return true;
    uint64_t most = atomic_load_explicit(&broker->message_bytes_most, memory_order_relaxed);
    return most && message_bytes_alive() > most;
}

void ceiling_watch(struct broker *broker)
{
    uint64_t limit = broker->settings->limits.memory;
    bool was_full = atomic_load_explicit(&broker->memory_full, memory_order_relaxed);
    if (!limit && !was_full) {
        atomic_store_explicit(&broker->message_bytes_most, 0, memory_order_relaxed);
        return;
    }
    uint64_t threshold = was_full ? limit / 100 * GOOD_AGAIN_PERCENT : limit;
    uint64_t bytes = ceiling_resident_bytes();
    if (limit && bytes > threshold)
        bytes = trimmed_bytes(&broker->trimmed_ms);
    bool full = limit && bytes > threshold;
    // A flood fills gigabytes between two looks: messages alone may take no more than is left now.
    uint64_t left = limit > bytes ? limit - bytes : 0;
    atomic_store_explicit(&broker->message_bytes_most, limit ? message_bytes_alive() + left : 0,
                          memory_order_relaxed);
    if (full == was_full)
        return;
    atomic_store_explicit(&broker->memory_full, full, memory_order_relaxed);
    if (full)
        log_event(LOG_WARN, "memory_full",
                  "limits.memory is reached: new connections, subscriptions, retained messages and messages "
                  "that would wait are refused",
                  LOG_NUM("bytes", bytes), LOG_NUM("limit", limit));
    else
        log_event(LOG_INFO, "memory_free", "memory is below limits.memory again", LOG_NUM("bytes", bytes),
                  LOG_NUM("limit", limit));
}
