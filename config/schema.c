#include "config/schema.h"

#include <string.h>

#include "config/settings.h"
#include "core/base/log_rate.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND };
#define DAY ((uint64_t)24 * 60 * MINUTE)
#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

#define AT(member)        offsetof(struct settings, member)
#define PLUGIN_AT(member) offsetof(struct plugin_settings, member)

static const struct config_choice access_choices[] = {
    {"allow", SETTINGS_ALLOW}, {"deny", SETTINGS_DENY}, {NULL, 0}};
static const struct config_choice deny_choices[] = {
    {"drop", SETTINGS_DENY_DROP}, {"disconnect", SETTINGS_DENY_DISCONNECT}, {NULL, 0}};
static const struct config_choice error_choices[] = {
    {"deny", SETTINGS_ERROR_DENY}, {"next", SETTINGS_ERROR_NEXT}, {NULL, 0}};
static const struct config_choice level_choices[] = {
    {"error", LOG_ERROR}, {"warn", LOG_WARN}, {"info", LOG_INFO}, {"debug", LOG_DEBUG}, {NULL, 0}};
static const struct config_choice format_choices[] = {{"text", LOG_TEXT}, {"json", LOG_JSON}, {NULL, 0}};

// clang-format off
const struct schema_key schema_top[] = {
    {"workers",         SCHEMA_THREADS, false, AT(workers),         0, 1, 255, NULL},
    {"helper_threads",  SCHEMA_THREADS, false, AT(helper_threads),  0, 1, 256, NULL},
    {"allow_anonymous", SCHEMA_BOOL,    false, AT(allow_anonymous), false, 0, 0, NULL},
    {"default_access",  SCHEMA_ENUM,    false, AT(default_access),  SETTINGS_DENY, 0, 0, access_choices},
    {"deny_action",     SCHEMA_ENUM,    false, AT(deny_action),     SETTINGS_DENY_DROP, 0, 0, deny_choices},
    {0},
};

const struct schema_key schema_limits[] = {
    {"connections",       SCHEMA_NUMBER,   false, AT(limits.connections),        100000, 1, 10000000, NULL},
    {"sessions",          SCHEMA_NUMBER,   false, AT(limits.sessions),           1000000, 1, 100000000, NULL},
    {"memory",            SCHEMA_SIZE,     true,  AT(limits.memory),             0, 16 * MIB, 1024 * GIB, NULL},
    {"connect_rate",      SCHEMA_NUMBER,   true,  AT(limits.connect_rate),       0, 1, 1000000, NULL},
    {"auth_failures",     SCHEMA_NUMBER,   true,  AT(limits.auth_failures),      0, 1, 1000000, NULL},
    {"auth_block",        SCHEMA_DURATION, false, AT(limits.auth_block_ms),      MINUTE, SECOND, DAY, NULL},
    {"publish_rate",      SCHEMA_NUMBER,   true,  AT(limits.publish_rate),       0, 1, 1000000, NULL},
    {"publish_byte_rate", SCHEMA_SIZE,     true,  AT(limits.publish_byte_rate),  0, KIB, 1024 * GIB, NULL},
    {"packet_size",       SCHEMA_SIZE,     false, AT(limits.packet_size),        MIB, 128, 256 * MIB, NULL},
    {"inflight",          SCHEMA_NUMBER,   false, AT(limits.inflight),           32, 1, 65535, NULL},
    {"queued_messages",   SCHEMA_NUMBER,   false, AT(limits.queued_messages),    1000, 1, 100000000, NULL},
    {"queued_bytes",      SCHEMA_SIZE,     false, AT(limits.queued_bytes),       16 * MIB, KIB, 1024 * GIB, NULL},
    {"send_buffer",       SCHEMA_SIZE,     false, AT(limits.send_buffer),        256 * KIB, 4 * KIB, GIB, NULL},
    {"subscriptions",     SCHEMA_NUMBER,   false, AT(limits.subscriptions),      10000, 1, 10000000, NULL},
    {"topic_levels",      SCHEMA_NUMBER,   false, AT(limits.topic_levels),       128, 1, 1024, NULL},
    {"topic_aliases",     SCHEMA_NUMBER,   false, AT(limits.topic_aliases),      16, 0, 65535, NULL},
    {"retained_messages", SCHEMA_NUMBER,   false, AT(limits.retained_messages),  1000000, 0, 1000000000, NULL},
    {"retained_bytes",    SCHEMA_SIZE,     false, AT(limits.retained_bytes),     GIB, 0, 1024 * GIB, NULL},
    {"pending_decisions", SCHEMA_NUMBER,   false, AT(limits.pending_decisions),  10000, 1, 10000000, NULL},
    {"session_expiry",    SCHEMA_DURATION, false, AT(limits.session_expiry_ms),  7 * DAY, 0, 49710 * DAY, NULL},
    {"keep_alive",        SCHEMA_DURATION, true,  AT(limits.keep_alive_ms),      0, SECOND, 65535 * SECOND, NULL},
    {"handshakes",        SCHEMA_NUMBER,   true,  AT(limits.handshakes),         1000, 1, 1000000, NULL},
    {"handshake_rate",    SCHEMA_NUMBER,   true,  AT(limits.handshake_rate),     0, 1, 1000000, NULL},
    {"connect_timeout",   SCHEMA_DURATION, false, AT(limits.connect_timeout_ms), 10 * SECOND, 100, 10 * MINUTE, NULL},
    {"send_timeout",      SCHEMA_DURATION, true,  AT(limits.send_timeout_ms),    MINUTE, SECOND, DAY, NULL},
    {0},
};

const struct schema_key schema_log[] = {
    {"level",  SCHEMA_ENUM, false, AT(log_level),  LOG_INFO, 0, 0, level_choices},
    {"format", SCHEMA_ENUM, false, AT(log_format), LOG_TEXT, 0, 0, format_choices},
    {"rate_limit", SCHEMA_NUMBER, true, AT(log_rate_limit), LOG_RATE_DEFAULT, 1, 1000000, NULL},
    {0},
};

const struct schema_key schema_plugin[] = {
    {"on_error", SCHEMA_ENUM,     false, PLUGIN_AT(on_error),   SETTINGS_ERROR_DENY, 0, 0, error_choices},
    {"required", SCHEMA_BOOL,     false, PLUGIN_AT(required),   false, 0, 0, NULL},
    {"timeout",  SCHEMA_DURATION, false, PLUGIN_AT(timeout_ms), 5 * SECOND, 1, 10 * MINUTE, NULL},
    {0},
};
// clang-format on

// Every enum of the settings has the size of an int, as those of gcc and clang do unless packed.
_Static_assert(sizeof(enum settings_access) == sizeof(int) && sizeof(enum log_level) == sizeof(int),
               "enums are stored through int");

static void store(const struct schema_key *key, void *target, uint64_t value)
{
    void *field = (char *)target + key->offset;
    bool flag = value != 0;
    int number = (int)value;
    unsigned threads = (unsigned)value;
    switch (key->type) {
    case SCHEMA_BOOL:
        memcpy(field, &flag, sizeof flag);
        break;
    case SCHEMA_ENUM:
        memcpy(field, &number, sizeof number);
        break;
    case SCHEMA_THREADS:
        memcpy(field, &threads, sizeof threads);
        break;
    case SCHEMA_NUMBER:
    case SCHEMA_DURATION:
    case SCHEMA_SIZE:
        memcpy(field, &value, sizeof value);
        break;
    }
}

void schema_defaults(const struct schema_key *keys, void *target)
{
    for (const struct schema_key *key = keys; key->name; key++)
        store(key, target, key->fallback);
}

static enum config_result read_threads(const struct schema_key *key, const struct config_node *node,
                                       uint64_t *value, struct diagnostics *diagnostics)
{
    int64_t number = 0;
    bool automatic = node->kind == CONFIG_SCALAR && !node->broken && strcmp(node->text, "auto") == 0;
    if (!automatic && node->kind != CONFIG_SCALAR) {
        config_wrong(node, "auto, or a number of threads", diagnostics);
        return CONFIG_WRONG;
    }
    if (!automatic && !config_node_integer(node, (int64_t)key->min, (int64_t)key->max, &number, diagnostics))
        return CONFIG_WRONG;
    *value = (uint64_t)number;
    return CONFIG_FOUND;
}

static bool is_zero(const struct config_node *node)
{
    static const char *const zeros[] = {"0", "0ms", "0s", "0m", "0h", "0d"};
    if (node->kind != CONFIG_SCALAR || node->broken)
        return false;
    for (size_t i = 0; i < sizeof zeros / sizeof *zeros; i++)
        if (strcmp(node->text, zeros[i]) == 0)
            return true;
    return false;
}

static enum config_result read_key(const struct schema_key *key, struct config_node *map, uint64_t *value,
                                   struct diagnostics *diagnostics)
{
    const struct config_node *node = config_get(map, key->name);
    bool flag = false;
    int choice = 0;
    int64_t number = 0;
    enum config_result result = CONFIG_ABSENT;
    *value = 0;
    if (!node)
        return CONFIG_ABSENT;
    if (key->zero_is_off && is_zero(node))
        return CONFIG_FOUND;
    switch (key->type) {
    case SCHEMA_BOOL:
        result = config_bool(map, key->name, &flag, diagnostics);
        *value = flag;
        break;
    case SCHEMA_ENUM:
        result = config_enum(map, key->name, key->choices, &choice, diagnostics);
        *value = (uint64_t)choice;
        break;
    case SCHEMA_THREADS:
        result = read_threads(key, node, value, diagnostics);
        break;
    case SCHEMA_NUMBER:
        result = config_integer(map, key->name, (int64_t)key->min, (int64_t)key->max, &number, diagnostics);
        *value = (uint64_t)number;
        break;
    case SCHEMA_DURATION:
        result = config_duration(map, key->name, key->min, key->max, value, diagnostics);
        break;
    case SCHEMA_SIZE:
        result = config_size(map, key->name, key->min, key->max, value, diagnostics);
        break;
    }
    return result;
}

void schema_read(const struct schema_key *keys, struct config_node *map, void *target,
                 struct diagnostics *diagnostics)
{
    for (const struct schema_key *key = keys; key->name; key++) {
        uint64_t value;
        if (read_key(key, map, &value, diagnostics) == CONFIG_FOUND)
            store(key, target, value);
    }
}
