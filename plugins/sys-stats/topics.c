#include "topics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_BYTES = 192 };

static struct noctule_string string_of(const char *text)
{
    return noctule_string_of(text, strlen(text));
}

/* QoS 2, as Mosquitto does it: a subscriber gets what it has subscribed with. */
static int32_t publish(const struct topics *topics, const char *name, const char *text)
{
    char topic[NAME_MAX_BYTES + sizeof("$SYS/broker/")];
    snprintf(topic, sizeof(topic), "$SYS/broker/%s", name);
    struct noctule_publication publication = {
        .size = sizeof(publication),
        .qos = 2,
        .retain = 1,
        .topic = string_of(topic),
        .payload = string_of(text),
    };
    return topics->host->publish(topics->instance, &publication);
}

static struct topic *topic_of(struct topics *topics, const char *name)
{
    for (size_t i = 0; i < topics->count; i++) {
        size_t at = (topics->next + i) % topics->count;
        if (strcmp(topics->list[at].name, name) == 0) {
            topics->next = at + 1;
            return &topics->list[at];
        }
    }
    if (strlen(name) > NAME_MAX_BYTES)
        return NULL;
    struct topic *more = realloc(topics->list, (topics->count + 1) * sizeof(*more));
    char *copy = strdup(name);
    if (more)
        topics->list = more;
    if (!more || !copy) {
        free(copy);
        return NULL;
    }
    more[topics->count] = (struct topic){.name = copy};
    return &more[topics->count++];
}

void topics_put(struct topics *topics, const char *name, const char *text)
{
    struct topic *topic = topic_of(topics, name);
    char wanted[sizeof(topic->text)];
    snprintf(wanted, sizeof(wanted), "%s", text);
    if (!topic || strcmp(topic->text, wanted) == 0)
        return;
    /* One that could not be published has not changed, and is due the next time. */
    if (publish(topics, name, wanted) == NOCTULE_OK)
        memcpy(topic->text, wanted, sizeof(wanted));
}

void topics_put_number(struct topics *topics, const char *name, int64_t number)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRId64, number);
    topics_put(topics, name, text);
}

void topics_put_decimal(struct topics *topics, const char *name, double number)
{
    char text[64];
    snprintf(text, sizeof(text), "%.2f", number);
    topics_put(topics, name, text);
}

void topics_clear(struct topics *topics)
{
    for (size_t i = 0; i < topics->count; i++) {
        if (topics->list[i].text[0])
            publish(topics, topics->list[i].name, "");
        free(topics->list[i].name);
    }
    free(topics->list);
    topics->list = NULL;
    topics->count = topics->next = 0;
}
