// The bodies that http-auth sends, byte for byte, and the keys that name them.
#include "plugins/http-auth/request.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct noctule_string string(const char *text)
{
    return noctule_string_of(text, strlen(text));
}

static struct request_facts facts_of_ann(void)
{
    return (struct request_facts){.username = string("ann"),
                                  .password = string("secret"),
                                  .client_id = string("dev 1"),
                                  .topic = string("a/+/#"),
                                  .address = string("192.0.2.7"),
                                  .listener = string("default"),
                                  .certificate_subject = string("CN=ann"),
                                  .access = ACCESS_WRITE,
                                  .protocol = 5,
                                  .qos = 1,
                                  .retain = 1,
                                  .payload_size = 1000};
}

enum { SEND_ALL = 0x7F };

static const struct {
    enum request_params params;
    enum check_kind kind;
    uint32_t send;
    const char *body;
} bodies[] = {
    {PARAMS_JSON, CHECK_USER, 0, "{\"clientid\":\"dev 1\",\"password\":\"secret\",\"username\":\"ann\"}"},
    {PARAMS_JSON, CHECK_SUPERUSER, 0, "{\"username\":\"ann\"}"},
    {PARAMS_JSON, CHECK_ACL, 0,
     "{\"acc\":2,\"clientid\":\"dev 1\",\"topic\":\"a/+/#\",\"username\":\"ann\"}"},
    {PARAMS_FORM, CHECK_USER, 0, "clientid=dev+1&password=secret&username=ann"},
    {PARAMS_FORM, CHECK_SUPERUSER, 0, "username=ann"},
    {PARAMS_FORM, CHECK_ACL, 0, "acc=2&clientid=dev+1&topic=a%2F%2B%2F%23&username=ann"},
    {PARAMS_JSON, CHECK_SUPERUSER, SEND_ALL,
     "{\"address\":\"192.0.2.7\",\"certificate_subject\":\"CN=ann\",\"listener\":\"default\",\"protocol\":5,"
     "\"username\":\"ann\"}"},
    {PARAMS_JSON, CHECK_ACL, SEND_ALL,
     "{\"acc\":2,\"address\":\"192.0.2.7\",\"certificate_subject\":\"CN=ann\",\"clientid\":\"dev "
     "1\",\"listener\":"
     "\"default\",\"payload_size\":1000,\"protocol\":5,\"qos\":1,\"retain\":true,\"topic\":\"a/+/"
     "#\",\"username\":"
     "\"ann\"}"},
    {PARAMS_FORM, CHECK_ACL, SEND_QOS | SEND_RETAIN | SEND_PAYLOAD_SIZE,
     "acc=2&clientid=dev+1&payload_size=1000&qos=1&retain=true&topic=a%2F%2B%2F%23&username=ann"},
    // What is about a topic is no part of the other checks.
    {PARAMS_FORM, CHECK_USER, SEND_QOS | SEND_RETAIN | SEND_PAYLOAD_SIZE,
     "clientid=dev+1&password=secret&username=ann"},
};

START_TEST(bodies_of_all_checks)
{
    struct request_facts facts = facts_of_ann();
    struct text body = {0};
    request_body(&body, bodies[_i].params, bodies[_i].kind, bodies[_i].send, &facts);
    text_add_byte(&body, '\0');
    ck_assert_str_eq(body.data, bodies[_i].body);
    text_free(&body);
}
END_TEST

static const struct {
    const char *bytes;
    size_t length;
    const char *json;
    const char *form;
} passwords[] = {
    {"", 0, "", ""},
    {"a b", 3, "a b", "a+b"},
    {"\"\\/", 3, "\\\"\\\\/", "%22%5C%2F"},
    {"\0\x01\b\f\n\r\t\x1f\x7f", 9, "\\u0000\\u0001\\u0008\\u000c\\n\\r\\t\\u001f\x7f",
     "%00%01%08%0C%0A%0D%09%1F%7F"},
    {"<>&'", 4, "\\u003c\\u003e\\u0026'", "%3C%3E%26%27"},
    {"-_.~!*()", 8, "-_.~!*()", "-_.~%21%2A%28%29"},
    {"\xC3\xA9", 2, "\xC3\xA9", "%C3%A9"},
    {"\xE2\x80\xA8\xE2\x80\xA9\xE2\x80\xAA", 9, "\\u2028\\u2029\xE2\x80\xAA", "%E2%80%A8%E2%80%A9%E2%80%AA"},
    {"\xF0\x9F\x98\x80", 4, "\xF0\x9F\x98\x80", "%F0%9F%98%80"},
    // No UTF-8: alone, cut off, too long, a surrogate, beyond the last character.
    {"\xFFz", 2, "\\ufffdz", "%FFz"},
    {"\xC3", 1, "\\ufffd", "%C3"},
    {"\xC0\x80", 2, "\\ufffd\\ufffd", "%C0%80"},
    {"\xE0\x80\x80", 3, "\\ufffd\\ufffd\\ufffd", "%E0%80%80"},
    {"\xED\xA0\x80", 3, "\\ufffd\\ufffd\\ufffd", "%ED%A0%80"},
    {"\xF4\x90\x80\x80", 4, "\\ufffd\\ufffd\\ufffd\\ufffd", "%F4%90%80%80"},
    {"\xF0\x9F\x98", 3, "\\ufffd\\ufffd\\ufffd", "%F0%9F%98"},
};

START_TEST(every_byte_has_its_escape)
{
    struct request_facts facts = facts_of_ann();
    struct text body = {0};
    char expected[256];
    facts.password = noctule_string_of(passwords[_i].bytes, passwords[_i].length);
    request_body(&body, PARAMS_JSON, CHECK_USER, 0, &facts);
    text_add_byte(&body, '\0');
    snprintf(expected, sizeof expected, "{\"clientid\":\"dev 1\",\"password\":\"%s\",\"username\":\"ann\"}",
             passwords[_i].json);
    ck_assert_str_eq(body.data, expected);
    text_reset(&body);
    request_body(&body, PARAMS_FORM, CHECK_USER, 0, &facts);
    text_add_byte(&body, '\0');
    snprintf(expected, sizeof expected, "clientid=dev+1&password=%s&username=ann", passwords[_i].form);
    ck_assert_str_eq(body.data, expected);
    text_free(&body);
}
END_TEST

// ---- Keys ----------------------------------------------------------------------------------------------

static struct secret secret = {.key = {1, 2, 3}, .seed = 4};

static struct text key_of(uint64_t origin, enum check_kind kind, uint32_t send,
                          const struct request_facts *facts)
{
    struct text key = {0};
    ck_assert(request_key(&key, origin, kind, send, facts, &secret));
    return key;
}

static bool is_same(const struct text *a, const struct text *b)
{
    return a->length == b->length && memcmp(a->data, b->data, a->length) == 0;
}

// Whether two questions have the same key.
static bool share(enum check_kind kind, uint32_t send, const struct request_facts *a,
                  const struct request_facts *b)
{
    struct text one = key_of(7, kind, send, a);
    struct text other = key_of(7, kind, send, b);
    bool same = is_same(&one, &other);
    text_free(&one);
    text_free(&other);
    return same;
}

START_TEST(keys_tell_every_field_apart)
{
    struct request_facts ann = facts_of_ann();
    struct request_facts other[] = {ann, ann, ann, ann, ann};
    other[0].username = string("bob");
    other[1].client_id = string("dev 2");
    other[2].password = string("Secret");
    other[3].topic = string("a/+");
    other[4].access = ACCESS_READ;
    static const bool differ[CHECK_KINDS][5] = {
        [CHECK_USER] = {true, true, true, false, false},
        [CHECK_SUPERUSER] = {true, false, false, false, false},
        [CHECK_ACL] = {true, true, false, true, true},
    };
    for (unsigned kind = 0; kind < CHECK_KINDS; kind++)
        for (unsigned i = 0; i < 5; i++)
            ck_assert_msg(share((enum check_kind)kind, 0, &ann, &other[i]) != differ[kind][i], "%u, %u", kind,
                          i);
}
END_TEST

START_TEST(keys_tell_what_is_sent_apart)
{
    struct request_facts ann = facts_of_ann();
    struct request_facts other[] = {ann, ann, ann, ann, ann, ann, ann};
    static const uint32_t sends[] = {SEND_ADDRESS, SEND_LISTENER, SEND_PROTOCOL,    SEND_CERTIFICATE_SUBJECT,
                                     SEND_QOS,     SEND_RETAIN,   SEND_PAYLOAD_SIZE};
    other[0].address = string("192.0.2.8");
    other[1].listener = string("other");
    other[2].protocol = 4;
    other[3].certificate_subject = string("");
    other[4].qos = 0;
    other[5].retain = 0;
    other[6].payload_size = 0;
    for (unsigned i = 0; i < 7; i++) {
        ck_assert(share(CHECK_ACL, 0, &ann, &other[i]));
        ck_assert(share(CHECK_ACL, SEND_ALL & ~sends[i], &ann, &other[i]));
        ck_assert(!share(CHECK_ACL, sends[i], &ann, &other[i]));
    }
}
END_TEST

START_TEST(keys_do_not_run_together)
{
    struct request_facts one = facts_of_ann();
    struct request_facts other = one;
    one.username = string("ab");
    one.client_id = string("c");
    other.username = string("a");
    other.client_id = string("bc");
    ck_assert(!share(CHECK_USER, 0, &one, &other));
    ck_assert(!share(CHECK_ACL, 0, &one, &other));
    one = other = facts_of_ann();
    one.username = string("ann");
    one.password = string("bob");
    other.username = string("annb");
    other.password = string("ob");
    ck_assert(!share(CHECK_USER, 0, &one, &other));
}
END_TEST

START_TEST(keys_hold_no_password)
{
    struct request_facts ann = facts_of_ann();
    struct text key = key_of(7, CHECK_USER, 0, &ann);
    ck_assert_ptr_null(memmem(key.data, key.length, "secret", 6));
    // The same password of another user, and under another secret, is another hash.
    uint8_t hash[3][SECRET_HASH_BYTES];
    struct secret another = {.key = {9}};
    ck_assert(secret_hash_password(&secret, string("ann"), string("secret"), hash[0]));
    ck_assert(secret_hash_password(&secret, string("bob"), string("secret"), hash[1]));
    ck_assert(secret_hash_password(&another, string("ann"), string("secret"), hash[2]));
    ck_assert_mem_ne(hash[0], hash[1], SECRET_HASH_BYTES);
    ck_assert_mem_ne(hash[0], hash[2], SECRET_HASH_BYTES);
    ck_assert_ptr_nonnull(memmem(key.data, key.length, hash[0], SECRET_HASH_BYTES));
    text_free(&key);
}
END_TEST

START_TEST(keys_know_whom_they_are_about)
{
    struct request_facts ann = facts_of_ann();
    static const char *const ids[CHECK_KINDS] = {"dev 1", "", "dev 1"};
    for (unsigned kind = 0; kind < CHECK_KINDS; kind++) {
        struct text key = key_of(7, (enum check_kind)kind, SEND_ALL, &ann);
        struct noctule_string username;
        struct noctule_string client_id;
        request_key_names(text_string(&key), &username, &client_id);
        ck_assert_uint_eq(username.length, 3);
        ck_assert_mem_eq(username.data, "ann", 3);
        ck_assert_uint_eq(client_id.length, strlen(ids[kind]));
        ck_assert_mem_eq(client_id.data, ids[kind], client_id.length);
        text_free(&key);
    }
}
END_TEST

START_TEST(keys_of_another_configuration_are_others)
{
    struct request_facts ann = facts_of_ann();
    struct text one = key_of(1, CHECK_ACL, 0, &ann);
    struct text other = key_of(2, CHECK_ACL, 0, &ann);
    ck_assert(!is_same(&one, &other));
    text_free(&one);
    text_free(&other);
}
END_TEST

START_TEST(secrets_are_drawn_anew)
{
    struct secret one;
    struct secret other;
    ck_assert(secret_make(&one) && secret_make(&other));
    ck_assert_mem_ne(one.key, other.key, SECRET_BYTES);
    ck_assert_uint_ne(one.seed, other.seed);
}
END_TEST

START_TEST(texts_are_wiped)
{
    struct text text = {0};
    text_add_c(&text, "secret");
    text_reset(&text);
    ck_assert_uint_eq(text.length, 0);
    ck_assert_mem_eq(text.data, "\0\0\0\0\0\0", 6);
    for (int i = 0; i < 1000; i++)
        text_add_c(&text, "0123456789");
    ck_assert_uint_eq(text.length, 10000);
    ck_assert(!text.failed);
    text_free(&text);
    ck_assert_ptr_null(text.data);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http_auth_request");
    TCase *tests = tcase_create("request");
    tcase_add_loop_test(tests, bodies_of_all_checks, 0, sizeof bodies / sizeof *bodies);
    tcase_add_loop_test(tests, every_byte_has_its_escape, 0, sizeof passwords / sizeof *passwords);
    tcase_add_test(tests, keys_tell_every_field_apart);
    tcase_add_test(tests, keys_tell_what_is_sent_apart);
    tcase_add_test(tests, keys_do_not_run_together);
    tcase_add_test(tests, keys_hold_no_password);
    tcase_add_test(tests, keys_know_whom_they_are_about);
    tcase_add_test(tests, keys_of_another_configuration_are_others);
    tcase_add_test(tests, secrets_are_drawn_anew);
    tcase_add_test(tests, texts_are_wiped);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
