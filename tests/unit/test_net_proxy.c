// The PROXY header: what it says, what is refused and in which words, and the layer that takes it off.
#include <stdio.h>

#include "core/net/proxy.h"
#include "test_net_support.h"

enum { ANY = PROXY_V1 | PROXY_V2 };

/* ---- headers of version 2 ---- */

static uint8_t built[8192];
static size_t built_length;

static void put(const void *bytes, size_t length)
{
    memcpy(built + built_length, bytes, length);
    built_length += length;
}

static void begin(uint8_t command, uint8_t family)
{
    static const char signature[] = "\r\n\r\n\0\r\nQUIT\n";
    built_length = 0;
    put(signature, 12);
    put((uint8_t[]){command, family, 0, 0}, 4);
}

static void end(void)
{
    built[14] = (uint8_t)((built_length - 16) >> 8);
    built[15] = (uint8_t)(built_length - 16);
}

static void put_v4(void)
{
    put("\xC0\0\2\7\xC0\0\2\1\xC8\3\7\x5B", 12); // 192.0.2.7:51203 to 192.0.2.1:1883
}

static void put_tlv(uint8_t type, const void *value, size_t length)
{
    put((uint8_t[]){type, (uint8_t)(length >> 8), (uint8_t)length}, 3);
    put(value, length);
}

static void put_ssl(uint8_t client, uint8_t verify, const char *common_name)
{
    uint8_t value[512] = {client, 0, 0, 0, verify, 0x21, 0, 7, 'T', 'L', 'S', 'v', '1', '.', '3'};
    size_t length = 15;
    if (common_name) {
        value[length++] = 0x22;
        value[length++] = 0;
        value[length++] = (uint8_t)strlen(common_name);
        memcpy(value + length, common_name, strlen(common_name));
        length += strlen(common_name);
    }
    put_tlv(0x20, value, length);
}

static enum proxy_result parse(const void *data, size_t length, unsigned versions,
                               struct proxy_header *header, const char **why)
{
    // At the end of what may be read, for the sanitizer.
    uint8_t *exact = malloc(length ? length : 1);
    memcpy(exact, data, length);
    enum proxy_result result = proxy_parse(exact, length, versions, header, why);
    ck_assert_int_eq(result == PROXY_BAD, *why != NULL);
    if (result == PROXY_INCOMPLETE)
        ck_assert_uint_gt(header->size, length);
    if (result == PROXY_COMPLETE)
        ck_assert_uint_le(header->size, length);
    free(exact);
    return result;
}

// The header is complete with its last byte and not before, and what follows it does not matter.
static void good(const void *data, size_t length, const char *address)
{
    struct proxy_header header;
    const char *why;
    for (size_t cut = 0; cut < length; cut++)
        ck_assert_msg(parse(data, cut, ANY, &header, &why) == PROXY_INCOMPLETE, "cut at %zu: %s", cut,
                      why ? why : "complete");
    ck_assert_msg(parse(data, length, ANY, &header, &why) == PROXY_COMPLETE, "%s", why ? why : "incomplete");
    ck_assert_uint_eq(header.size, length);
    ck_assert_str_eq(header.address, address);
    uint8_t *more = malloc(length + 2);
    memcpy(more, data, length);
    memcpy(more + length, "\x10\n", 2);
    ck_assert_int_eq(parse(more, length + 2, ANY, &header, &why), PROXY_COMPLETE);
    ck_assert_uint_eq(header.size, length);
    free(more);
}

static void bad(const void *data, size_t length, const char *expected)
{
    struct proxy_header header;
    const char *why;
    ck_assert_msg(parse(data, length, ANY, &header, &why) == PROXY_BAD, "taken: %s", expected);
    ck_assert_msg(strstr(why, expected), "expected: %s\nfound:    %s", expected, why);
}

START_TEST(version_1)
{
    static const struct {
        const char *line;
        const char *address;
    } cases[] = {
        {"PROXY TCP4 192.0.2.7 192.0.2.1 51234 1883\r\n", "192.0.2.7:51234"},
        {"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535"},
        {"PROXY TCP6 2001:db8::7 ::1 0 1\r\n", "[2001:db8::7]:0"},
        {"PROXY TCP6 ::ffff:192.0.2.7 ::1 5 6\r\n", "192.0.2.7:5"},
        {"PROXY UNKNOWN\r\n", ""},
        {"PROXY UNKNOWN ffff:f:f whatever 5\r\n", ""},
        {"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
         "65535\r\n",
         "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        good(cases[i].line, strlen(cases[i].line), cases[i].address);
}
END_TEST

START_TEST(version_1_refused)
{
    static const char address[] = "an address is none of its protocol";
    static const char port[] = "a port is no number from 0 to 65535";
    static const char protocol[] = "its protocol is none of TCP4, TCP6 and UNKNOWN";
    static const struct {
        const char *line;
        const char *why;
    } cases[] = {
        {"proxy TCP4", "no PROXY header"},
        {"\x10\x0C\0\4MQTT", "no PROXY header"},
        {"PROXX", "no PROXY header"},
        {"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n", protocol},
        {"PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n", protocol},
        {"PROXY \r\n", protocol},
        {"PROXY unknown\r\n", protocol},
        {"PROXY TCP4\r\n", address},
        {"PROXY TCP4 1.2.3.4\r\n", address},
        {"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n", address},
        {"PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n", address},
        {"PROXY TCP4 ::1 ::1 1 2\r\n", address},
        {"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", address},
        {"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", address},
        {"PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n", address},
        {"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", port},
        {"PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n", port},
        {"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", port},
        {"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n", port},
        {"PROXY TCP4 1.2.3.4 1.2.3.4 1 2x\r\n", port},
        {"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", "something follows the ports"},
        {"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", "does not end in CR and LF"},
        {"PROXY \n", "does not end in CR and LF"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        bad(cases[i].line, strlen(cases[i].line), cases[i].why);
    bad("PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n", 33, address);
    char line[120];
    memset(line, 'x', sizeof line);
    memcpy(line, "PROXY UNKNOWN ", 14);
    memcpy(line + 105, "\r\n", 2);
    good(line, 107, "");
    line[105] = line[106] = 'x';
    bad(line, 107, "its line is longer than 107 bytes");
    memcpy(line + 106, "\r\n", 2);
    bad(line, 108, "its line is longer than 107 bytes");
}
END_TEST

START_TEST(version_2)
{
    begin(0x21, 0x11);
    put_v4();
    end();
    good(built, built_length, "192.0.2.7:51203");
    begin(0x21, 0x21);
    put("\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\7", 16);
    put("\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1\0\5\7\x5B", 20);
    put_tlv(0x04, "", 0); // NOOP
    put_tlv(0x77, "xyz", 3);
    end();
    good(built, built_length, "[2001:db8::7]:5");
    begin(0x21, 0x31);
    for (int i = 0; i < 216; i++)
        put("", 1);
    end();
    good(built, built_length, "unix");
    // The proxy speaks for itself, or does not know: whatever else is in there.
    static const uint8_t unknown[][2] = {{0x20, 0x00}, {0x20, 0x11}, {0x20, 0xFF}, {0x21, 0x00}};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        begin(unknown[i][0], unknown[i][1]);
        end();
        good(built, built_length, "");
        put("anything", 8);
        end();
        good(built, built_length, "");
    }
    static const uint8_t filling[200];
    begin(0x21, 0x11);
    put_v4();
    while (built_length + 3 + 100 <= PROXY_HEADER_MAX)
        put_tlv(0x30, filling, 100);
    put_tlv(0x30, filling, PROXY_HEADER_MAX - built_length - 3);
    end();
    ck_assert_uint_eq(built_length, PROXY_HEADER_MAX);
    good(built, built_length, "192.0.2.7:51203");
}
END_TEST

START_TEST(version_2_refused)
{
    static const uint8_t families[] = {0x01, 0x10, 0x12, 0x22, 0x32, 0x41, 0xFF};
    for (size_t i = 0; i < sizeof families; i++) {
        begin(0x21, families[i]);
        for (int byte = 0; byte < 216; byte++)
            put("", 1);
        end();
        bad(built, built_length, "its address family and protocol are none of streams");
    }
    static const uint8_t commands[] = {0x11, 0x22, 0x2F, 0x31, 0x00};
    for (size_t i = 0; i < sizeof commands; i++) {
        begin(commands[i], 0x11);
        bad(built, 13, "its version or command is unknown"); // at once
    }
    static const uint8_t sizes[][2] = {{0x11, 11}, {0x21, 35}, {0x31, 215}, {0x11, 0}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        begin(0x21, sizes[i][0]);
        for (int byte = 0; byte < sizes[i][1]; byte++)
            put("", 1);
        end();
        bad(built, built_length, "its addresses are cut off");
    }
    begin(0x21, 0x11);
    memcpy(built + 14, "\x0F\xF1", 2); // 4097 with the first 16
    bad(built, 16, "it is longer than 4096 bytes");
    memcpy(built + 14, "\xFF\xFF", 2);
    bad(built, 16, "it is longer than 4096 bytes");
    static const char tails[][4] = {"\4", "\4\0", "\4\0\1", "\4\1"};
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        begin(0x21, 0x11);
        put_v4();
        put(tails[i], i + 1 < 3 ? i + 1 : 3);
        end();
        bad(built, built_length, "what follows the addresses does not add up");
    }
    struct proxy_header header;
    const char *why;
    ck_assert_int_eq(parse("PROXY", 5, PROXY_V2, &header, &why), PROXY_BAD);
    ck_assert_str_eq(why, "a PROXY header of version 1, where version 2 is expected");
    ck_assert_int_eq(parse("\r\n\r\n", 4, PROXY_V1, &header, &why), PROXY_BAD);
    ck_assert_str_eq(why, "a PROXY header of version 2, where version 1 is expected");
}
END_TEST

START_TEST(checksum)
{
    // The sum has been computed apart, by a program that finds 0xE3069283 for "123456789".
    begin(0x21, 0x11);
    put_v4();
    put_tlv(0x03, "\0\0\0\0", 4);
    put_tlv(0x04, "\0", 1);
    end();
    static const uint8_t sum[] = {0xF0, 0x09, 0x32, 0xAB};
    memcpy(built + 31, sum, sizeof sum);
    good(built, built_length, "192.0.2.7:51203");
    for (size_t byte = 16; byte < built_length; byte++) {
        if (byte >= 28 && byte < 31)
            continue; // its own type and length
        built[byte] ^= 0x40;
        struct proxy_header header;
        const char *why;
        ck_assert_int_eq(parse(built, built_length, ANY, &header, &why), PROXY_BAD);
        built[byte] ^= 0x40;
    }
    begin(0x21, 0x11);
    put_v4();
    put_tlv(0x03, "\0\0\0", 3);
    end();
    bad(built, built_length, "its checksum is wrong");
}
END_TEST

static struct proxy_header with_ssl(uint8_t client, uint8_t verify, const char *common_name)
{
    struct proxy_header header;
    const char *why;
    begin(0x21, 0x11);
    put_v4();
    put_ssl(client, verify, common_name);
    end();
    enum proxy_result result = proxy_parse(built, built_length, ANY, &header, &why);
    ck_assert_msg(result == PROXY_COMPLETE, "%s", why ? why : "incomplete");
    good(built, built_length, "192.0.2.7:51203");
    return header;
}

START_TEST(what_a_proxy_says_of_tls)
{
    struct proxy_header header = with_ssl(1, 0, NULL);
    ck_assert(str_equal(header.tls_version, STR("TLSv1.3")) && !header.certified);
    header = with_ssl(3, 0, "ann");
    ck_assert(header.certified && str_equal(header.common_name, STR("ann")));
    header = with_ssl(5, 0, "ann"); // shown when the session began
    ck_assert(header.certified && str_equal(header.common_name, STR("ann")));
    header = with_ssl(7, 0, NULL);
    ck_assert(header.certified && header.common_name.length == 0);
    // Not verified, not shown, or not TLS at all: no certificate.
    static const uint8_t none[][2] = {{3, 1}, {1, 0}, {6, 0}, {0, 0}};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        header = with_ssl(none[i][0], none[i][1], "ann");
        ck_assert(!header.certified && header.common_name.length == 0);
        ck_assert((header.tls_version.data != NULL) == ((none[i][0] & 1) != 0));
    }
    static const struct {
        const char *value;
        size_t length;
    } broken[] = {
        {"\3\0\0\0", 4},           {"\3\0\0\0\0\x22", 6},          {"\3\0\0\0\0\x22\0\4ann", 11},
        {"\3\0\0\0\0\x22\0\0", 8}, {"\3\0\0\0\0\x22\0\3a\0n", 11}, {"\3\0\0\0\0\x22\0\2\xC3\x28", 10}};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        begin(0x21, 0x11);
        put_v4();
        put_tlv(0x20, broken[i].value, broken[i].length);
        end();
        bad(built, built_length, "what it says of TLS does not add up");
    }
    begin(0x21, 0x11);
    put_v4();
    put_ssl(1, 0, NULL);
    put_ssl(3, 0, "root");
    end();
    bad(built, built_length, "it says the same thing twice");
}
END_TEST

/* ---- the layer ---- */

static struct worker *worker;
static char told[ADDRESS_TEXT_MAX];
static const char *verdict;

static const char *identified(struct stream *stream, const char *address)
{
    (void)stream;
    ck_assert_str_eq(told, "");
    strcpy(told, address);
    return verdict;
}

static const struct stream_events proxied_events = {side_received, side_drained, side_failed, side_closed,
                                                    identified};

static struct side *proxied(unsigned versions)
{
    struct side *side = side_new();
    told[0] = '\0';
    verdict = NULL;
    side->stream.events = &proxied_events;
    stream_push(&side->stream, proxy_layer_new(versions));
    ck_assert_str_eq(transport_opening(side->stream.transport), "no PROXY header");
    stream_attach(&side->stream, worker);
    return side;
}

static void set_up(void)
{
    worker = workers_new(1);
}

static void tear_down(void)
{
    workers_free(worker);
}

static void turns(int count)
{
    while (count-- > 0)
        worker_turn(worker, false);
}

START_TEST(header_cut_at_every_byte)
{
    begin(0x21, 0x11);
    put_v4();
    put_ssl(3, 0, "ann");
    end();
    for (size_t cut = 1; cut <= built_length; cut++) {
        struct side *side = proxied(ANY);
        peer_send(side, worker, built, cut);
        turns(2);
        ck_assert_uint_eq(side->length, 0);
        ck_assert_int_eq(transport_opening(side->stream.transport) != NULL, cut < built_length);
        peer_send(side, worker, built + cut, built_length - cut);
        peer_send(side, worker, "hello", 5);
        turns(3);
        ck_assert_uint_eq(side->length, 5);
        ck_assert_mem_eq(side->bytes, "hello", 5);
        ck_assert_str_eq(told, "192.0.2.7:51203");
        struct transport_facts facts;
        transport_facts(side->stream.transport, &side->stream, &facts);
        ck_assert_str_eq(facts.address, "192.0.2.7:51203");
        ck_assert_str_eq(facts.certificate_name, "ann");
        ck_assert_str_eq(facts.tls_version, "TLSv1.3");
        // Both ways, as if nothing was in between.
        ck_assert(stream_write(&side->stream, "answer", 6));
        turns(2);
        char answer[6];
        ck_assert_int_eq((int)peer_read(side, answer, 6), 6);
        side_end(side, worker);
    }
}
END_TEST

START_TEST(much_follows_at_once)
{
    enum { MANY = 100000 };
    uint8_t *all = malloc(MANY);
    memcpy(all, "PROXY TCP4 192.0.2.7 192.0.2.1 51234 1883\r\n", 43);
    fill_bytes(all + 43, 0, MANY - 43);
    struct side *side = proxied(PROXY_V1);
    peer_send(side, worker, all, MANY);
    for (int i = 0; i < 100 && side->length < MANY - 43; i++)
        turns(1);
    ck_assert_uint_eq(side->length, MANY - 43);
    ck_assert(bytes_are(side->bytes, 0, side->length));
    // The paused and the moved have the same bytes: what lies in the layer is offered again.
    side_end(side, worker);
    side = proxied(PROXY_V1);
    stream_pause(&side->stream);
    peer_send(side, worker, all, 60);
    turns(2);
    stream_resume(&side->stream);
    turns(3);
    ck_assert_uint_eq(side->length, 17);
    side_end(side, worker);
    free(all);
}
END_TEST

START_TEST(who_is_not_understood)
{
    struct side *side = proxied(PROXY_V2);
    peer_send(side, worker, "\x10\x0C\0\4MQTT", 8);
    turns(3);
    ck_assert_uint_eq(side->failed, 1);
    ck_assert_str_eq(side->why, "no PROXY header");
    ck_assert_uint_eq(side->length, 0);
    side_end(side, worker);
    // Ended in the middle; and without a word, which is what checks of health do.
    side = proxied(ANY);
    peer_send(side, worker, "PROXY TC", 8);
    shutdown(side->peer, SHUT_WR);
    turns(3);
    ck_assert_uint_eq(side->failed, 1);
    ck_assert_str_eq(side->why, "the connection has ended inside the PROXY header");
    side_end(side, worker);
    side = proxied(ANY);
    shutdown(side->peer, SHUT_WR);
    turns(3);
    ck_assert_uint_eq(side->failed, 0);
    ck_assert_uint_eq(side->closed, 1);
    side_free(side);
}
END_TEST

START_TEST(who_is_not_welcome)
{
    struct side *side = proxied(ANY);
    verdict = "not today";
    peer_send(side, worker, "PROXY TCP4 192.0.2.7 192.0.2.1 51234 1883\r\nhello", 48);
    turns(3);
    ck_assert_uint_eq(side->failed, 1);
    ck_assert_str_eq(side->why, "not today");
    ck_assert_uint_eq(side->length, 0);
    side_end(side, worker);
}
END_TEST

START_TEST(proxy_without_a_client)
{
    struct side *side = proxied(ANY);
    stream_detach(&side->stream);
    struct transport_facts facts;
    begin(0x20, 0);
    end();
    stream_attach(&side->stream, worker);
    peer_send(side, worker, built, built_length);
    peer_send(side, worker, "hello", 5);
    turns(3);
    ck_assert_uint_eq(side->length, 5);
    ck_assert_str_eq(told, "");
    transport_facts(side->stream.transport, &side->stream, &facts);
    ck_assert_ptr_null(facts.address);
    side_end(side, worker);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("proxy");
    TCase *group = tcase_create("header");
    tcase_add_test(group, version_1);
    tcase_add_test(group, version_1_refused);
    tcase_add_test(group, version_2);
    tcase_add_test(group, version_2_refused);
    tcase_add_test(group, checksum);
    tcase_add_test(group, what_a_proxy_says_of_tls);
    suite_add_tcase(suite, group);
    TCase *layer = tcase_create("layer");
    tcase_add_checked_fixture(layer, set_up, tear_down);
    tcase_add_test(layer, header_cut_at_every_byte);
    tcase_add_test(layer, much_follows_at_once);
    tcase_add_test(layer, who_is_not_understood);
    tcase_add_test(layer, who_is_not_welcome);
    tcase_add_test(layer, proxy_without_a_client);
    suite_add_tcase(suite, layer);
    return run_suite(suite);
}
