#include "flight.h"

#include <stdlib.h>
#include <string.h>

static size_t flight_bytes(const struct flight *flight)
{
    return sizeof *flight + flight->key.capacity + flight->body.capacity;
}

struct flight *flight_find(const struct flights *flights, const struct settings *settings,
                           struct noctule_string key, uint64_t hash)
{
    struct flight *flight = flights->buckets[hash % FLIGHT_BUCKETS];
    while (flight &&
           (flight->hash != hash || flight->settings != settings || flight->key.length != key.length ||
            memcmp(flight->key.data, key.data, key.length) != 0))
        flight = flight->next;
    return flight;
}

struct flight *flight_new(struct flights *flights, const struct settings *settings, struct text *key,
                          uint64_t hash, struct text *body)
{
    struct flight *flight = malloc(sizeof *flight);
    if (!flight)
        return NULL;
    struct flight **bucket = &flights->buckets[hash % FLIGHT_BUCKETS];
    *flight =
        (struct flight){.next = *bucket, .settings = settings, .key = *key, .hash = hash, .body = *body};
    *bucket = flight;
    *key = (struct text){0};
    *body = (struct text){0};
    flights->bytes += flight_bytes(flight);
    return flight;
}

void flight_free(struct flights *flights, struct flight *flight)
{
    struct flight **link = &flights->buckets[flight->hash % FLIGHT_BUCKETS];
    while (*link != flight)
        link = &(*link)->next;
    *link = flight->next;
    flights->bytes -= flight_bytes(flight);
    text_free(&flight->key);
    text_free(&flight->body);
    free(flight);
}

void flight_line_up(struct flights *flights, struct flight *flight)
{
    flight->state = FLIGHT_WAITING;
    flight->before = flights->last;
    flight->after = NULL;
    *(flight->before ? &flight->before->after : &flights->first) = flight;
    flights->last = flight;
    flights->waiting++;
}

void flight_step_out(struct flights *flights, struct flight *flight)
{
    *(flight->before ? &flight->before->after : &flights->first) = flight->after;
    *(flight->after ? &flight->after->before : &flights->last) = flight->before;
    flight->before = flight->after = NULL;
    flights->waiting--;
}
