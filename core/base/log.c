#include "core/base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/escape.h"
#include "core/base/log_rate.h"

enum { LINE_MAX_BYTES = 8192, MESSAGE_MAX_BYTES = 1024, VALUE_MAX_BYTES = 512 };

static _Atomic int current_level = LOG_INFO;
static _Atomic int current_format = LOG_TEXT;

static _Atomic bool to_journal;
static _Atomic uint64_t lost; // lines that could not be written

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static const char *const level_priorities[] = {"<3>", "<4>", "<6>", "<7>"}; // of syslog(3)

struct line {
    char data[LINE_MAX_BYTES];
    size_t length;
};

// The service manager names device and inode of the stream that leads to the journal; standard error may be
// another one by now.
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat status;
    if (!stream || fstat(STDERR_FILENO, &status) != 0)
        return false;
    char ours[48];
    snprintf(ours, sizeof ours, "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
    return strcmp(stream, ours) == 0;
}

void log_configure(enum log_level level, enum log_format format)
{
    atomic_store(&to_journal, stderr_is_journal());
    atomic_store(&current_level, (int)level);
    atomic_store(&current_format, (int)format);
}

bool log_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&current_level, memory_order_relaxed);
}

static void put_bytes(struct line *line, const char *bytes, size_t length)
{
    size_t room = LINE_MAX_BYTES - 4 - line->length; // the last bytes close the line
    if (length > room)
        length = room;
    memcpy(line->data + line->length, bytes, length);
    line->length += length;
}

static void put_text(struct line *line, const char *text)
{
    put_bytes(line, text, strlen(text));
}

static void put_escaped(struct line *line, struct str value, size_t most, bool quoted)
{
    line->length += escape(value, most, quoted, line->data + line->length, LINE_MAX_BYTES - 4 - line->length);
}

static void put_time(struct line *line)
{
    uint64_t now = clock_wall_ms();
    time_t seconds = (time_t)(now / 1000);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    char text[40];
    size_t length = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    put_bytes(line, text, length);
    snprintf(text, sizeof text, ".%03uZ", (unsigned)(now % 1000));
    put_text(line, text);
}

static void put_number(struct line *line, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, number);
    put_text(line, text);
}

static bool needs_quotes(struct str value)
{
    for (size_t i = 0; i < value.length; i++) {
        uint8_t byte = (uint8_t)value.data[i];
        if (byte <= ' ' || byte >= 0x7F || byte == '"' || byte == '=' || byte == '\\')
            return true;
    }
    return value.length == 0;
}

static void put_value(struct line *line, const struct log_field *field, bool quoted)
{
    if (field->is_number) {
        put_number(line, field->number);
        return;
    }
    if (quoted)
        put_text(line, "\"");
    put_escaped(line, field->text, VALUE_MAX_BYTES, true);
    if (quoted)
        put_text(line, "\"");
}

static bool is_left_out(const struct log_field *field)
{
    return !field->is_number && !field->text.data;
}

// Upper bound of what a field takes in JSON.
static size_t longest(const struct log_field *field)
{
    size_t shown = field->text.length < VALUE_MAX_BYTES ? field->text.length : VALUE_MAX_BYTES;
    return strlen(field->name) + 8 + (field->is_number ? 20 : ESCAPED_MAX * shown + 3);
}

static void compose_text(struct line *line, enum log_level level, const char *message,
                         const struct log_field *fields, size_t count)
{
    if (!atomic_load_explicit(&to_journal, memory_order_relaxed)) {
        put_time(line);
        put_text(line, " ");
        put_text(line, level_names[level]);
        put_text(line, " ");
    }
    // A message is the program's own text with values printed into it: its quotes stay as they are.
    put_escaped(line, str_of(message), MESSAGE_MAX_BYTES, false);
    for (size_t i = 0; i < count; i++) {
        if (is_left_out(&fields[i]))
            continue;
        put_text(line, " ");
        put_text(line, fields[i].name);
        put_text(line, "=");
        put_value(line, &fields[i], needs_quotes(fields[i].text));
    }
}

static void compose_json(struct line *line, enum log_level level, const char *event, const char *message,
                         const struct log_field *fields, size_t count)
{
    put_text(line, "{\"time\":\"");
    put_time(line);
    put_text(line, "\",\"level\":\"");
    put_text(line, level_names[level]);
    put_text(line, "\",\"event\":\"");
    put_text(line, event);
    put_text(line, "\",\"message\":\"");
    put_escaped(line, str_of(message), MESSAGE_MAX_BYTES, true);
    put_text(line, "\"");
    for (size_t i = 0; i < count; i++) {
        // A whole field or none: a line cut short would not be JSON.
        if (is_left_out(&fields[i]) || line->length + longest(&fields[i]) > LINE_MAX_BYTES - 8)
            continue;
        put_text(line, ",\"");
        put_text(line, fields[i].name);
        put_text(line, "\":");
        put_value(line, &fields[i], true);
    }
    put_text(line, "}");
}

static uint32_t this_second(void)
{
    return (uint32_t)(clock_monotonic_ms() / 1000) + 1; // never 0
}

// False when a pipe is full because nobody reads it: a worker does not wait for that.
static bool is_taken(void)
{
    struct pollfd poll_for = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&poll_for, 1, 0) != 0;
}

static bool write_all(const char *data, size_t length)
{
    size_t sent = 0;
    while (sent < length) {
        ssize_t n = write(STDERR_FILENO, data + sent, length - sent);
        if (n < 0 && errno != EINTR)
            return false; // a full disk under the log must not hurt the broker
        if (n > 0)
            sent += (size_t)n;
    }
    return true;
}

static void write_line(enum log_level level, const char *event, const char *message,
                       const struct log_field *fields, size_t count)
{
    struct line line;
    line.length = 0;
    if (atomic_load_explicit(&to_journal, memory_order_relaxed))
        put_text(&line, level_priorities[level]);
    if (atomic_load_explicit(&current_format, memory_order_relaxed) == LOG_JSON)
        compose_json(&line, level, event, message, fields, count);
    else
        compose_text(&line, level, message, fields, count);
    line.data[line.length++] = '\n';
    if (!is_taken() || !write_all(line.data, line.length))
        atomic_fetch_add_explicit(&lost, 1, memory_order_relaxed);
}

void log_write(enum log_level level, const char *event, const char *message, const struct log_field *fields,
               size_t count)
{
    if (level == LOG_DEBUG || log_rate_allows(event, this_second()))
        write_line(level, event, message, fields, count);
}

void log_limit(uint64_t lines_per_second)
{
    log_rate_set(lines_per_second);
}

static void tell_lost(void)
{
    uint64_t count = atomic_load_explicit(&lost, memory_order_relaxed);
    if (count == 0 || !log_enabled(LOG_WARN) || !is_taken())
        return;
    const struct log_field field = LOG_NUM("lost", count);
    atomic_fetch_sub_explicit(&lost, count, memory_order_relaxed);
    write_line(LOG_WARN, "log_lost", "lines were lost because the log was full or not read", &field, 1);
}

void log_tell_held_back(bool all)
{
    tell_lost();
    const char *event;
    uint64_t count;
    while ((count = log_rate_take(all ? 0 : this_second(), &event)) > 0) {
        const struct log_field fields[] = {LOG_TEXTF("kind", event), LOG_NUM("left_out", count)};
        if (log_enabled(LOG_WARN))
            write_line(LOG_WARN, "log_left_out",
                       "more lines of one kind than log.rate_limit allows were left out", fields, 2);
    }
}

// Takes off the character that the end of the buffer has split.
static void cut_end(char *text, size_t length)
{
    while (length > 0 && ((uint8_t)text[length - 1] & 0xC0) == 0x80)
        length--;
    if (length > 0 && (uint8_t)text[length - 1] >= 0xC0)
        length--;
    text[length] = '\0';
}

static void write_formatted(enum log_level level, const char *format, va_list arguments)
{
    if (!log_enabled(level))
        return;
    char message[2 * MESSAGE_MAX_BYTES];
    if (vsnprintf(message, sizeof message, format, arguments) >= (int)sizeof message)
        cut_end(message, sizeof message - 1);
    log_write(level, "log", message, NULL, 0);
}

#define DEFINE_LOG_WORD(name, level)                                                                         \
    void name(const char *format, ...)                                                                       \
    {                                                                                                        \
        va_list arguments;                                                                                   \
        va_start(arguments, format);                                                                         \
        write_formatted(level, format, arguments);                                                           \
        va_end(arguments);                                                                                   \
    }

DEFINE_LOG_WORD(log_info, LOG_INFO)
DEFINE_LOG_WORD(log_warn, LOG_WARN)
DEFINE_LOG_WORD(log_debug, LOG_DEBUG)
DEFINE_LOG_WORD(log_error, LOG_ERROR)

void log_fatal(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_formatted(LOG_ERROR, format, arguments);
    va_end(arguments);
    exit(1);
}
