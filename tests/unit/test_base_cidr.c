// Addresses and ranges of them, read and compared.
#include <check.h>
#include <stdlib.h>

#include "core/base/cidr.h"

static const char *formatted(const char *text)
{
    static char shown[46];
    struct address address;
    if (!address_parse(str_of(text), &address))
        return NULL;
    address_format(&address, shown);
    return shown;
}

static bool holds(const char *range, const char *text)
{
    struct cidr cidr;
    struct address address;
    ck_assert_msg(cidr_parse(str_of(range), &cidr), "%s", range);
    ck_assert_msg(address_parse(str_of(text), &address), "%s", text);
    return cidr_any_holds(&cidr, 1, &address);
}

START_TEST(addresses_in_every_spelling)
{
    static const char *const good[][2] = {
        {"192.0.2.7", "192.0.2.7"},        {"192.0.2.7:51234", "192.0.2.7"},
        {"2001:db8::7", "2001:db8::7"},    {"2001:DB8:0::7", "2001:db8::7"},
        {"[2001:db8::7]", "2001:db8::7"},  {"[2001:db8::7]:65535", "2001:db8::7"},
        {"::ffff:192.0.2.7", "192.0.2.7"}, {"::1", "::1"},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        ck_assert_pstr_eq(formatted(good[i][0]), good[i][1]);
}
END_TEST

START_TEST(what_is_no_address)
{
    static const char *const bad[] = {
        "",
        "unknown",
        "192.0.2",
        "192.0.2.7:",
        "192.0.2.7:x",
        "192.0.2.7:123456",
        "[192.0.2.7]",
        "[2001:db8::7",
        "[2001:db8::7]x",
        "[]",
        "[2001:db8::7]:",
        "_hidden",
        "192.0.2.256",
        " 192.0.2.7",
        "2001:db8::7%eth0",
        "192.0.2.7 ",
        "1:2:3:4:5:6:7:8:9",
        ":",
        "0123456789012345678901234567890123456789012345678901234567890123",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!formatted(bad[i]), "%s", bad[i]);
    struct address address;
    ck_assert(!address_parse(str_make("192.0.2.7\0", 10), &address));
}
END_TEST

START_TEST(ranges_hold)
{
    ck_assert(holds("192.0.2.0/24", "192.0.2.255"));
    ck_assert(!holds("192.0.2.0/24", "192.0.3.0"));
    ck_assert(holds("192.0.2.128/25", "192.0.2.129"));
    ck_assert(!holds("192.0.2.128/25", "192.0.2.127"));
    ck_assert(holds("192.0.2.7", "192.0.2.7:1"));
    ck_assert(!holds("192.0.2.7", "192.0.2.6"));
    ck_assert(holds("0.0.0.0/0", "203.0.113.9"));
    ck_assert(!holds("0.0.0.0/0", "2001:db8::7"));
    ck_assert(holds("::/0", "203.0.113.9"));
    ck_assert(holds("2001:db8::/33", "2001:db8:7fff::1"));
    ck_assert(!holds("2001:db8::/33", "2001:db8:8000::1"));
    ck_assert(holds("::ffff:192.0.2.0/120", "192.0.2.9"));
    ck_assert(holds("::1/128", "[::1]:1883"));
}
END_TEST

START_TEST(what_is_no_range)
{
    static const char *const bad[] = {"",
                                      "/",
                                      "192.0.2.0/",
                                      "192.0.2.0/33",
                                      "192.0.2.1/24",
                                      "2001:db8::/129",
                                      "2001:db8::1/64",
                                      "192.0.2.0/-1",
                                      "192.0.2.0/8x",
                                      "192.0.2.0/024x",
                                      "example.org/8",
                                      "192.0.2.0:80/24"};
    struct cidr cidr;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!cidr_parse(str_of(bad[i]), &cidr), "%s", bad[i]);
}
END_TEST

START_TEST(any_of_several)
{
    struct cidr ranges[2];
    struct address address;
    ck_assert(cidr_parse(STR("10.0.0.0/8"), &ranges[0]) && cidr_parse(STR("2001:db8::/32"), &ranges[1]));
    ck_assert(address_parse(STR("2001:db8::1"), &address));
    ck_assert(cidr_any_holds(ranges, 2, &address));
    ck_assert(!cidr_any_holds(ranges, 1, &address));
    ck_assert(!cidr_any_holds(NULL, 0, &address));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cidr");
    TCase *cases = tcase_create("cidr");
    tcase_add_test(cases, addresses_in_every_spelling);
    tcase_add_test(cases, what_is_no_address);
    tcase_add_test(cases, ranges_hold);
    tcase_add_test(cases, what_is_no_range);
    tcase_add_test(cases, any_of_several);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
