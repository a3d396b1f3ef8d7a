// Log lines about connections: who, from where, and, for a denial, which plugin and rule.
#include "core/broker/state.h"

static struct str field(struct noctule_string string)
{
    return str_make(string.data, string.length);
}

void log_denial(struct client *client, const char *access, struct str topic, const struct outcome *outcome)
{
    const struct noctule_client_info *info = client_info(client);
    log_event(LOG_INFO, "denied", outcome->failed ? "denied: no decision could be made" : "denied",
              LOG_NUM("connection", info->connection_id), LOG_STR("client", field(info->client_id)),
              LOG_STR("user", field(info->username)), LOG_STR("address", field(info->address)),
              LOG_STR("listener", field(info->listener)), LOG_TEXTF("access", access),
              LOG_STR("topic", topic), LOG_TEXTF("plugin", outcome->instance ? outcome->instance : "-"),
              LOG_STR("rule", outcome->reason.length ? outcome->reason : STR("end of chain")));
}

void log_connection(struct connection *connection, enum log_level level, const char *event,
                    const char *message, const char *why)
{
    if (!log_enabled(level))
        return;
    if (!connection->client) {
        log_event(level, event, message, LOG_TEXTF("address", connection->address),
                  LOG_TEXTF("listener", connection->listener->name), LOG_TEXTF("reason", why));
        return;
    }
    const struct noctule_client_info *info = client_info(connection->client);
    log_event(level, event, message, LOG_NUM("connection", info->connection_id),
              LOG_STR("client", field(info->client_id)), LOG_STR("user", field(info->username)),
              LOG_STR("address", field(info->address)), LOG_STR("listener", field(info->listener)),
              LOG_NUM("version", connection->version), LOG_TEXTF("reason", why));
}
