// Log lines: one event, one line, whatever clients put into it; JSON that a strict parser takes.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/memory.h"

/* ---- what was written ---- */

static FILE *captured;
static int stderr_before;

static void begin_capture(void)
{
    captured = tmpfile();
    ck_assert_ptr_nonnull(captured);
    stderr_before = dup(STDERR_FILENO);
    dup2(fileno(captured), STDERR_FILENO);
}

// Everything written since begin_capture, as a string to be freed.
static struct str end_capture(void)
{
    dup2(stderr_before, STDERR_FILENO);
    close(stderr_before);
    long size = ftell((fseek(captured, 0, SEEK_END), captured));
    rewind(captured);
    char *text = memory_alloc((size_t)size + 1);
    size_t length = fread(text, 1, (size_t)size, captured);
    text[length] = '\0';
    fclose(captured);
    return str_make(text, length);
}

static void release(struct str text)
{
    free((char *)(uintptr_t)text.data);
}

static struct str line_of(enum log_format format, const char *message, const struct log_field *fields,
                          size_t count)
{
    log_configure(LOG_DEBUG, format);
    begin_capture();
    log_write(LOG_INFO, "event", message, fields, count);
    return end_capture();
}

// One line, and nothing in it that ends a line, steers a terminal or turns the direction of the text.
static void check_shown(struct str line)
{
    ck_assert_uint_gt(line.length, 0);
    ck_assert_uint_le(line.length, 8192);
    ck_assert_int_eq(line.data[line.length - 1], '\n');
    ck_assert(str_is_utf8(line));
    for (size_t i = 0; i + 1 < line.length; i++) {
        uint8_t byte = (uint8_t)line.data[i];
        uint8_t next = (uint8_t)line.data[i + 1];
        if (byte < 0x20 || byte == 0x7F || (byte == 0xC2 && next < 0xA0))
            ck_abort_msg("control character %02x %02x at %zu", byte, next, i);
        uint8_t third = (uint8_t)line.data[i + 2]; // the NUL behind the line at the latest
        if (byte == 0xE2 && next == 0x80 &&
            ((third >= 0xA8 && third <= 0xAE) || third == 0x8E || third == 0x8F))
            ck_abort_msg("separator or override at %zu", i);
        if (byte == 0xE2 && next == 0x81 && third >= 0xA6 && third <= 0xA9)
            ck_abort_msg("isolate at %zu", i);
    }
}

/* ---- JSON, strictly ---- */

static const char *json_string(const char *p)
{
    if (*p++ != '"')
        return NULL;
    for (; *p != '"'; p++) {
        if ((uint8_t)*p < 0x20)
            return NULL;
        if (*p != '\\')
            continue;
        p++;
        if (*p == 'u') {
            for (int i = 1; i <= 4; i++)
                if (!strchr("0123456789abcdefABCDEF", p[i]) || !p[i])
                    return NULL;
            p += 4;
        } else if (!*p || !strchr("\"\\/bfnrt", *p)) {
            return NULL;
        }
    }
    return p + 1;
}

// The end of the flat object of strings and numbers at `p`, or NULL; counts its members.
static const char *json_object(const char *p, size_t *members)
{
    *members = 0;
    if (*p++ != '{')
        return NULL;
    for (;; p++) {
        p = json_string(p);
        if (!p || *p++ != ':')
            return NULL;
        if (*p == '"') {
            p = json_string(p);
        } else {
            size_t digits = strspn(p, "0123456789");
            p = digits > 0 ? p + digits : NULL;
        }
        if (!p)
            return NULL;
        ++*members;
        if (*p != ',')
            break;
    }
    return *p == '}' ? p + 1 : NULL;
}

static size_t check_json(struct str line)
{
    check_shown(line);
    size_t members;
    const char *end = json_object(line.data, &members);
    if (!end || strcmp(end, "\n") != 0)
        ck_abort_msg("not one JSON object: %s", line.data);
    return members;
}

/* ---- tests ---- */

START_TEST(text_line)
{
    const struct log_field fields[] = {LOG_STR("client", STR("sensor 7")), LOG_STR("user", STR("ann")),
                                       LOG_NUM("bytes", 18446744073709551615U),
                                       LOG_STR("absent", (struct str){0}), LOG_STR("empty", STR(""))};
    struct str line = line_of(LOG_TEXT, "it \"went\" well", fields, 5);
    check_shown(line);
    // 2026-01-31T12:34:56.789Z, then the rest
    ck_assert_int_eq(line.data[10], 'T');
    ck_assert_int_eq(line.data[23], 'Z');
    ck_assert_str_eq(line.data + 24, " info it \"went\" well client=\"sensor 7\" user=ann "
                                     "bytes=18446744073709551615 empty=\"\"\n");
    release(line);
}
END_TEST

START_TEST(json_line)
{
    const struct log_field fields[] = {LOG_STR("client", STR("a\"b\\c\n")), LOG_NUM("bytes", 0),
                                       LOG_STR("absent", (struct str){0})};
    struct str line = line_of(LOG_JSON, "it \"went\" well", fields, 3);
    ck_assert_uint_eq(check_json(line), 6);
    ck_assert_ptr_nonnull(strstr(line.data, ",\"level\":\"info\",\"event\":\"event\","
                                            "\"message\":\"it \\\"went\\\" well\","
                                            "\"client\":\"a\\\"b\\\\c\\u000a\",\"bytes\":0}\n"));
    release(line);
}
END_TEST

START_TEST(levels)
{
    log_configure(LOG_WARN, LOG_TEXT);
    ck_assert(log_enabled(LOG_ERROR));
    ck_assert(log_enabled(LOG_WARN));
    ck_assert(!log_enabled(LOG_INFO));
    begin_capture();
    log_info("not %s", "seen");
    log_debug("nor this");
    log_event(LOG_INFO, "e", "nor that", LOG_TEXTF("a", "b"));
    log_warn("seen %d", 1);
    log_error("seen %d", 2);
    log_event(LOG_ERROR, "e", "seen 3");
    struct str text = end_capture();
    ck_assert_ptr_null(strstr(text.data, "not"));
    ck_assert_ptr_null(strstr(text.data, "nor"));
    const char *first = strstr(text.data, " warn seen 1\n");
    const char *second = strstr(text.data, " error seen 2\n");
    const char *third = strstr(text.data, " error seen 3\n");
    ck_assert(first && second && third && first < second && second < third);
    release(text);
}
END_TEST

static const struct {
    const char *bytes;
    size_t length;
    const char *shown;
} escapes[] = {
    {"plain", 5, "plain"},
    {"a\nb\r", 4, "a\\u000ab\\u000d"},
    {"\0", 1, "\\u0000"},
    {"\x1B[31m", 5, "\\u001b[31m"},
    {"\x7F", 1, "\\u007f"},
    {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 9, "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"},
    {"\xC2\x9B", 2, "\\u009b"},                        // CSI as one character
    {"\xC2\xA0", 2, "\xC2\xA0"},                       // the first one behind the controls
    {"\xE2\x80\xA8\xE2\x80\xA9", 6, "\\u2028\\u2029"}, // line and paragraph separators
    {"\xE2\x80\xAE\xE2\x81\xA6", 6, "\\u202e\\u2066"}, // override and isolate
    {"\xE2\x80\xA7\xE2\x80\xAF\xE2\x81\xA5", 9, "\xE2\x80\xA7\xE2\x80\xAF\xE2\x81\xA5"},
    {"\xC3\xA9\xFF", 3, "\\u00c3\\u00a9\\u00ff"}, // not UTF-8: byte by byte
    {"\xC3", 1, "\\u00c3"},
    {"a\0\xC3\xA9", 4, "a\\u0000\\u00c3\\u00a9"},
};

START_TEST(escaped)
{
    const struct log_field field = LOG_STR("f", str_make(escapes[_i].bytes, escapes[_i].length));
    char *wanted = str_format("\"f\":\"%s\"}\n", escapes[_i].shown);
    struct str line = line_of(LOG_JSON, "m", &field, 1);
    check_json(line);
    ck_assert_msg(strstr(line.data, wanted) != NULL, "%s not in %s", wanted, line.data);
    release(line);
    line = line_of(LOG_TEXT, "m", &field, 1);
    check_shown(line);
    ck_assert_ptr_nonnull(strstr(line.data, escapes[_i].shown));
    release(line);
    free(wanted);
}
END_TEST

START_TEST(cannot_forge)
{
    const struct log_field fields[] = {LOG_STR("client", STR("x client=root")),
                                       LOG_STR("user", STR("a\" b=\"c")), LOG_STR("topic", STR("t=1"))};
    struct str line = line_of(LOG_TEXT, "m", fields, 3);
    ck_assert_ptr_nonnull(
        strstr(line.data, " client=\"x client=root\" user=\"a\\\" b=\\\"c\" topic=\"t=1\"\n"));
    release(line);
    // In a message as well: it may have been printed into.
    line = line_of(LOG_TEXT, "m\n2026 error \xC2\x9B forged\xFF", NULL, 0);
    check_shown(line);
    ck_assert_ptr_nonnull(strstr(line.data, "m\\u000a2026 error "));
    release(line);
}
END_TEST

// Values are cut at 512 bytes, never inside a character.
START_TEST(long_values)
{
    char value[600];
    for (size_t ascii = 0; ascii < 4; ascii++) {
        memset(value, 'a', ascii);
        for (size_t i = ascii; i + 4 <= sizeof value; i += 4)
            memcpy(value + i, "\xF0\x9F\x98\x80", 4);
        const struct log_field field = LOG_STR("f", str_make(value, ascii + 4 * 149));
        struct str line = line_of(LOG_JSON, "m", &field, 1);
        check_json(line);
        const char *end = strstr(line.data, "...\"}\n");
        ck_assert_ptr_nonnull(end);
        size_t shown = (size_t)(end - strstr(line.data, "\"f\":\"")) - 5;
        ck_assert_uint_eq(shown, ascii == 0 ? 512 : 508 + ascii);
        release(line);
    }
    memset(value, 'b', 512);
    const struct log_field exact = LOG_STR("f", str_make(value, 512));
    struct str line = line_of(LOG_TEXT, "m", &exact, 1);
    ck_assert_ptr_null(strstr(line.data, "..."));
    release(line);
}
END_TEST

// However long the whole becomes, text stays one line and JSON stays JSON; small fields survive.
START_TEST(long_lines)
{
    char *huge = memory_alloc(100001);
    memset(huge, '\n', 100000);
    huge[100000] = '\0';
    struct log_field fields[40];
    for (size_t i = 0; i < 40; i++)
        fields[i] = LOG_STR("f", str_make(huge, 100000));
    fields[39] = LOG_STR("last", STR("small"));
    for (size_t count = 0; count <= 40; count++) {
        struct str line = line_of(LOG_TEXT, huge, fields, count);
        check_shown(line);
        release(line);
        line = line_of(LOG_JSON, huge, fields, count);
        check_json(line);
        ck_assert_int_eq(strstr(line.data, "\"last\":\"small\"") != NULL, count == 40);
        release(line);
    }
    log_configure(LOG_INFO, LOG_JSON);
    memset(huge, 'x', 100000);
    for (size_t length = 2040; length < 2060;
         length++) { // around the size of the buffer that is printed into
        char *text = str_format("%.*s\xF0\x9F\x98\x80 end", (int)length, huge);
        begin_capture();
        log_info("%s", text);
        struct str line = end_capture();
        check_json(line);
        ck_assert_ptr_nonnull(strstr(line.data, "xxx...\"}"));
        release(line);
        free(text);
    }
    free(huge);
}
END_TEST

START_TEST(random_bytes)
{
    srandom((unsigned)_i);
    char values[6][1500];
    for (int round = 0; round < 500; round++) {
        struct log_field fields[6];
        for (size_t i = 0; i < 6; i++) {
            size_t length = (size_t)random() % sizeof values[i];
            long kind = random() % 3;
            for (size_t j = 0; j < length; j++) {
                static const char pieces[] = "\xE2\x80\xA8\xE2\x81\xA6\xC2\x9B\"\\\n=\x7F";
                values[i][j] = (char)(kind == 0   ? random()
                                      : kind == 1 ? pieces[random() % (long)sizeof pieces]
                                                  : ' ' + random() % 95);
            }
            fields[i] = LOG_STR("field", str_make(values[i], length));
        }
        values[0][sizeof values[0] - 1] = '\0';
        size_t count = (size_t)random() % 7;
        struct str line = line_of(LOG_JSON, values[0], fields, count);
        check_json(line);
        release(line);
        line = line_of(LOG_TEXT, values[0], fields, count);
        check_shown(line);
        release(line);
    }
}
END_TEST

START_TEST(fatal)
{
    log_configure(LOG_ERROR, LOG_TEXT);
    close(STDERR_FILENO);
    log_fatal("no %s", "way"); // exits with 1
}
END_TEST

int main(void)
{
    log_limit(0);
    Suite *suite = suite_create("base log");
    TCase *tests = tcase_create("log");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, text_line);
    tcase_add_test(tests, json_line);
    tcase_add_test(tests, levels);
    tcase_add_loop_test(tests, escaped, 0, sizeof escapes / sizeof *escapes);
    tcase_add_test(tests, cannot_forge);
    tcase_add_test(tests, long_values);
    tcase_add_test(tests, long_lines);
    tcase_add_loop_test(tests, random_bytes, 0, 4);
    tcase_add_exit_test(tests, fatal, 1);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
