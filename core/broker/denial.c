// Log lines about connections: who, from where, and, for a denial, which plugin and rule.
#include "core/broker/state.h"
#include "core/broker/trace.h"

enum { DENIALS_PER_SECOND = 50 }; // lines of one client

static struct str field(struct noctule_string string)
{
    return str_make(string.data, string.length);
}

bool log_gate_opens(struct log_gate *gate, uint64_t now_ms, uint32_t per_second, uint64_t *left_out)
{
    uint32_t second = (uint32_t)(now_ms / 1000);
    *left_out = 0;
    if (gate->second != second) {
        gate->second = second;
        gate->written = 0;
    }
    if (gate->written >= per_second) {
        gate->left_out++;
        return false;
    }
    gate->written++;
    *left_out = gate->left_out;
    gate->left_out = 0;
    return true;
}

static void log_left_out(const struct client *client, uint64_t count)
{
    struct noctule_client_info info = client_info(client);
    log_event(LOG_INFO, "denials_left_out", "more was denied than is logged",
              LOG_NUM("connection", info.connection_id), LOG_STR("client", field(info.client_id)),
              LOG_STR("address", field(info.address)), LOG_NUM("left_out", count));
}

void log_denials_left_out(struct connection *connection)
{
    struct connection_rare *rare = connection->rare;
    if (!rare || !connection->client || rare->denials.left_out == 0)
        return;
    log_left_out(connection->client, rare->denials.left_out);
    rare->denials.left_out = 0;
}

uint8_t denial_reason(const struct outcome *outcome, uint8_t type)
{
    uint8_t given = outcome->reason_code;
    return given >= 0x80 && mqtt_reason_allowed_from(false, type, given) ? given : MQTT_NOT_AUTHORIZED;
}

void log_denial(struct broker_worker *here, struct client *client, enum denied access, struct str topic,
                const struct outcome *outcome)
{
    static const char *const names[DENIED_KINDS] = {"connect", "publish", "subscribe", "deliver", "will"};
    counter_add(here->counters, COUNTER_DENIED + access, 1);
    struct connection *connection = client_owner(client);
    if (connection && trace_on(connection))
        trace_denied(connection, names[access], topic, outcome);
    uint64_t left_out = 0;
    if (connection && !log_gate_opens(&connection_rare(connection)->denials,
                                      connection->stream.worker->now_ms, DENIALS_PER_SECOND, &left_out))
        return;
    if (left_out > 0)
        log_left_out(client, left_out);
    struct noctule_client_info info = client_info(client);
    log_event(LOG_INFO, "denied", outcome->failed ? "denied: no decision could be made" : "denied",
              LOG_NUM("connection", info.connection_id), LOG_STR("client", field(info.client_id)),
              LOG_STR("user", field(info.username)), LOG_STR("address", field(info.address)),
              LOG_STR("listener", field(info.listener)), LOG_TEXTF("access", names[access]),
              LOG_STR("topic", topic), LOG_TEXTF("plugin", outcome->instance ? outcome->instance : "-"),
              LOG_STR("rule", outcome->reason.length ? outcome->reason : STR("end of chain")));
}

void log_dropped(const struct connection *connection, struct str client_id, struct str topic, const char *why)
{
    struct log_field fields[] = {LOG_STR("client", client_id), LOG_STR("topic", topic),
                                 LOG_TEXTF("reason", why), LOG_STR("connection", (struct str){0})};
    if (connection)
        fields[3] = LOG_NUM("connection", client_info(connection->client).connection_id);
    log_write(LOG_DEBUG, "dropped", "message dropped", fields, sizeof fields / sizeof *fields);
}

void log_connection(struct connection *connection, enum log_level level, const char *event,
                    const char *message, const char *why)
{
    if (trace_on(connection))
        trace_note(connection, event, why);
    if (!log_enabled(level))
        return;
    if (!connection->client) {
        log_event(level, event, message, LOG_NUM("connection", client_next_id(connection->stream.worker)),
                  LOG_TEXTF("address", connection->address),
                  LOG_TEXTF("listener", connection->listener->name), LOG_TEXTF("reason", why));
        return;
    }
    struct noctule_client_info info = client_info(connection->client);
    log_event(level, event, message, LOG_NUM("connection", info.connection_id),
              LOG_STR("client", field(info.client_id)), LOG_STR("user", field(info.username)),
              LOG_STR("address", field(info.address)), LOG_STR("listener", field(info.listener)),
              LOG_NUM("version", connection->version), LOG_TEXTF("reason", why));
}
