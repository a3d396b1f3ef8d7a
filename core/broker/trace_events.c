// The lines of a trace: packets as their decoders see them, decisions, flow, ends.
#include <stdlib.h>

#include "core/broker/control_json.h"
#include "core/broker/trace_state.h"

enum { CONTENT_MAX = 4096, CODES_MAX = 100, FILTERS_MAX = 100 };

static const char *const packet_names[16] = {
    [MQTT_CONNECT] = "CONNECT",         [MQTT_CONNACK] = "CONNACK",       [MQTT_PUBLISH] = "PUBLISH",
    [MQTT_PUBACK] = "PUBACK",           [MQTT_PUBREC] = "PUBREC",         [MQTT_PUBREL] = "PUBREL",
    [MQTT_PUBCOMP] = "PUBCOMP",         [MQTT_SUBSCRIBE] = "SUBSCRIBE",   [MQTT_SUBACK] = "SUBACK",
    [MQTT_UNSUBSCRIBE] = "UNSUBSCRIBE", [MQTT_UNSUBACK] = "UNSUBACK",     [MQTT_PINGREQ] = "PINGREQ",
    [MQTT_PINGRESP] = "PINGRESP",       [MQTT_DISCONNECT] = "DISCONNECT", [MQTT_AUTH] = "AUTH",
};

static json_t *new_event(const char *name)
{
    return json_pack("{s:s}", "event", name);
}

static void set_reason(json_t *event, uint8_t reason)
{
    json_object_set_new(event, "reason_code", json_integer(reason));
    control_set(event, "reason", control_text(str_of(mqtt_reason_name(reason))));
}

/* ---- packets ---- */

// What a message contains: text as it is, anything else in hexadecimal; cut where it is long.
static json_t *content_of(struct str payload)
{
    static const char hex[] = "0123456789abcdef";
    json_t *content = json_object();
    if (payload.length <= CONTENT_MAX && str_is_utf8(payload)) {
        json_object_set_new(content, "payload", payload.length ? control_text(payload) : json_string(""));
        return content;
    }
    char text[2 * CONTENT_MAX / 4];
    size_t shown = payload.length < sizeof text / 2 ? payload.length : sizeof text / 2;
    for (size_t i = 0; i < shown; i++) {
        text[2 * i] = hex[(uint8_t)payload.data[i] >> 4];
        text[2 * i + 1] = hex[(uint8_t)payload.data[i] & 15];
    }
    json_object_set_new(content, "payload_hex", json_stringn(text, 2 * shown));
    return content;
}

static void describe_publish(json_t *event, const struct mqtt_publish *packet)
{
    control_set(event, "topic", control_text(packet->topic));
    json_object_set_new(event, "qos", json_integer(packet->qos));
    json_object_set_new(event, "retain", json_boolean(packet->retain));
    json_object_set_new(event, "dup", json_boolean(packet->dup));
    if (packet->packet_id)
        json_object_set_new(event, "packet_id", json_integer(packet->packet_id));
    if (mqtt_has(&packet->properties, MQTT_TOPIC_ALIAS))
        json_object_set_new(event, "topic_alias", json_integer(packet->properties.topic_alias));
    json_object_set_new(event, "payload_bytes", json_integer((json_int_t)packet->payload.length));
}

static void describe_filters(json_t *event, const struct mqtt_subscribe *packet, bool with_options)
{
    struct str rest = packet->filters;
    struct mqtt_filter entry;
    json_t *filters = json_array();
    for (size_t i = 0; i < packet->count && i < FILTERS_MAX && mqtt_filter_next(&rest, with_options, &entry);
         i++) {
        json_t *filter = json_object();
        control_set(filter, "filter", control_text(entry.filter));
        if (with_options)
            json_object_set_new(filter, "qos", json_integer(entry.options & MQTT_OPTION_QOS));
        json_array_append_new(filters, filter);
    }
    json_object_set_new(event, "packet_id", json_integer(packet->packet_id));
    json_object_set_new(event, "filters", filters);
    if (packet->count > FILTERS_MAX)
        json_object_set_new(event, "filters_left_out",
                            json_integer((json_int_t)(packet->count - FILTERS_MAX)));
}

static void describe_codes(json_t *event, const struct mqtt_suback *packet)
{
    json_t *codes = json_array();
    for (size_t i = 0; i < packet->count && i < CODES_MAX; i++)
        json_array_append_new(codes, json_integer(packet->codes[i]));
    json_object_set_new(event, "packet_id", json_integer(packet->packet_id));
    json_object_set_new(event, "reason_codes", codes);
}

static uint8_t describe_subscribe(json_t *event, const struct mqtt_frame *frame, uint8_t version)
{
    struct mqtt_subscribe packet;
    bool subscribes = frame->type == MQTT_SUBSCRIBE;
    uint8_t wrong = subscribes ? mqtt_decode_subscribe(frame, version, &packet)
                               : mqtt_decode_unsubscribe(frame, version, &packet);
    if (!wrong)
        describe_filters(event, &packet, subscribes);
    return wrong;
}

static uint8_t describe_suback(json_t *event, const struct mqtt_frame *frame, uint8_t version)
{
    struct mqtt_suback packet;
    uint8_t wrong = mqtt_decode_suback(frame, version, &packet);
    if (!wrong)
        describe_codes(event, &packet);
    return wrong;
}

static uint8_t describe_ack(json_t *event, const struct mqtt_frame *frame, uint8_t version)
{
    struct mqtt_ack packet;
    uint8_t wrong = mqtt_decode_ack(frame, version, &packet);
    if (wrong)
        return wrong;
    json_object_set_new(event, "packet_id", json_integer(packet.packet_id));
    set_reason(event, packet.reason);
    return wrong;
}

static uint8_t describe_connack(json_t *event, const struct mqtt_frame *frame, uint8_t version)
{
    bool present;
    uint8_t reason;
    struct mqtt_properties properties;
    uint8_t wrong = mqtt_decode_connack(frame, version, &present, &reason, &properties);
    if (wrong)
        return wrong;
    json_object_set_new(event, "session_present", json_boolean(present));
    set_reason(event, reason);
    return wrong;
}

// Authentication data stay secret, as passwords do.
static uint8_t describe_end(json_t *event, const struct mqtt_frame *frame, uint8_t version, bool from_client)
{
    struct mqtt_disconnect packet;
    uint8_t wrong = frame->type == MQTT_AUTH ? mqtt_decode_auth(frame, from_client, &packet)
                                             : mqtt_decode_disconnect(frame, version, from_client, &packet);
    if (!wrong)
        set_reason(event, packet.reason);
    return wrong;
}

static void describe(json_t *event, const struct mqtt_frame *frame, uint8_t version, bool from_client)
{
    uint8_t wrong = MQTT_SUCCESS;
    switch (frame->type) {
    case MQTT_SUBSCRIBE:
    case MQTT_UNSUBSCRIBE:
        wrong = describe_subscribe(event, frame, version);
        break;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        wrong = describe_suback(event, frame, version);
        break;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        wrong = describe_ack(event, frame, version);
        break;
    case MQTT_CONNACK:
        wrong = describe_connack(event, frame, version);
        break;
    case MQTT_DISCONNECT:
    case MQTT_AUTH:
        wrong = describe_end(event, frame, version, from_client);
        break;
    default:
        break;
    }
    if (wrong)
        json_object_set_new(event, "malformed", json_string(mqtt_reason_name(wrong)));
}

static json_t *new_packet(const char *event, uint8_t type, size_t size)
{
    json_t *packet = new_event(event);
    json_object_set_new(packet, "packet", json_string(packet_names[type] ? packet_names[type] : "?"));
    json_object_set_new(packet, "bytes", json_integer((json_int_t)size));
    return packet;
}

void trace_received(struct connection *connection, const struct mqtt_frame *frame)
{
    json_t *event = new_packet("received", frame->type, frame->size);
    json_t *content = NULL;
    struct mqtt_publish packet;
    if (frame->type == MQTT_PUBLISH &&
        mqtt_decode_publish(frame, connection->version, &packet) == MQTT_SUCCESS) {
        describe_publish(event, &packet);
        content = content_of(packet.payload);
    } else {
        describe(event, frame, connection->version, true);
    }
    trace_emit(connection, event, content);
}

void trace_sent(struct connection *connection, const uint8_t *packet, size_t size)
{
    struct mqtt_frame frame;
    if (mqtt_frame_next(packet, size, UINT32_MAX, &frame) != MQTT_FRAME_READY)
        return;
    json_t *event = new_packet("sent", frame.type, size);
    describe(event, &frame, connection->version, false);
    trace_emit(connection, event, NULL);
}

void trace_sent_publish(struct connection *connection, const struct delivery *delivery, uint16_t packet_id,
                        bool dup)
{
    struct mqtt_publish packet = {.dup = dup,
                                  .retain = delivery->retain,
                                  .qos = delivery->qos,
                                  .packet_id = packet_id,
                                  .topic = delivery->message->topic,
                                  .payload = delivery->message->payload};
    json_t *event = new_event("sent");
    json_object_set_new(event, "packet", json_string("PUBLISH"));
    describe_publish(event, &packet);
    trace_emit(connection, event, content_of(packet.payload));
}

void trace_connect(struct connection *connection, const struct mqtt_connect *packet)
{
    json_t *event = new_event("received");
    json_object_set_new(event, "packet", json_string("CONNECT"));
    json_object_set_new(event, "version", json_integer(packet->version));
    json_object_set_new(event, "address", json_string(connection->address));
    json_object_set_new(event, "clean_start", json_boolean(packet->clean_start));
    json_object_set_new(event, "keep_alive_seconds", json_integer(packet->keep_alive));
    json_object_set_new(event, "has_password", json_boolean(packet->has_password));
    if (packet->has_will)
        control_set(event, "will_topic", control_text(packet->will.topic));
    trace_emit(connection, event, NULL);
}

/* ---- decisions ---- */

static const char *verdict_name(noctule_verdict verdict)
{
    static const char *const names[] = {"next", "allow", "deny", "pending", "continue", "error", "drop"};
    return verdict >= 0 && verdict < (noctule_verdict)(sizeof names / sizeof *names) ? names[verdict] : "?";
}

json_t *trace_step_json(const struct decision_step *step)
{
    static const char *const sources[] = {[DECISION_ASKED] = "hook",
                                          [DECISION_CACHED] = "cache",
                                          [DECISION_GRANT] = "grants",
                                          [DECISION_SHARED] = "shared"};
    json_t *object = json_object();
    json_object_set_new(object, "asked", json_string(step->question));
    control_set(object, "topic", control_text(step->topic));
    control_set(object, "plugin", control_text(str_of(step->instance)));
    json_object_set_new(object, "verdict", json_string(verdict_name(step->verdict)));
    control_set(object, "rule", control_text(step->reason.length ? step->reason : (struct str){0}));
    json_object_set_new(object, "from", json_string(sources[step->source]));
    json_object_set_new(object, "microseconds", json_real((double)step->nanoseconds / 1000));
    return object;
}

void trace_step(const struct decision_step *step, void *connection)
{
    json_t *event = trace_step_json(step);
    json_object_set_new(event, "event", json_string("decision"));
    trace_emit(connection, event, NULL);
}

void trace_denied(struct connection *connection, const char *access, struct str topic,
                  const struct outcome *outcome)
{
    json_t *event = new_event("denied");
    json_object_set_new(event, "access", json_string(access));
    control_set(event, "topic", control_text(topic));
    control_set(event, "plugin", control_text(str_of(outcome->instance ? outcome->instance : "-")));
    control_set(event, "rule", control_text(outcome->reason.length ? outcome->reason : STR("end of chain")));
    trace_emit(connection, event, NULL);
}

/* ---- flow and ends ---- */

void trace_flow(struct connection *connection, const char *what)
{
    const struct session *session = connection->session;
    if (!session)
        return;
    json_t *event = new_event(what);
    json_object_set_new(event, "queue", json_integer(session->queue.count));
    json_object_set_new(event, "inflight", json_integer(session->window.active));
    trace_emit(connection, event, NULL);
}

void trace_dropped(struct connection *connection, struct str topic, const char *why)
{
    json_t *event = new_event("dropped");
    control_set(event, "topic", control_text(topic));
    json_object_set_new(event, "reason", json_string(why));
    trace_emit(connection, event, NULL);
}

void trace_note(struct connection *connection, const char *event, const char *why)
{
    json_t *note = new_event(event);
    control_set(note, "reason", control_text(str_of(why)));
    trace_emit(connection, note, NULL);
}

void trace_left(struct connection *connection, uint8_t reason)
{
    json_t *event = new_event("end");
    set_reason(event, reason);
    trace_emit(connection, event, NULL);
}
