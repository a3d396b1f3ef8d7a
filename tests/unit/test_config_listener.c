/* The keys of a listener's sockets: unix sockets, passed sockets, options, and what does not go together. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/settings.h"

static struct diagnostics found;
static struct settings *settings;

static const struct listener_settings *read_listener(const char *keys)
{
    char text[1024];
    snprintf(text, sizeof text, "listeners:\n- {name: l, %s}\nplugins: [{name: p}]\n", keys);
    settings_free(settings);
    diagnostics_clear(&found);
    settings = NULL;
    struct config_tree *tree =
        config_tree_parse(text, strlen(text), "n.yaml", "etc", &(struct config_options){0}, &found);
    if (tree)
        settings = settings_take(tree, &found);
    return settings ? settings->listeners : NULL;
}

static const struct listener_settings *read_good(const char *keys)
{
    const struct listener_settings *listener = read_listener(keys);
    ck_assert_msg(listener && found.count == 0, "%s: %s", keys, found.count ? found.items[0].text : "");
    return listener;
}

static void teardown(void)
{
    settings_free(settings);
    settings = NULL;
    diagnostics_clear(&found);
}

START_TEST(defaults)
{
    const struct listener_settings *l = read_good("bind: '127.0.0.1:1883'");
    ck_assert_int_eq(l->kind, SETTINGS_BIND_TCP);
    const struct socket_settings *s = &l->socket;
    ck_assert_uint_eq(s->backlog, 4096);
    ck_assert(s->nodelay && s->keepalive);
    ck_assert(s->keepalive_idle_ms == 0 && s->keepalive_interval_ms == 0 && s->keepalive_count == 0);
    ck_assert_ptr_null(s->interface);
    ck_assert_uint_eq(s->mode, 0660);
    ck_assert(s->owner == (uid_t)-1 && s->group == (gid_t)-1);
}
END_TEST

START_TEST(unix_sockets)
{
    const struct listener_settings *l = read_good("bind: 'unix:mqtt.sock'");
    ck_assert_int_eq(l->kind, SETTINGS_BIND_UNIX);
    ck_assert_str_eq(l->host, "etc/mqtt.sock"); // beside the file
    ck_assert_str_eq(l->bind, "unix:mqtt.sock");
    l = read_good("bind: unix:/run/mqtt.sock, mode: 0606, owner: root, group: 12, backlog: 7");
    ck_assert_str_eq(l->host, "/run/mqtt.sock");
    ck_assert_uint_eq(l->socket.mode, 0606);
    ck_assert_uint_eq(l->socket.owner, 0);
    ck_assert_uint_eq(l->socket.group, 12);
    ck_assert_uint_eq(l->socket.backlog, 7);
    ck_assert_uint_eq(read_good("bind: unix:x, mode: 777")->socket.mode, 0777);
    ck_assert_uint_eq(read_good("bind: unix:x, group: root")->socket.group, 0);
}
END_TEST

START_TEST(passed_sockets)
{
    const struct listener_settings *l = read_good("bind: systemd:noctule.socket, nodelay: false");
    ck_assert_int_eq(l->kind, SETTINGS_BIND_SYSTEMD);
    ck_assert_str_eq(l->host, "noctule.socket");
    ck_assert(!l->socket.nodelay);
}
END_TEST

START_TEST(tcp_options)
{
    const struct socket_settings *s = &read_good("bind: 'h:1', keepalive: 60s, interface: eth0.7")->socket;
    ck_assert(s->keepalive && s->keepalive_idle_ms == 60000 && s->keepalive_count == 0);
    ck_assert_str_eq(s->interface, "eth0.7");
    s = &read_good("bind: 'h:1', keepalive: false, nodelay: false, backlog: 65535")->socket;
    ck_assert(!s->keepalive && !s->nodelay && s->backlog == 65535);
    s = &read_good("bind: 'h:1', keepalive: {idle: 2m, interval: 5s, count: 3}")->socket;
    ck_assert(s->keepalive && s->keepalive_idle_ms == 120000 && s->keepalive_interval_ms == 5000 &&
              s->keepalive_count == 3);
    s = &read_good("bind: 'h:1', keepalive: {count: 127}")->socket;
    ck_assert(s->keepalive && s->keepalive_idle_ms == 0 && s->keepalive_count == 127);
    ck_assert(read_good("bind: 'h:1', keepalive: true")->socket.keepalive);
}
END_TEST

START_TEST(what_is_refused)
{
    static const struct {
        const char *keys;
        const char *expected;
    } cases[] = {
        {"bind: 'unix:'", "n.yaml:2:19: `bind` expects unix:PATH, such as unix:/run/mqtt.sock, not `unix:` "
                          "(the path of a file is "
                          "missing)"},
        {"bind: unix:/run/, max_connections: 5", "(the path of a file is missing)"},
        {"bind: "
         "unix:/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaaaaaaaaaa",
         "(the path of a unix socket has at most 107 bytes)"},
        {"bind: 'systemd:'",
         "n.yaml:2:19: `bind` expects systemd:NAME, such as systemd:mqtt, not `systemd:` (a "
         "name is missing)"},
        {"bind: 'systemd:a:b'", "(a name as in FileDescriptorName= has no spaces and no colon)"},
        {"bind: 'systemd:a b'", "(a name as in FileDescriptorName= has no spaces and no colon)"},
        {"bind: unix:x, mode: 0o660",
         "n.yaml:2:33: `mode` expects permissions as three or four octal digits, "
         "such as 0660, not `0o660`"},
        {"bind: unix:x, mode: 0888", "`mode` expects permissions"},
        {"bind: unix:x, mode: 7", "`mode` expects permissions"},
        {"bind: unix:x, mode: 4755", "`mode` expects permissions"},
        {"bind: unix:x, mode: 00660", "`mode` expects permissions"},
        {"bind: unix:x, mode: [0660]", "`mode` expects permissions"},
        {"bind: unix:x, owner: no-such-user", "n.yaml:2:34: no user of this machine is named `no-such-user`"},
        {"bind: unix:x, owner: 4294967295", "no user of this machine is named `4294967295`"},
        {"bind: unix:x, group: no-such-group",
         "n.yaml:2:34: no group of this machine is named `no-such-group`"},
        {"bind: 'h:1', mode: 0660",
         "n.yaml:2:32: `mode` is for unix sockets that the broker makes (bind: unix:PATH)"},
        {"bind: 'h:1', owner: root", "`owner` is for unix sockets"},
        {"bind: systemd:x, group: root", "`group` is for unix sockets that the broker makes"},
        {"bind: unix:x, nodelay: true", "n.yaml:2:36: `nodelay` is for TCP, and has no meaning here"},
        {"bind: unix:x, keepalive: 5s", "`keepalive` is for TCP, and has no meaning here"},
        {"bind: unix:x, interface: lo", "`interface` is for TCP, and has no meaning here"},
        {"bind: systemd:x, interface: lo",
         "`interface` is no matter of the broker's here: whoever passes the socket has set it up"},
        {"bind: systemd:x, backlog: 5", "`backlog` is no matter of the broker's here"},
        {"bind: 'h:1', interface: a-name-of-16-byt", "`interface` expects the name of a network interface"},
        {"bind: 'h:1', interface: 'e/0'", "`interface` expects the name of a network interface"},
        {"bind: 'h:1', backlog: 0", "`backlog` expects a whole number from 1 to 65535, not `0`"},
        {"bind: 'h:1', backlog: 65536", "`backlog` expects a whole number from 1 to 65535"},
        {"bind: 'h:1', nodelay: no", "`nodelay` expects true or false"},
        {"bind: 'h:1', keepalive: no", "`keepalive` expects true or false"},
        {"bind: 'h:1', keepalive: 60", "n.yaml:2:37: `keepalive` expects a duration from 1s to 32767s"},
        {"bind: 'h:1', keepalive: 1500ms", "`keepalive` expects whole seconds, not `1500ms`"},
        {"bind: 'h:1', keepalive: 10h", "`keepalive` expects a duration from 1s to"},
        {"bind: 'h:1', keepalive: [1s]", "`keepalive` expects true, false, a duration, or a map of `idle`, "
                                         "`interval` and `count`, not a list"},
        {"bind: 'h:1', keepalive: {idle: 0}", "`idle` expects a duration from 1s to"},
        {"bind: 'h:1', keepalive: {count: 128}", "`count` expects a whole number from 1 to 127"},
        {"bind: 'h:1', keepalive: {every: 1s}", "unknown key `every`"},
        {"bind: 'h:1', proxy_protocol: v2", "n.yaml:2:42: `proxy_protocol` needs `proxy_from`, the addresses "
                                            "of the proxies: whoever sends such a "
                                            "header can claim any address"},
        {"bind: 'h:1', proxy_protocol: v3", "`proxy_protocol` expects off, v1, v2 or any, not `v3`"},
        {"bind: 'h:1', proxy_protocol: true, proxy_from: [1.2.3.4]",
         "`proxy_protocol` expects off, v1, v2 or any"},
        {"bind: 'h:1', proxy_from: [1.2.3.4]",
         "n.yaml:2:38: `proxy_from` is of no use without `proxy_protocol`"},
        {"bind: 'h:1', proxy_protocol: any, proxy_from: 1.2.3.4",
         "`proxy_from` expects a list, not `1.2.3.4`"},
        {"bind: 'h:1', proxy_protocol: any, proxy_from: []", "`proxy_from` needs at least one address"},
        {"bind: 'h:1', proxy_protocol: any, proxy_from: [localhost]",
         "n.yaml:2:60: an item of `proxy_from` expects an address, or a range of them such as 10.0.0.0/8 or "
         "fd00::/8, not `localhost`"},
        {"bind: 'h:1', proxy_protocol: any, proxy_from: [10.0.0.1/8]", "an item of `proxy_from` expects an"},
        {"bind: 'h:1', proxy_protocol: any, proxy_from: [10.0.0.0/33]", "an item of `proxy_from` expects an"},
        {"bind: unix:x, proxy_protocol: any, proxy_from: [10.0.0.1]",
         "`proxy_from` has no meaning here: who may connect to a unix socket, its `mode` says"},
        {"bind: 'h:1', username_from: cn",
         "`username_from` of a listener needs `proxy_protocol: v2` or `any`: only such a proxy tells of"},
        {"bind: 'h:1', proxy_protocol: v1, proxy_from: ['::1'], username_from: cn", "`proxy_protocol: v2`"},
        {"bind: 'h:1', proxy_protocol: v2, proxy_from: ['::1'], username_from: subject",
         "`username_from` expects none or cn, not `subject`"},
        {"bind: unix:x}\n- {name: m, bind: unix:x", "a second listener is bound to `unix:x`"},
        {"bind: systemd:x}\n- {name: m, bind: systemd:x", "a second listener is bound to `systemd:x`"},
        {"bind: 'h:1', interface: a}\n- {name: m, bind: 'h:1'", "a second listener is bound to `h:1`"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_msg(read_listener(cases[i].keys) == NULL, "accepted: %s", cases[i].keys);
        ck_assert_msg(found.errors == 1 && strstr(found.items[0].text, cases[i].expected),
                      "%s\nexpected: %s\nfound:    %s (%zu)", cases[i].keys, cases[i].expected,
                      found.items[0].text, found.errors);
    }
}
END_TEST

START_TEST(proxies)
{
    const struct proxy_settings *proxy = &read_good("bind: 'h:1'")->proxy;
    ck_assert(proxy->versions == SETTINGS_PROXY_OFF && proxy->from_count == 0 && !proxy->username_from_cn);
    read_good("bind: 'h:1', proxy_protocol: off");
    proxy = &read_good("bind: 'h:1', proxy_protocol: v1, proxy_from: [10.0.0.0/8, '2001:db8::7']")->proxy;
    ck_assert_int_eq(proxy->versions, SETTINGS_PROXY_V1);
    ck_assert_uint_eq(proxy->from_count, 2);
    struct address address;
    ck_assert(address_parse(STR("10.1.2.3"), &address) && cidr_any_holds(proxy->from, 2, &address));
    ck_assert(address_parse(STR("11.1.2.3"), &address) && !cidr_any_holds(proxy->from, 2, &address));
    proxy = &read_good("bind: 'h:1', proxy_protocol: v2, proxy_from: ['::1'], username_from: cn")->proxy;
    ck_assert(proxy->versions == SETTINGS_PROXY_V2 && proxy->username_from_cn);
    proxy = &read_good("bind: unix:x, proxy_protocol: any, username_from: none")->proxy;
    ck_assert(proxy->versions == SETTINGS_PROXY_ANY && !proxy->username_from_cn);
    read_good("bind: systemd:x, proxy_protocol: any");
    static const char *const everybody[] = {"0.0.0.0/0", "'::/0'"};
    for (int i = 0; i < 2; i++) {
        char keys[100];
        snprintf(keys, sizeof keys, "bind: 'h:1', proxy_protocol: any, proxy_from: [%s]", everybody[i]);
        ck_assert_ptr_nonnull(read_listener(keys));
        ck_assert_uint_eq(found.count, 1);
        ck_assert_str_eq(found.items[0].text,
                         "n.yaml:2:3: the listener `l` believes everybody: whoever reaches "
                         "h:1 can claim any address (`proxy_from`)");
    }
}
END_TEST

START_TEST(what_is_side_by_side)
{
    read_good("bind: unix:x}\n- {name: m, bind: systemd:x");
    read_good("bind: 'h:1', interface: a}\n- {name: m, bind: 'h:1', interface: b");
    read_good("bind: '0.0.0.0:1'}\n- {name: m, bind: '[::]:1'");
}
END_TEST

START_TEST(who_can_reach_it)
{
    static const char open[] = "plugins: [], allow_anonymous: true";
    static const struct {
        const char *bind;
        size_t warnings;
    } cases[] = {{"unix:x", 0}, {"127.0.0.1:1", 0}, {"systemd:x", 1}, {"0.0.0.0:1", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char keys[200];
        snprintf(keys, sizeof keys,
                 "bind: '%s', %s}\n- {name: m, bind: 'h:1'}\ndefault_access: allow\nlog: {", cases[i].bind,
                 open);
        ck_assert_msg(read_listener(keys) != NULL, "%s: %s", keys, found.count ? found.items[0].text : "");
        ck_assert_msg(found.count == cases[i].warnings, "%s: %zu", cases[i].bind, found.count);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config listener");
    TCase *group = tcase_create("sockets");
    tcase_add_checked_fixture(group, NULL, teardown);
    tcase_add_test(group, defaults);
    tcase_add_test(group, unix_sockets);
    tcase_add_test(group, passed_sockets);
    tcase_add_test(group, tcp_options);
    tcase_add_test(group, what_is_refused);
    tcase_add_test(group, proxies);
    tcase_add_test(group, what_is_side_by_side);
    tcase_add_test(group, who_can_reach_it);
    suite_add_tcase(suite, group);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
