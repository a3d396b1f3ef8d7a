/*
 * message_in: what it does is the topic's second level. in/change, in/drop, in/refuse, in/error, in/pending
 * (allowed after the next message to in/release), in/retain, in/qos0, in/show.
 */
#include "common.h"

static struct noctule_request *held;

static noctule_verdict change(struct noctule_message *message)
{
    const struct noctule_message_info *info = host->message_info(message);
    char payload[256];
    int length = snprintf(payload, sizeof payload, "<%.*s>", ARG(info->payload));
    int32_t result = host->message_set_payload(message, noctule_string_of(payload, (size_t)length));
    result |= host->message_set_topic(message, NOCTULE_STRING("out/changed"));
    result |=
        host->message_add_user_property(message, NOCTULE_STRING("seen by"), NOCTULE_STRING("message-in"));
    if (info->user_properties > 1)
        result |= host->message_remove_user_property(message, 0);
    return result == NOCTULE_OK ? NOCTULE_NEXT : NOCTULE_ERROR;
}

static noctule_verdict refuse(const struct noctule_context *context)
{
    struct noctule_reply reply = {.size = sizeof reply,
                                  .reason_code = 0x99,
                                  .flags = NOCTULE_REPLY_SHOW_REASON,
                                  .reason = NOCTULE_STRING("not in this format")};
    host->annotate(context->request, &reply);
    return NOCTULE_DENY;
}

static noctule_verdict show(const struct noctule_context *context, struct noctule_message *message)
{
    const struct noctule_message_info *info = host->message_info(message);
    struct noctule_string name = {0};
    struct noctule_string value = {0};
    host->message_user_property(message, 0, &name, &value);
    say(instance_of(context),
        "shown: qos %d retain %d payload %.*s content %.*s response %.*s correlation %.*s user %u %.*s=%.*s "
        "origin %u",
        info->qos, info->retain, ARG(info->payload), ARG(info->content_type), ARG(info->response_topic),
        ARG(info->correlation_data), (unsigned)info->user_properties, ARG(name), ARG(value),
        (unsigned)info->origin);
    return NOCTULE_ALLOW;
}

static noctule_verdict message_in(const struct noctule_context *context, struct noctule_message *message)
{
    struct noctule_string topic = host->message_info(message)->topic;
    if (is(topic, "in/change"))
        return change(message);
    if (is(topic, "in/drop"))
        return NOCTULE_DROP;
    if (is(topic, "in/refuse"))
        return refuse(context);
    if (is(topic, "in/error"))
        return 99;
    if (is(topic, "in/show"))
        return show(context, message);
    if (is(topic, "in/retain"))
        host->message_set_retain(message, 1);
    if (is(topic, "in/qos0"))
        host->message_set_qos(message, 0);
    if (is(topic, "in/release") && held) {
        host->complete(held, NOCTULE_ALLOW, NULL);
        held = NULL;
    }
    if (!is(topic, "in/pending"))
        return NOCTULE_NEXT;
    host->message_set_payload(message, NOCTULE_STRING("waited"));
    held = host->defer(context->request);
    return held ? NOCTULE_PENDING : NOCTULE_ERROR;
}

static const struct noctule_plugin plugin = {
    TEST_PLUGIN_IDENTITY("message-in"), .flags = NOCTULE_FLAG_SERIAL, .init = test_init, .fini = test_fini,
    .message_in = message_in,
};

NOCTULE_PLUGIN_ENTRY(plugin)
