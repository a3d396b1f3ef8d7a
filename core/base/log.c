#include "core/base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"

enum { LINE_MAX_BYTES = 8192, VALUE_MAX_BYTES = 512 };

static _Atomic int current_level = LOG_INFO;
static _Atomic int current_format = LOG_TEXT;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

struct line {
    char data[LINE_MAX_BYTES];
    size_t length;
};

void log_configure(enum log_level level, enum log_format format)
{
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

// Everything that could end a line, a string or steer a terminal leaves as \u00XX (valid in JSON, readable in
// text).
static void put_escaped(struct line *line, struct str value)
{
    static const char hex[] = "0123456789abcdef";
    bool utf8 = str_is_utf8(value);
    size_t shown = value.length > VALUE_MAX_BYTES ? VALUE_MAX_BYTES : value.length;
    while (utf8 && shown < value.length && shown > 0 && ((uint8_t)value.data[shown] & 0xC0) == 0x80)
        shown--;
    for (size_t i = 0; i < shown; i++) {
        uint8_t byte = (uint8_t)value.data[i];
        if (byte == '"' || byte == '\\') {
            put_bytes(line, (char[]){'\\', (char)byte}, 2);
        } else if (byte < 0x20 || byte == 0x7F || (byte >= 0x80 && !utf8)) {
            put_bytes(line, (char[]){'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]}, 6);
        } else if (byte == 0xC2 && i + 1 < shown && (uint8_t)value.data[i + 1] < 0xA0) {
            uint8_t control = (uint8_t)value.data[++i]; // U+0080..U+009F, the C1 controls
            put_bytes(line, (char[]){'\\', 'u', '0', '0', hex[control >> 4], hex[control & 15]}, 6);
        } else {
            put_bytes(line, (const char *)&value.data[i], 1);
        }
    }
    if (shown < value.length)
        put_text(line, "...");
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
    for (size_t i = 0; i < value.length; i++)
        if (value.data[i] <= ' ' || value.data[i] == '"' || value.data[i] == '=')
            return true;
    return value.length == 0;
}

static void put_message(struct line *line, const char *message, bool json)
{
    struct str rest = str_of(message);
    if (json) {
        put_escaped(line, rest);
        return;
    }
    // A message is the program's own text with values printed into it: newlines and controls are escaped,
    // quotes stay.
    for (size_t i = 0; i < rest.length; i++) {
        if ((uint8_t)rest.data[i] < 0x20 || rest.data[i] == 0x7F)
            put_escaped(line, str_make(rest.data + i, 1));
        else
            put_bytes(line, rest.data + i, 1);
    }
}

static void compose_text(struct line *line, enum log_level level, const char *message,
                         const struct log_field *fields, size_t count)
{
    put_time(line);
    put_text(line, " ");
    put_text(line, level_names[level]);
    put_text(line, " ");
    put_message(line, message, false);
    for (size_t i = 0; i < count; i++) {
        if (!fields[i].is_number && !fields[i].text.data)
            continue;
        put_text(line, " ");
        put_text(line, fields[i].name);
        put_text(line, "=");
        if (fields[i].is_number) {
            put_number(line, fields[i].number);
        } else if (needs_quotes(fields[i].text)) {
            put_text(line, "\"");
            put_escaped(line, fields[i].text);
            put_text(line, "\"");
        } else {
            put_escaped(line, fields[i].text);
        }
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
    put_message(line, message, true);
    put_text(line, "\"");
    for (size_t i = 0; i < count; i++) {
        // A whole field or none: a line cut short would not be JSON.
        size_t worst = strlen(fields[i].name) + 8 + (fields[i].is_number ? 20 : 6 * VALUE_MAX_BYTES);
        if ((!fields[i].is_number && !fields[i].text.data) || line->length + worst > LINE_MAX_BYTES - 8)
            continue;
        put_text(line, ",\"");
        put_text(line, fields[i].name);
        put_text(line, "\":");
        if (fields[i].is_number) {
            put_number(line, fields[i].number);
        } else {
            put_text(line, "\"");
            put_escaped(line, fields[i].text);
            put_text(line, "\"");
        }
    }
    put_text(line, "}");
}

void log_write(enum log_level level, const char *event, const char *message, const struct log_field *fields,
               size_t count)
{
    struct line line;
    line.length = 0;
    if (atomic_load_explicit(&current_format, memory_order_relaxed) == LOG_JSON)
        compose_json(&line, level, event, message, fields, count);
    else
        compose_text(&line, level, message, fields, count);
    line.data[line.length++] = '\n';
    size_t sent = 0;
    while (sent < line.length) {
        ssize_t n = write(STDERR_FILENO, line.data + sent, line.length - sent);
        if (n < 0 && errno != EINTR)
            return; // a full disk under the log must not hurt the broker
        if (n > 0)
            sent += (size_t)n;
    }
}

static void write_formatted(enum log_level level, const char *format, va_list arguments)
{
    if (!log_enabled(level))
        return;
    char message[2048];
    vsnprintf(message, sizeof message, format, arguments);
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
