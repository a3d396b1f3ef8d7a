// What plugins ask of the broker through the host.
#include <stdlib.h>

#include "core/broker/state.h"

static void disconnect(struct client *client, uint8_t reason_code, struct str reason, const char *instance)
{
    struct connection *connection = client_owner(client);
    if (!connection)
        return;
    char *why = instance ? str_format("plugin %s: %.*s", instance, STR_ARG(reason)) : str_to_c(reason);
    bool known = reason_code >= 0x80 && mqtt_reason_allowed_from(false, MQTT_DISCONNECT, reason_code);
    connection_fail(connection, known ? reason_code : MQTT_ADMINISTRATIVE_ACTION, why);
    free(why);
}

static void recheck(struct client *client)
{
    struct connection *connection = client_owner(client);
    if (!connection || connection->state != STATE_ONLINE)
        return;
    session_uncover(connection->session);
    subscribe_recheck(connection);
}

static void publish(struct worker *worker, struct message *message)
{
    publish_system(worker->owner, message);
}

const struct plugin_upcalls broker_upcalls = {
    .disconnect = disconnect, .recheck = recheck, .publish = publish, .metrics = metrics_tell};
