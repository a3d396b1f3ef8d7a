/* noctule.yaml as settings: every key, its default and range, the rules between keys, the warnings, the
 * manual. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/schema.h"
#include "config/settings.h"

static struct diagnostics found;
static struct settings *settings;

static struct settings *read_text(const char *text)
{
    settings_free(settings);
    diagnostics_clear(&found);
    settings = NULL;
    struct config_tree *tree =
        config_tree_parse(text, strlen(text), "n.yaml", "etc", &(struct config_options){0}, &found);
    if (tree)
        settings = settings_take(tree, &found);
    ck_assert_msg((settings != NULL) == (found.errors == 0), "%s", text);
    return settings;
}

static void teardown(void)
{
    settings_free(settings);
    settings = NULL;
    diagnostics_clear(&found);
}

static struct settings *read_good(const char *text)
{
    read_text(text);
    ck_assert_msg(found.count == 0, "%s: %s", text, found.count ? found.items[0].text : "");
    return settings;
}

static void check_found(const char *what, const char *expected)
{
    char all[8192] = "";
    for (size_t i = 0; i < found.count; i++) {
        if (i > 0)
            strcat(all, "\n");
        strncat(all, found.items[i].text, 1000);
    }
    ck_assert_msg(strcmp(all, expected) == 0, "%s\nexpected: %s\nfound:    %s", what, expected, all);
}

#define LISTENER "listeners: [{name: l, bind: 127.0.0.1:1883, plugins: all}]\n"
#define PLUGIN   "plugins: [{name: p}]\n"
#define MINIMAL  LISTENER PLUGIN

START_TEST(defaults)
{
    const struct settings *s = read_good(MINIMAL);
    ck_assert_uint_eq(s->workers, 0);
    ck_assert_uint_eq(s->helper_threads, 0);
    ck_assert(!s->allow_anonymous);
    ck_assert_int_eq(s->default_access, SETTINGS_DENY);
    ck_assert_int_eq(s->deny_action, SETTINGS_DENY_DROP);
    ck_assert_ptr_null(s->response_information);
    ck_assert_uint_eq(s->limits.connections, 100000);
    ck_assert_uint_eq(s->limits.sessions, 1000000);
    ck_assert_uint_eq(s->limits.memory, 0);
    ck_assert_uint_eq(s->limits.connect_rate, 0);
    ck_assert_uint_eq(s->limits.auth_failures, 0);
    ck_assert_uint_eq(s->limits.auth_block_ms, 60000);
    ck_assert_uint_eq(s->limits.publish_rate, 0);
    ck_assert_uint_eq(s->limits.publish_byte_rate, 0);
    ck_assert_uint_eq(s->listeners[0].connect_rate, 0);
    ck_assert_uint_eq(s->limits.packet_size, 1048576);
    ck_assert_uint_eq(s->limits.inflight, 32);
    ck_assert_uint_eq(s->limits.queued_messages, 1000);
    ck_assert_uint_eq(s->limits.queued_bytes, 16777216);
    ck_assert_uint_eq(s->limits.send_buffer, 262144);
    ck_assert_uint_eq(s->limits.subscriptions, 10000);
    ck_assert_uint_eq(s->limits.topic_levels, 128);
    ck_assert_uint_eq(s->limits.topic_aliases, 16);
    ck_assert_uint_eq(s->limits.retained_messages, 1000000);
    ck_assert_uint_eq(s->limits.retained_bytes, 1073741824);
    ck_assert_uint_eq(s->limits.pending_decisions, 10000);
    ck_assert_uint_eq(s->limits.session_expiry_ms, 604800000);
    ck_assert_uint_eq(s->limits.keep_alive_ms, 0);
    ck_assert_uint_eq(s->limits.connect_timeout_ms, 10000);
    ck_assert_uint_eq(s->limits.send_timeout_ms, 60000);
    ck_assert_int_eq(s->log_level, LOG_INFO);
    ck_assert_int_eq(s->log_format, LOG_TEXT);
    const struct plugin_settings *p = &s->plugins[0];
    ck_assert_str_eq(p->module, "p");
    ck_assert_ptr_null(p->path);
    ck_assert(p->on_error == SETTINGS_ERROR_DENY && !p->required && p->timeout_ms == 5000);
    ck_assert_int_eq(p->config->kind, CONFIG_MAP);
    ck_assert_uint_eq(p->config->count, 0);
}
END_TEST

START_TEST(every_key)
{
    const struct settings *s =
        read_good("workers: 4\n"
                  "helper_threads: 3\n"
                  "allow_anonymous: true\n"
                  "default_access: allow\n"
                  "deny_action: disconnect\n"
                  "response_information: responses/%c\n"
                  "limits:\n"
                  "  connections: 10\n"
                  "  sessions: 20\n"
                  "  memory: 32MiB\n"
                  "  connect_rate: 6\n"
                  "  auth_failures: 8\n"
                  "  auth_block: 90s\n"
                  "  publish_rate: 1000\n"
                  "  publish_byte_rate: 2KiB\n"
                  "  packet_size: 64KiB\n"
                  "  inflight: 65535\n"
                  "  queued_messages: 5\n"
                  "  queued_bytes: 1GiB\n"
                  "  send_buffer: 4096\n"
                  "  subscriptions: 7\n"
                  "  topic_levels: 8\n"
                  "  topic_aliases: 0\n"
                  "  retained_messages: 0\n"
                  "  retained_bytes: 0\n"
                  "  pending_decisions: 9\n"
                  "  session_expiry: 0\n"
                  "  keep_alive: 5m\n"
                  "  handshakes: 12\n"
                  "  connect_timeout: 250ms\n"
                  "  send_timeout: 0\n"
                  "log: {level: debug, format: json}\n"
                  "listeners:\n"
                  "  - name: a.B_c-1\n"
                  "    bind: 0.0.0.0:0\n"
                  "    transport: tcp\n"
                  "    plugins: [second, first]\n"
                  "    allow_anonymous: false\n"
                  "    max_connections: 3\n"
                  "    connect_rate: 20\n"
                  "  - {name: b, bind: 'localhost:18830', plugins: [first], max_connections: "
                  "50}\n"
                  "plugins:\n"
                  "  - name: first\n"
                  "    module: file-auth\n"
                  "    on_error: next\n"
                  "    required: true\n"
                  "    timeout: 1m\n"
                  "    config: {anything: [1, 2]}\n"
                  "  - {name: second, path: mine.so}\n"
                  "include: []\n");
    ck_assert(s->workers == 4 && s->helper_threads == 3 && s->allow_anonymous);
    ck_assert(s->default_access == SETTINGS_ALLOW && s->deny_action == SETTINGS_DENY_DISCONNECT);
    ck_assert_str_eq(s->response_information, "responses/%c");
    const struct limit_settings expected = {10,    20, 32 << 20, 6,    8, 90000, 1000, 2048, 65536,
                                            65535, 5,  1 << 30,  4096, 7, 8,     0,    0,    0,
                                            9,     0,  300000,   12,   0, 250,   0};
    ck_assert_mem_eq(&s->limits, &expected, sizeof expected);
    ck_assert(s->log_level == LOG_DEBUG && s->log_format == LOG_JSON);
    const struct listener_settings *l = s->listeners;
    ck_assert_str_eq(l[0].name, "a.B_c-1");
    ck_assert_str_eq(l[0].bind, "0.0.0.0:0");
    ck_assert(!l[0].allow_anonymous && l[0].max_connections == 3 && l[0].connect_rate == 20);
    ck_assert(l[1].allow_anonymous && l[1].max_connections == 10);
    const struct plugin_settings *p = s->plugins;
    ck_assert_str_eq(p[0].module, "file-auth");
    ck_assert(p[0].on_error == SETTINGS_ERROR_NEXT && p[0].required && p[0].timeout_ms == 60000);
    ck_assert_uint_eq(p[0].config->count, 1);
    ck_assert_ptr_null(p[1].module);
    ck_assert_str_eq(p[1].path, "etc/mine.so");
}
END_TEST

START_TEST(chains)
{
    const struct settings *s = read_good("allow_anonymous: true\ndefault_access: allow\n"
                                         "listeners:\n"
                                         "  - {name: a, bind: '127.0.0.1:1'}\n"
                                         "  - {name: b, bind: '127.0.0.1:2', plugins: all}\n"
                                         "  - {name: c, bind: '127.0.0.1:3', plugins: []}\n"
                                         "  - {name: d, bind: '127.0.0.1:4', plugins: [q, p]}\n"
                                         "plugins: [{name: p}, {name: q}]\n");
    ck_assert_uint_eq(s->listener_count, 4);
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_eq(s->listeners[i].chain_count, 2);
        ck_assert_uint_eq(s->listeners[i].chain[0], 0);
        ck_assert_uint_eq(s->listeners[i].chain[1], 1);
    }
    ck_assert_uint_eq(s->listeners[2].chain_count, 0);
    ck_assert_uint_eq(s->listeners[3].chain_count, 2);
    ck_assert_uint_eq(s->listeners[3].chain[0], 1);
    ck_assert_uint_eq(s->listeners[3].chain[1], 0);
    ck_assert(s->listeners[0].allow_anonymous);
    ck_assert_uint_eq(s->listeners[0].max_connections, s->limits.connections);
}
END_TEST

START_TEST(binds)
{
    static const struct {
        const char *bind;
        const char *host;
        unsigned port;
    } good[] = {
        {"127.0.0.1:1883", "127.0.0.1", 1883},
        {"'[::1]:1883'", "::1", 1883},
        {"'[::]:0'", "::", 0},
        {"localhost:65535", "localhost", 65535},
        {"mqtt-1.my_host.example:1", "mqtt-1.my_host.example", 1},
        {"'[fe80::1%eth0]:1883'", "fe80::1%eth0", 1883},
    };
    char text[256];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(text, sizeof text, "listeners: [{name: l, bind: %s}]\n" PLUGIN, good[i].bind);
        read_good(text);
        ck_assert_str_eq(settings->listeners[0].host, good[i].host);
        ck_assert_uint_eq(settings->listeners[0].port, good[i].port);
    }
    static const struct {
        const char *bind;
        const char *hint;
    } bad[] = {
        {"1883", "(a port is missing)"},
        {"localhost", "(a port is missing)"},
        {"'[::1]'", "(a port is missing)"},
        {"'[::1'", "(a port is missing)"},
        {"'[::1]1883'", "(a port is missing)"},
        {"'localhost:'", "(a port is a number from 0 to 65535)"},
        {"localhost:65536", "(a port is a number from 0 to 65535)"},
        {"localhost:-1", "(a port is a number from 0 to 65535)"},
        {"localhost:mqtt", "(a port is a number from 0 to 65535)"},
        {"localhost:018830", "(a port is a number from 0 to 65535)"},
        {"'::1:1883'", "(an IPv6 address stands in brackets)"},
        {"'[127.0.0.1]:1883'", "(brackets are for IPv6 addresses)"},
        {"'[]:1883'", "(brackets are for IPv6 addresses)"},
        {"'[fe80::1%]:1883'", "(brackets are for IPv6 addresses)"},
        {"'*:1883'", "(0.0.0.0 and [::] mean every address)"},
        {"':1883'", "(0.0.0.0 and [::] mean every address)"},
        {"127.0.0.256:1883", "(neither an address nor a host name)"},
        {"10.0.0:1883", "(neither an address nor a host name)"},
        {"mqtt://host:1883", "(an IPv6 address stands in brackets)"},
        {"'a b:1883'", "(neither an address nor a host name)"},
        {"-x:1883", "(neither an address nor a host name)"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "listeners: [{name: l, bind: %s}]\n" PLUGIN, bad[i].bind);
        read_text(text);
        ck_assert_msg(found.errors == 1 && strstr(found.items[0].text, bad[i].hint) &&
                          strncmp(found.items[0].text, "n.yaml:1:29: `bind` expects", 27) == 0,
                      "%s: %s", bad[i].bind, found.count ? found.items[0].text : "accepted");
    }
}
END_TEST

START_TEST(what_is_refused)
{
    static const struct {
        const char *text;
        const char *expected;
    } cases[] = {
        {"", "n.yaml: `listeners` is missing"},
        {"listeners: []\n", "n.yaml:1:12: `listeners` needs at least one listener"},
        {"listeners: {}\n", "n.yaml:1:12: `listeners` expects a list, not a map"},
        {"listeners: [x]\n" PLUGIN, "n.yaml:1:13: an item of `listeners` expects a map, not `x`"},
        {"listeners:\n  - {}\n", "n.yaml:2:5: `name` is missing here, in `listeners`\n"
                                 "n.yaml:2:5: `bind` is missing here, in `listeners`"},
        {"listeners: [{name: a b, bind: 'h:1'}]\n",
         "n.yaml:1:20: `name` expects a name of letters, digits, `.`, `_` and `-`, not `a b`"},
        {"listeners: [{name: -a, bind: 'h:1'}]\n",
         "n.yaml:1:20: `name` expects a name of letters, digits, `.`, `_` and `-`, not `-a`"},
        {"listeners: [{name: a, bind: [x]}]\n",
         "n.yaml:1:29: `bind` expects HOST:PORT, such as 127.0.0.1:1883, not a list"},
        {"listeners:\n  - {name: a, bind: 'h:1'}\n  - {name: a, bind: 'h:2'}\n",
         "n.yaml:3:5: a second listener is named `a` (the first is at n.yaml:2)"},
        {"listeners:\n  - {name: a, bind: 'h:1'}\n  - {name: b, bind: 'H:1'}\n",
         "n.yaml:3:21: a second listener is bound to `H:1` (the first is at n.yaml:2)"},
        {"listeners: [{name: a, bind: 'h:1', tls: {certificate: x, client_certificate: require}}]\n",
         "n.yaml:1:41: `client_ca` is missing here, in `tls`"},
        {"listeners: [{name: a, bind: 'h:1', tls: {certificate: x, crl: y}}]\n",
         "n.yaml:1:63: `crl` is of no use without `client_ca`"},
        {"listeners: [{name: a, bind: 'h:1', tls: {certificate: x, client_ca: y, client_certificate: "
         "none}}]\n",
         "n.yaml:1:69: `client_ca` is of no use without asking for certificates: "
         "`client_certificate: request` or `require`"},
        {"listeners: [{name: a, bind: 'h:1', tls: {certificate: x, username_from: cn}}]\n",
         "n.yaml:1:73: `username_from` is of no use without `client_ca` or a PSK: nobody has a name"},
        {"listeners: [{name: a, bind: 'h:1', tls: {certificate: x, client_ca: y, certificate_suffices: "
         "true}}]\n",
         "n.yaml:1:94: `certificate_suffices` is of no use without `username_from`: it says who the client "
         "is"},
        {"listeners: [{name: a, bind: 'h:1', tls: {certificate: x, client_ca: y, expired_crl: accept}}]\n",
         "n.yaml:1:85: `expired_crl` is of no use without `crl`"},
        {"listeners: [{name: a, bind: 'h:1', tls: {certificate: x, psk_hint: y}}]\n",
         "n.yaml:1:68: `psk_hint` is of no use without `psk_file` or `psk_plugins`"},
        {"listeners: [{name: a, bind: 'h:1', tls: {psk_file: x, key: y}}]\n",
         "n.yaml:1:60: `key` is of no use without `certificate`"},
        {"listeners: [{name: a, bind: 'h:1', tls: {certificates: [{key: y}]}}]\n",
         "n.yaml:1:57: `certificate` is missing here, in `certificates`"},
        {"listeners: [{name: a, bind: 'h:1', tls: {certificates: []}}]\n",
         "n.yaml:1:41: `certificate` is missing here, in `tls`"},
        {"listeners: [{name: a, bind: 'h:1', tls: {certificate: x, min_version: 1.1}}]\n",
         "n.yaml:1:71: `min_version` expects 1.2 or 1.3, not `1.1` (did you mean `1.2`?)"},
        {"listeners: [{name: a, bind: 'h:1', tls: {key: y}}]\n",
         "n.yaml:1:41: `certificate` is missing here, in `tls`"},
        {"listeners: [{name: a, bind: 'h:1', path: /mqtt}]\n",
         "n.yaml:1:42: `path` is for listeners with `transport: websocket`"},
        {"listeners: [{name: a, bind: 'h:1', transport: websockets}]\n",
         "n.yaml:1:47: `transport` expects tcp or websocket, not `websockets` (did you mean `websocket`?)"},
        {"listeners: [{name: a, bind: 'h:1', plugins: }]\n",
         "n.yaml:1:45: `plugins` expects all, or a list of names of plugins ([] for none), not nothing"},
        {"listeners: [{name: a, bind: 'h:1', plugins: p}]\n" PLUGIN,
         "n.yaml:1:45: `plugins` expects all, or a list of names of plugins ([] for none), not `p`"},
        {"listeners: [{name: a, bind: 'h:1', plugins: [acl, file-auht, [p]]}]\nplugins: [{name: "
         "file-auth}]\n",
         "n.yaml:1:46: no plugin is named `acl`\n"
         "n.yaml:1:51: no plugin is named `file-auht` (did you mean `file-auth`?)\n"
         "n.yaml:1:62: an item of `plugins` expects a text, not a list"},
        {"listeners: [{name: a, bind: 'h:1', plugins: [p, p]}]\n" PLUGIN,
         "n.yaml:1:49: the plugin `p` is in this chain already"},
        {"listeners: [{name: a, bind: 'h:1', max_connections: 0}]\n",
         "n.yaml:1:53: `max_connections` expects a whole number from 1 to 10000000, not `0`"},
        {LISTENER "plugins: p\n", "n.yaml:2:10: `plugins` expects a list, not `p`"},
        {LISTENER "plugins: [p]\n", "n.yaml:2:11: an item of `plugins` expects a map, not `p`"},
        {LISTENER "plugins: [{}]\n", "n.yaml:2:11: `name` is missing here, in `plugins`"},
        {LISTENER "plugins: [{name: p}, {name: p, module: m}]\n",
         "n.yaml:2:22: a second plugin is named `p` (the first is at n.yaml:2; `module:` lets several "
         "plugins share a "
         "module)"},
        {LISTENER "plugins: [{name: p, module: m, path: x}]\n",
         "n.yaml:2:38: `path` and `module` exclude each other"},
        {LISTENER "plugins: [{name: p, module: ../m}]\n",
         "n.yaml:2:29: `module` expects a module name of small letters, digits, `_` and `-`, not `../m`"},
        {LISTENER "plugins: [{name: My.Plugin}]\n", "n.yaml:2:11: `module` is missing: the name `My.Plugin` "
                                                    "is none of a module (a module name of small letters, "
                                                    "digits, `_` and `-`)"},
        {LISTENER "plugins: [{name: all}]\n",
         "n.yaml:2:11: a plugin cannot be named `all`, which a listener says for every plugin"},
        {LISTENER "plugins: [{name: p, config: x}]\n", "n.yaml:2:29: `config` expects a map, not `x`"},
        {LISTENER "plugins: [{name: p, on_error: allow}]\n",
         "n.yaml:2:31: `on_error` expects deny or next, not `allow`"},
        {LISTENER "plugins: [{name: p, timeout: 11m}]\n",
         "n.yaml:2:30: `timeout` expects a duration from 1ms to 10m, not `11m`"},
        {LISTENER "plugins: [{name: p, requierd: true}]\n",
         "n.yaml:2:21: unknown key `requierd` (did you mean `required`?)"},
        {MINIMAL "workers: 0\n", "n.yaml:3:10: `workers` expects a whole number from 1 to 255, not `0`"},
        {MINIMAL "workers: []\n", "n.yaml:3:10: `workers` expects auto, or a number of threads, not a list"},
        {MINIMAL "response_information: r/#\n",
         "n.yaml:3:23: `response_information` expects a topic without wildcards, in which %c may stand once "
         "for the client id, not `r/#`"},
        {MINIMAL "response_information: '%c/%c'\n",
         "n.yaml:3:23: `response_information` expects a topic without wildcards, in which %c may stand once "
         "for the client id, not `%c/%c`"},
        {MINIMAL "limits: 5\n", "n.yaml:3:9: `limits` expects a map, not `5`"},
        {MINIMAL "limits: {inflght: 5}\n", "n.yaml:3:10: unknown key `inflght` (did you mean `inflight`?)"},
        {MINIMAL "log: {level: warning}\n",
         "n.yaml:3:14: `level` expects error, warn, info or debug, not `warning`"},
        {MINIMAL "control: x\n",
         "n.yaml:3:10: `control` expects unix:PATH, with a path of at most 107 bytes, not `x`"},
        {MINIMAL "includes: x\n", "n.yaml:3:1: unknown key `includes` (did you mean `include`?)"},
        {MINIMAL "allow_anonymus: true\n",
         "n.yaml:3:1: unknown key `allow_anonymus` (did you mean `allow_anonymous`?)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_msg(read_text(cases[i].text) == NULL, "accepted: %s", cases[i].text);
        check_found(cases[i].text, cases[i].expected);
    }
}
END_TEST

static void check_bounds(const char *section, const struct schema_key *key, uint64_t value, bool good)
{
    const char *unit = key->type == SCHEMA_DURATION ? "ms" : "";
    char text[256];
    snprintf(text, sizeof text, MINIMAL "%s{%s: %llu%s}\n", section, key->name, (unsigned long long)value,
             unit);
    read_text(text);
    ck_assert_msg((found.errors == 0) == good, "%s", text);
    uint64_t stored;
    if (good && key->type != SCHEMA_THREADS) {
        memcpy(&stored, (char *)settings + key->offset, sizeof stored);
        ck_assert_msg(stored == value, "%s", text);
    }
}

START_TEST(every_range_is_enforced)
{
    for (const struct schema_key *key = schema_limits; key->name; key++) {
        check_bounds("limits: ", key, key->min, true);
        check_bounds("limits: ", key, key->max, true);
        check_bounds("limits: ", key, key->max + 1, false);
        if (key->min > 0)
            check_bounds("limits: ", key, key->min - 1, key->zero_is_off && key->min == 1);
        check_bounds("limits: ", key, 0, key->min == 0 || key->zero_is_off);
        bool default_is_good = key->fallback >= key->min && key->fallback <= key->max;
        ck_assert_msg(default_is_good || (key->zero_is_off && key->fallback == 0), "%s", key->name);
    }
}
END_TEST

START_TEST(warnings)
{
    static const struct {
        const char *text;
        const char *expected;
    } cases[] = {
        {"listeners: [{name: l, bind: '127.0.0.1:1'}]\n",
         "n.yaml:1:13: the listener `l` is of no use: without a plugin and without `allow_anonymous` nobody "
         "can "
         "connect"},
        {"listeners: [{name: l, bind: '0.0.0.0:1', allow_anonymous: true}]\n",
         "n.yaml:1:13: the listener `l` is of no use: without a plugin, `default_access: deny` refuses every "
         "publish "
         "and every subscription"},
        {"default_access: allow\nlisteners: [{name: l, bind: '0.0.0.0:1', allow_anonymous: true}]\n",
         "n.yaml:2:13: the listener `l` is open to anyone who reaches 0.0.0.0:1: it has no plugin, and "
         "`allow_anonymous` and `default_access: allow` let everything pass"},
        {"default_access: allow\nallow_anonymous: true\nlisteners: [{name: l, bind: '[::]:1'}, {name: m, "
         "bind: "
         "'[::1]:1'}, {name: n, bind: 'localhost:1'}, {name: o, bind: '127.9.9.9:1'}, {name: p, bind: "
         "'[::ffff:127.0.0.1]:2'}]\n",
         "n.yaml:3:13: the listener `l` is open to anyone who reaches [::]:1: it has no plugin, and "
         "`allow_anonymous` and `default_access: allow` let everything pass"},
        {"listeners: [{name: l, bind: '0.0.0.0:1', plugins: [p]}]\nplugins: [{name: p}, {name: q}]\n",
         "n.yaml:2:22: the plugin `q` is in the chain of no listener"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_ptr_nonnull(read_text(cases[i].text));
        ck_assert_uint_eq(found.errors, 0);
        check_found(cases[i].text, cases[i].expected);
    }
}
END_TEST

START_TEST(all_errors_are_found_together)
{
    read_text(
        "workers: x\nwrkers: 1\nlimits: {inflight: 0, conections: 1}\nlog: {level: x}\n"
        "listeners: [{name: l, bind: x, tls: {}}]\nplugins: [{name: p, timeout: 1}]\nallow_anonymous: no\n");
    ck_assert_uint_eq(found.errors, 9);
}
END_TEST

START_TEST(plugin_config_is_the_plugins_own)
{
    read_good(LISTENER "plugins: [{name: p, config: {password_file: users, pasword_flie: x}}]\n");
    struct config_node *config = settings->plugins[0].config;
    const char *path = NULL;
    ck_assert_int_eq(config_path(config, "password_file", &path, &found), CONFIG_FOUND);
    ck_assert_str_eq(path, "etc/users");
    config_report_unused(config, &found);
    check_found("config", "n.yaml:2:52: unknown key `pasword_flie` in `config`");
}
END_TEST

START_TEST(the_default)
{
    settings = settings_default("/var/lib/noctule", &found);
    ck_assert_msg(settings && found.count == 0, "%s", found.count ? found.items[0].text : "");
    ck_assert_uint_eq(settings->listener_count, 1);
    ck_assert_str_eq(settings->listeners[0].host, "127.0.0.1");
    ck_assert_uint_eq(settings->listeners[0].port, 1883);
    ck_assert(!settings->allow_anonymous);
    ck_assert_uint_eq(settings->plugin_count, 3);
    ck_assert_uint_eq(settings->listeners[0].chain_count, 3);
    const char *path = NULL;
    ck_assert_str_eq(settings->plugins[0].module, "file-auth");
    ck_assert_int_eq(config_path(settings->plugins[0].config, "password_file", &path, &found), CONFIG_FOUND);
    ck_assert_str_eq(path, "/var/lib/noctule/users.passwd");
    ck_assert_str_eq(settings->plugins[1].module, "acl-file");
    ck_assert_int_eq(config_path(settings->plugins[1].config, "acl_file", &path, &found), CONFIG_FOUND);
    ck_assert_str_eq(path, "/var/lib/noctule/users.acl");
    ck_assert_ptr_nonnull(strstr(settings_default_text(), "${NOCTULE_STATE}/users.passwd"));
}
END_TEST

START_TEST(missing_files)
{
    ck_assert_ptr_null(settings_load("/nonexistent/noctule.yaml", &found));
    check_found("load", "cannot read /nonexistent/noctule.yaml: No such file or directory");
    settings_free(NULL);
}
END_TEST

static char *slurp(const char *path)
{
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s", path);
    char *text = calloc(1, 1 << 20);
    size_t length = fread(text, 1, (1 << 20) - 1, file);
    ck_assert_uint_gt(length, 0);
    fclose(file);
    return text;
}

START_TEST(every_key_is_documented)
{
    static const struct schema_key *const tables[] = {schema_top, schema_limits, schema_log, schema_plugin};
    static const char *const others[] = {"include",
                                         "listeners",
                                         "name",
                                         "bind",
                                         "plugins",
                                         "module",
                                         "max_connections",
                                         "connect_rate",
                                         "mode",
                                         "owner",
                                         "group",
                                         "backlog",
                                         "keepalive",
                                         "nodelay",
                                         "interface",
                                         "proxy_protocol",
                                         "proxy_from",
                                         "username_from",
                                         "config",
                                         "path",
                                         "response_information"};
    char *manual = slurp(NOCTULE_SOURCE_ROOT "/packaging/man/noctule.yaml.5");
    char *guide = slurp(NOCTULE_SOURCE_ROOT "/docs/configuration.md");
    char wanted[64];
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const struct schema_key *key = tables[t]; key->name; key++) {
            snprintf(wanted, sizeof wanted, ".It Ic %s :", key->name);
            ck_assert_msg(strstr(manual, wanted) != NULL, "noctule.yaml(5) lacks %s", key->name);
            ck_assert_msg(strstr(guide, key->name) != NULL, "configuration.md lacks %s", key->name);
        }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        snprintf(wanted, sizeof wanted, ".It Ic %s :", others[i]);
        ck_assert_msg(strstr(manual, wanted) != NULL, "noctule.yaml(5) lacks %s", others[i]);
    }
    free(manual);
    free(guide);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config settings");
    TCase *cases = tcase_create("settings");
    tcase_add_checked_fixture(cases, NULL, teardown);
    tcase_add_test(cases, defaults);
    tcase_add_test(cases, every_key);
    tcase_add_test(cases, chains);
    tcase_add_test(cases, binds);
    tcase_add_test(cases, what_is_refused);
    tcase_add_test(cases, every_range_is_enforced);
    tcase_add_test(cases, warnings);
    tcase_add_test(cases, all_errors_are_found_together);
    tcase_add_test(cases, plugin_config_is_the_plugins_own);
    tcase_add_test(cases, the_default);
    tcase_add_test(cases, missing_files);
    tcase_add_test(cases, every_key_is_documented);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
