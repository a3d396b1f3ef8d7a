// The HTTP request that opens a WebSocket: what is taken, what is refused and with which status, in any
// pieces.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/net/upgrade.h"

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define REQUIRED                                                                                             \
    "Host: broker.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " KEY "\r\n"
#define VERSION  "Sec-WebSocket-Version: 13\r\n"
#define PROTOCOL "Sec-WebSocket-Protocol: mqtt\r\n"
#define GOOD     "GET /mqtt HTTP/1.1\r\n" REQUIRED VERSION PROTOCOL

static const struct str origins[] = {{"https://app.example", 19}, {"null", 4}};
static struct cidr proxies[2];

static struct upgrade_rules rules = {.path = {"/mqtt", 5}, .any_origin = true};
static struct upgrade_request request;
static struct upgrade_grant grant;
static struct upgrade_refusal refusal;

static void set_up(void)
{
    ck_assert(cidr_parse(STR("10.0.0.0/8"), &proxies[0]) && cidr_parse(STR("::1"), &proxies[1]));
    rules = (struct upgrade_rules){
        .path = STR("/mqtt"), .any_origin = true, .proxies = proxies, .proxy_count = 2};
}

// The status of the answer to a whole request; 0 with refusal.why: closed without one.
static unsigned status_of(const char *text)
{
    size_t seen = 0;
    size_t length = upgrade_head_length((const uint8_t *)text, strlen(text), &seen, &refusal);
    if (length == 0)
        return refusal.status;
    ck_assert_uint_eq(length, strlen(text));
    if (!upgrade_parse(str_make(text, length), &request, &refusal) ||
        !upgrade_judge(&request, &rules, &grant, &refusal)) {
        ck_assert(refusal.why);
        return refusal.status;
    }
    return 101;
}

START_TEST(the_example_of_the_standard)
{
    char answer[UPGRADE_ANSWER_MAX];
    ck_assert_uint_eq(status_of(GOOD "\r\n"), 101);
    size_t length = upgrade_accept(&grant, answer);
    ck_assert_uint_eq(length, strlen(answer));
    ck_assert_str_eq(answer,
                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                     "Sec-WebSocket-Protocol: mqtt\r\n\r\n");
}
END_TEST

START_TEST(what_is_taken)
{
    static const char *const good[] = {
        "GET /mqtt?token=a%20b HTTP/1.1\r\n" REQUIRED VERSION PROTOCOL "\r\n",
        // Case, space and lists as they come.
        "GET /mqtt HTTP/1.1\r\nhost:x\r\nUPGRADE:\t h2c, WebSocket \r\nconnection: keep-alive,uPGRADE\r\n"
        "sec-websocket-key: " KEY
        "\r\nsec-websocket-version:13\r\nsec-websocket-protocol: chat ,mqtt\r\n\r\n",
        // Lists over several headers.
        "GET /mqtt HTTP/1.1\r\nConnection: keep-alive\r\nSec-WebSocket-Protocol: chat\r\n" REQUIRED VERSION
            PROTOCOL "\r\n",
        GOOD "Content-Length: 0\r\n\r\n",
        GOOD "Cookie: \xC3\xA4=1\r\nX-Empty:\r\n\r\n",
        GOOD "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        ck_assert_msg(status_of(good[i]) == 101, "%s: %s", good[i], refusal.why);
}
END_TEST

START_TEST(what_is_refused)
{
    static const struct {
        unsigned status;
        const char *text;
    } bad[] = {
        {400, "\r\n" GOOD "\r\n"},
        {400, "GET /mqtt\r\n\r\n"},
        {400, "GET  /mqtt HTTP/1.1\r\n\r\n"},
        {400, "GET /mqtt HTTP/1.1 \r\n\r\n"},
        {400, "G(T /mqtt HTTP/1.1\r\n\r\n"},
        {400, "GET mqtt HTTP/1.1\r\n\r\n"},
        {400, "GET http://broker.example/mqtt HTTP/1.1\r\n\r\n"},
        {400, "GET /mq\x7Ftt HTTP/1.1\r\n\r\n"},
        {400, "GET /mqtt HTTP/11.\r\n\r\n"},
        {505, "GET /mqtt HTTP/1.0\r\n" REQUIRED VERSION PROTOCOL "\r\n"},
        {505, "PRI * HTTP/2.0\r\n\r\n"},
        {405, "POST /mqtt HTTP/1.1\r\n" REQUIRED VERSION PROTOCOL "\r\n"},
        {405, "HEAD /mqtt HTTP/1.1\r\nHost: x\r\n\r\n"},
        {426, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"},
        {426, "GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n"},
        {426, "GET /mqtt HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"},
        {404, "GET / HTTP/1.1\r\n" REQUIRED VERSION PROTOCOL "\r\n"},
        {404, "GET /mqtt/ HTTP/1.1\r\n" REQUIRED VERSION PROTOCOL "\r\n"},
        {426, "GET /mqtt HTTP/1.1\r\n" REQUIRED PROTOCOL "\r\n"},
        {426, "GET /mqtt HTTP/1.1\r\n" REQUIRED "Sec-WebSocket-Version: 8\r\n" PROTOCOL "\r\n"},
        {400, "GET /mqtt HTTP/1.1\r\n" REQUIRED VERSION "\r\n"},
        {400, "GET /mqtt HTTP/1.1\r\n" REQUIRED VERSION "Sec-WebSocket-Protocol: MQTT, chat\r\n\r\n"},
        {400, GOOD "Host: other\r\n\r\n"},
        {400, GOOD "sec-websocket-key: " KEY "\r\n\r\n"},
        {400, GOOD "Content-Length: 5\r\n\r\n"},
        {400, GOOD "Transfer-Encoding: chunked\r\n\r\n"},
        {400, GOOD "X-Folded: a\r\n b\r\n\r\n"},
        {400, GOOD " X: a\r\n\r\n"},
        {400, GOOD "X-Spaced : a\r\n\r\n"},
        {400, GOOD "no colon\r\n\r\n"},
        {400, GOOD ": no name\r\n\r\n"},
        {400, GOOD "X: a\x01\r\n\r\n"},
        {400, GOOD "X: a\n\r\n"},
        {400, GOOD "X: a\rb\r\n\r\n"},
        {400, "GET /mqtt HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"},
    };
    char answer[UPGRADE_ANSWER_MAX];
    char expected[32];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        unsigned status = status_of(bad[i].text);
        ck_assert_msg(status == bad[i].status && refusal.why, "%u, not %u: %s", status, bad[i].status,
                      bad[i].text);
        size_t length = upgrade_refuse(&refusal, &rules, answer);
        snprintf(expected, sizeof expected, "HTTP/1.1 %u ", status);
        ck_assert_uint_eq(length, strlen(answer));
        ck_assert(strncmp(answer, expected, strlen(expected)) == 0 && strstr(answer, "\r\n\r\n"));
    }
}
END_TEST

START_TEST(bad_keys)
{
    static const char *const keys[] = {"",
                                       "dGhlIHNhbXBsZSBub25jZQ",
                                       "dGhlIHNhbXBsZSBub25jZQ=",
                                       "dGhlIHNhbXBsZSBub25jZ===",
                                       "dGhlIHNhbXBsZSBub25jZ-==",
                                       "dGhlIHNhbXBsZSBub25jZQ==a"};
    char text[512];
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        snprintf(text, sizeof text,
                 "GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Key: %s\r\n" VERSION PROTOCOL "\r\n",
                 keys[i]);
        ck_assert_msg(status_of(text) == 400, "%s", keys[i]);
    }
}
END_TEST

// A zero byte ends C strings, so it has a test of its own.
START_TEST(zero_bytes)
{
    static const char text[] = GOOD "X: a\0b\r\n\r\n";
    size_t seen = 0;
    ck_assert_uint_eq(upgrade_head_length((const uint8_t *)text, sizeof text - 1, &seen, &refusal), 0);
    ck_assert_uint_eq(refusal.status, 400);
}
END_TEST

START_TEST(other_protocols)
{
    size_t seen = 0;
    ck_assert_uint_eq(upgrade_head_length((const uint8_t *)"\x16\x03\x01", 3, &seen, &refusal), 0);
    ck_assert(refusal.status == 0 && strstr(refusal.why, "TLS"));
    ck_assert_uint_eq(upgrade_head_length((const uint8_t *)"\x10\x0C", 2, &seen, &refusal), 0);
    ck_assert(refusal.status == 0 && strstr(refusal.why, "MQTT"));
    char answer[UPGRADE_ANSWER_MAX];
    ck_assert_uint_eq(upgrade_refuse(&refusal, &rules, answer), 0);
}
END_TEST

START_TEST(subprotocols)
{
    ck_assert_uint_eq(
        status_of("GET /mqtt HTTP/1.1\r\n" REQUIRED VERSION "Sec-WebSocket-Protocol: mqttv3.1\r\n\r\n"), 101);
    ck_assert(str_equal(grant.protocol, STR("mqttv3.1")));
    ck_assert_uint_eq(
        status_of("GET /mqtt HTTP/1.1\r\n" REQUIRED VERSION "Sec-WebSocket-Protocol: mqttv3.1, mqtt\r\n\r\n"),
        101);
    ck_assert(str_equal(grant.protocol, STR("mqtt")));
}
END_TEST

START_TEST(origins_are_compared)
{
    rules.any_origin = false;
    rules.origins = origins;
    rules.origin_count = 2;
    ck_assert_uint_eq(status_of(GOOD "\r\n"), 101);
    ck_assert_uint_eq(status_of(GOOD "Origin: https://App.example\r\n\r\n"), 101);
    ck_assert_uint_eq(status_of(GOOD "Origin: null\r\n\r\n"), 101);
    static const char *const bad[] = {"http://app.example", "https://app.example.evil", "https://app.exampl",
                                      "https://app.example, https://evil", "*"};
    char text[512];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, GOOD "Origin: %s\r\n\r\n", bad[i]);
        ck_assert_msg(status_of(text) == 403, "%s", bad[i]);
        ck_assert(str_equal(refusal.what, str_of(bad[i])));
    }
    ck_assert_uint_eq(status_of(GOOD "Origin: null\r\nOrigin: null\r\n\r\n"), 400);
}
END_TEST

START_TEST(any_pieces)
{
    static const char text[] = GOOD "\r\nfollows";
    size_t whole = strlen(text) - strlen("follows");
    size_t seen = 0;
    for (size_t length = 1; length < whole; length++) {
        ck_assert_uint_eq(upgrade_head_length((const uint8_t *)text, length, &seen, &refusal), 0);
        ck_assert(!refusal.why);
        ck_assert_uint_eq(seen, length);
    }
    ck_assert_uint_eq(upgrade_head_length((const uint8_t *)text, strlen(text), &seen, &refusal), whole);
}
END_TEST

START_TEST(sizes)
{
    static char text[UPGRADE_HEAD_MAX + 100];
    size_t seen = 0;
    memset(text, 'a', sizeof text);
    ck_assert_uint_eq(upgrade_head_length((const uint8_t *)text, sizeof text, &seen, &refusal), 0);
    ck_assert_uint_eq(refusal.status, 414);

    // A head of exactly the limit, and one byte more.
    const char *begin = GOOD "X: ";
    for (size_t more = 0; more < 2; more++) {
        memcpy(text, begin, strlen(begin));
        memset(text + strlen(begin), 'a', sizeof text - strlen(begin));
        strcpy(text + UPGRADE_HEAD_MAX + more - 4, "\r\n\r\n");
        ck_assert_uint_eq(status_of(text), more ? 431 : 101);
    }

    // Many headers.
    for (size_t count = UPGRADE_HEADERS_MAX - 6; count <= UPGRADE_HEADERS_MAX - 5; count++) {
        strcpy(text, GOOD);
        for (size_t i = 0; i < count; i++)
            strcat(text, "X: a\r\n");
        strcat(text, "\r\n");
        ck_assert_uint_eq(status_of(text), count == UPGRADE_HEADERS_MAX - 6 ? 101 : 431);
    }

    // A long path with a short query.
    strcpy(text, "GET /");
    memset(text + 5, 'a', UPGRADE_TARGET_MAX);
    strcpy(text + 5 + UPGRADE_TARGET_MAX, " HTTP/1.1\r\nHost: x\r\n\r\n");
    ck_assert_uint_eq(status_of(text), 414);
}
END_TEST

static const char *client_of(const char *headers, const char *peer)
{
    static char shown[46];
    char text[1024];
    struct address address;
    struct address client;
    snprintf(text, sizeof text, GOOD "%s\r\n", headers);
    ck_assert_uint_eq(status_of(text), 101);
    ck_assert(address_parse(str_of(peer), &address));
    bool told = upgrade_client(&request, &rules, &address, &client);
    address_format(&client, shown);
    return told ? shown : NULL;
}

START_TEST(clients_behind_proxies)
{
    // Nobody tells, or nobody believes him.
    ck_assert_ptr_null(client_of("", "10.0.0.1"));
    ck_assert_ptr_null(client_of("X-Forwarded-For: 192.0.2.7\r\n", "203.0.113.9:4000"));
    ck_assert_ptr_null(client_of("X-Forwarded-For: unknown\r\n", "10.0.0.1"));
    ck_assert_ptr_null(client_of("X-Forwarded-For:\r\n", "10.0.0.1"));

    ck_assert_str_eq(client_of("X-Forwarded-For: 192.0.2.7\r\n", "10.0.0.1:4000"), "192.0.2.7");
    ck_assert_str_eq(client_of("x-forwarded-for: [2001:db8::7]:80\r\n", "[::1]:4000"), "2001:db8::7");
    // What the client itself has put in front is not believed.
    ck_assert_str_eq(client_of("X-Forwarded-For: 10.9.9.9, 192.0.2.7\r\n", "10.0.0.1"), "192.0.2.7");
    ck_assert_str_eq(client_of("X-Forwarded-For: 198.51.100.1, 192.0.2.7, 10.0.0.2\r\n", "10.0.0.1"),
                     "192.0.2.7");
    ck_assert_str_eq(client_of("X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 192.0.2.7\r\n", "10.0.0.1"),
                     "192.0.2.7");
    // The nearest that can be read, and the farthest of those that are trusted.
    ck_assert_str_eq(client_of("X-Forwarded-For: bogus, 10.0.0.2\r\n", "10.0.0.1"), "10.0.0.2");
    ck_assert_str_eq(client_of("X-Forwarded-For: 10.0.0.3,10.0.0.2\r\n", "10.0.0.1"), "10.0.0.3");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("upgrade");
    TCase *cases = tcase_create("upgrade");
    tcase_add_checked_fixture(cases, set_up, NULL);
    tcase_add_test(cases, the_example_of_the_standard);
    tcase_add_test(cases, what_is_taken);
    tcase_add_test(cases, what_is_refused);
    tcase_add_test(cases, bad_keys);
    tcase_add_test(cases, zero_bytes);
    tcase_add_test(cases, other_protocols);
    tcase_add_test(cases, subprotocols);
    tcase_add_test(cases, origins_are_compared);
    tcase_add_test(cases, any_pieces);
    tcase_add_test(cases, sizes);
    tcase_add_test(cases, clients_behind_proxies);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
