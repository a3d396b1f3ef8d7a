#include "core/plugin/message_view.h"

#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/mqtt/properties.h"
#include "core/plugin/hook.h"
#include "core/topic/topic.h"

enum {
    PAYLOAD_MAX = 268435455 - 65535 - 16, // what fits a packet beside the longest topic [v5 1.5.5]
    PROPERTIES_MAX = 1 << 20,
};

void message_view_init(struct noctule_message *view, struct message *message, bool outgoing, uint8_t qos)
{
    *view = (struct noctule_message){.base = message,
                                     .outgoing = outgoing,
                                     .qos = qos,
                                     .retain = message->retain,
                                     .topic = message->topic,
                                     .payload = message->payload,
                                     .properties = message->properties};
}

bool message_view_keep(struct noctule_message *view)
{
    if (view->kept)
        return true;
    struct message *kept = message_keep(view->base);
    if (!kept)
        return false;
    view->base = kept;
    view->kept = true;
    if (!view->own_topic)
        view->topic = kept->topic;
    if (!view->own_payload)
        view->payload = kept->payload;
    if (!view->own_properties)
        view->properties = kept->properties;
    return true;
}

struct message *message_view_result(const struct noctule_message *view, bool *failed)
{
    *failed = false;
    if (!view->changed)
        return NULL;
    struct message changed = {.qos = view->qos,
                              .retain = view->retain,
                              .from_system = view->base->from_system,
                              .origin = view->base->origin,
                              .publisher = view->base->publisher,
                              .expires_ms = view->base->expires_ms,
                              .topic = view->topic,
                              .payload = view->payload,
                              .properties = view->properties};
    struct message *result = message_new(&changed);
    *failed = result == NULL;
    return result;
}

void message_view_clear(struct noctule_message *view)
{
    free(view->own_topic);
    free(view->own_payload);
    free(view->own_properties);
    if (view->kept)
        message_unref(view->base);
    *view = (struct noctule_message){0};
}

// ---- Reading -------------------------------------------------------------------------------------------

// The text of a property's encoding: behind its identifier and its length.
static struct noctule_string property_text(struct str encoding)
{
    return (struct noctule_string){encoding.data + 3, encoding.length - 3};
}

const struct noctule_message_info *message_view_info(struct noctule_message *view)
{
    struct noctule_message_info *info = &view->info;
    *info = (struct noctule_message_info){.size = sizeof *info,
                                          .qos = view->qos,
                                          .retain = view->retain,
                                          .topic = string_of(view->topic),
                                          .payload = string_of(view->payload),
                                          .expires_at = view->base->expires_ms,
                                          .origin = view->base->from_system ? 1U + view->base->origin : 0};
    struct str rest = view->properties;
    struct str encoding;
    uint8_t id;
    while (mqtt_property_next(&rest, &id, &encoding)) {
        if (id == MQTT_PAYLOAD_FORMAT_INDICATOR) {
            info->has_payload_format = 1;
            info->payload_format = (uint8_t)encoding.data[1];
        } else if (id == MQTT_CONTENT_TYPE) {
            info->content_type = property_text(encoding);
        } else if (id == MQTT_RESPONSE_TOPIC) {
            info->response_topic = property_text(encoding);
        } else if (id == MQTT_CORRELATION_DATA) {
            info->correlation_data = property_text(encoding);
        } else if (id == MQTT_USER_PROPERTY) {
            info->user_properties++;
        }
    }
    return info;
}

// The encoding of the index-th User Property.
static bool user_property_find(const struct noctule_message *view, uint32_t index, struct str *found)
{
    struct str rest = view->properties;
    uint8_t id;
    while (mqtt_property_next(&rest, &id, found))
        if (id == MQTT_USER_PROPERTY && index-- == 0)
            return true;
    return false;
}

int32_t message_view_user_property(struct noctule_message *view, uint32_t index, struct noctule_string *name,
                                   struct noctule_string *value)
{
    struct str encoding;
    struct str first;
    struct str second;
    if (!user_property_find(view, index, &encoding) || !mqtt_user_property_next(&encoding, &first, &second))
        return NOCTULE_E_INVALID;
    *name = string_of(first);
    *value = string_of(second);
    return NOCTULE_OK;
}

// ---- Changing ------------------------------------------------------------------------------------------

static bool text_is_valid(struct noctule_string text)
{
    return text.length <= UINT16_MAX && (text.data || text.length == 0) && str_is_utf8(str_from(text));
}

static bool topic_name_is_valid(struct noctule_string topic)
{
    return topic.data && text_is_valid(topic) && topic_is_valid(str_from(topic));
}

static int32_t replace(struct noctule_message *view, char **own, struct str *field, struct str fresh)
{
    char *copy = memory_try(fresh.length + 1);
    if (!copy)
        return NOCTULE_E_MEMORY;
    if (fresh.length)
        memcpy(copy, fresh.data, fresh.length);
    free(*own);
    *own = copy;
    *field = str_make(copy, fresh.length);
    view->changed = true;
    return NOCTULE_OK;
}

int32_t message_view_set_topic(struct noctule_message *view, struct noctule_string topic)
{
    if (!topic_name_is_valid(topic))
        return NOCTULE_E_INVALID;
    return replace(view, &view->own_topic, &view->topic, str_from(topic));
}

int32_t message_view_set_payload(struct noctule_message *view, struct noctule_string payload)
{
    if (!payload.data && payload.length)
        return NOCTULE_E_INVALID;
    if (payload.length > PAYLOAD_MAX)
        return NOCTULE_E_LIMIT;
    return replace(view, &view->own_payload, &view->payload, str_from(payload));
}

int32_t message_view_set_qos(struct noctule_message *view, uint8_t qos)
{
    if (qos > 2 || (view->outgoing && qos > view->qos))
        return NOCTULE_E_INVALID;
    view->changed |= qos != view->qos;
    view->qos = qos;
    return NOCTULE_OK;
}

int32_t message_view_set_retain(struct noctule_message *view, uint8_t retain)
{
    if (retain > 1 || view->outgoing)
        return NOCTULE_E_INVALID;
    view->changed |= (retain != 0) != view->retain;
    view->retain = retain != 0;
    return NOCTULE_OK;
}

static char *put_text(char *out, struct noctule_string text)
{
    *out++ = (char)(text.length >> 8);
    *out++ = (char)(text.length & 0xFF);
    if (text.length)
        memcpy(out, text.data, text.length);
    return out + text.length;
}

static char *put_property(char *out, enum mqtt_property id, struct noctule_string text)
{
    *out++ = (char)id;
    return put_text(out, text);
}

int32_t message_view_add_user_property(struct noctule_message *view, struct noctule_string name,
                                       struct noctule_string value)
{
    if (!text_is_valid(name) || !text_is_valid(value))
        return NOCTULE_E_INVALID;
    size_t length = view->properties.length + 5 + name.length + value.length;
    if (length > PROPERTIES_MAX)
        return NOCTULE_E_LIMIT;
    char *fresh = memory_try(length);
    if (!fresh)
        return NOCTULE_E_MEMORY;
    if (view->properties.length)
        memcpy(fresh, view->properties.data, view->properties.length);
    put_text(put_property(fresh + view->properties.length, MQTT_USER_PROPERTY, name), value);
    free(view->own_properties);
    view->own_properties = fresh;
    view->properties = str_make(fresh, length);
    view->changed = true;
    return NOCTULE_OK;
}

int32_t message_view_remove_user_property(struct noctule_message *view, uint32_t index)
{
    struct str found;
    if (!user_property_find(view, index, &found))
        return NOCTULE_E_INVALID;
    size_t before = (size_t)(found.data - view->properties.data);
    size_t length = view->properties.length - found.length;
    char *fresh = memory_try(length + 1);
    if (!fresh)
        return NOCTULE_E_MEMORY;
    memcpy(fresh, view->properties.data, before);
    memcpy(fresh + before, found.data + found.length, length - before);
    free(view->own_properties);
    view->own_properties = fresh;
    view->properties = str_make(fresh, length);
    view->changed = true;
    return NOCTULE_OK;
}

// ---- Publishing ----------------------------------------------------------------------------------------

static bool publication_is_valid(const struct noctule_publication *given)
{
    if (!topic_name_is_valid(given->topic) || given->qos > 2 || given->retain > 1 ||
        (!given->payload.data && given->payload.length) || given->payload.length > PAYLOAD_MAX ||
        (given->has_payload_format && given->payload_format > 1) || !text_is_valid(given->content_type) ||
        (given->response_topic.data && !topic_name_is_valid(given->response_topic)) ||
        (!given->correlation_data.data && given->correlation_data.length) ||
        given->correlation_data.length > UINT16_MAX ||
        (given->user_property_count && !given->user_properties))
        return false;
    for (size_t i = 0; i < given->user_property_count; i++)
        if (!text_is_valid(given->user_properties[i].name) || !text_is_valid(given->user_properties[i].value))
            return false;
    return true;
}

static size_t properties_size(const struct noctule_publication *given)
{
    size_t size = 2 + 3 + given->content_type.length + 3 + given->response_topic.length + 3 +
                  given->correlation_data.length;
    for (size_t i = 0; i < given->user_property_count && size <= PROPERTIES_MAX; i++)
        size += 5 + given->user_properties[i].name.length + given->user_properties[i].value.length;
    return size;
}

// Returns the end of what was written.
static char *properties_put(char *out, const struct noctule_publication *given)
{
    if (given->has_payload_format) {
        *out++ = MQTT_PAYLOAD_FORMAT_INDICATOR;
        *out++ = (char)given->payload_format;
    }
    if (given->content_type.data)
        out = put_property(out, MQTT_CONTENT_TYPE, given->content_type);
    if (given->response_topic.data)
        out = put_property(out, MQTT_RESPONSE_TOPIC, given->response_topic);
    if (given->correlation_data.data)
        out = put_property(out, MQTT_CORRELATION_DATA, given->correlation_data);
    for (size_t i = 0; i < given->user_property_count; i++)
        out = put_text(put_property(out, MQTT_USER_PROPERTY, given->user_properties[i].name),
                       given->user_properties[i].value);
    return out;
}

struct message *publication_message(const struct noctule_instance *instance,
                                    const struct noctule_publication *publication, int32_t *why)
{
    struct noctule_publication given = {0};
    *why = NOCTULE_E_INVALID;
    if (!publication || publication->size < sizeof given.size)
        return NULL;
    memcpy(&given, publication, size_read(publication->size, sizeof given));
    if (!publication_is_valid(&given))
        return NULL;
    size_t size = properties_size(&given);
    *why = NOCTULE_E_LIMIT;
    if (size > PROPERTIES_MAX)
        return NULL;
    *why = NOCTULE_E_MEMORY;
    char *properties = memory_try(size);
    if (!properties)
        return NULL;
    struct message message = {.qos = given.qos,
                              .retain = given.retain != 0,
                              .from_system = true,
                              .origin = (uint8_t)(1 + instance->index),
                              .topic = str_from(given.topic),
                              .payload = str_from(given.payload)};
    message.properties = str_make(properties, (size_t)(properties_put(properties, &given) - properties));
    if (given.expiry_seconds)
        message.expires_ms = clock_monotonic_ms() + given.expiry_seconds * 1000ULL;
    struct message *owned = message_new(&message);
    free(properties);
    return owned;
}
