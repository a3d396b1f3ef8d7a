// Log lines: one event, one line, as text for people or JSON for machines.
// Any thread; a line is written with one write(2), so lines never mix.
// Knows nothing of what happened: callers name the event and its fields.
#ifndef NOCTULE_BASE_LOG_H
#define NOCTULE_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/str.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

/** A named value of an event. Text fields with a NULL `text.data` are left out. */
struct log_field {
    const char *name;
    struct str text;
    uint64_t number;
    bool is_number;
};

#define LOG_STR(field_name, value)   ((struct log_field){.name = (field_name), .text = (value)})
#define LOG_TEXTF(field_name, value) ((struct log_field){.name = (field_name), .text = str_of(value)})
#define LOG_NUM(field_name, value)                                                                           \
    ((struct log_field){.name = (field_name), .number = (uint64_t)(value), .is_number = true})

/**
 * Sets what is written and how; called at start and on reload. Lines go to standard error. Where that is
 * systemd's journal (JOURNAL_STREAM names it), each begins with its priority as sd-daemon(3) has it, and text
 * lines leave time and level to the journal.
 */
void log_configure(enum log_level level, enum log_format format);

/** At most so many lines of one event in a second, except at level debug; 0: any number. The rest is counted.
 */
void log_limit(uint64_t lines_per_second);

/** Writes how many lines of each event were held back in seconds that are over, or `all` of them, and how
 * many were lost. Called now and then, and at the end. */
void log_tell_held_back(bool all);

/** Whether a line of this level would be written; ask before preparing costly fields. */
bool log_enabled(enum log_level level);

/**
 * Writes one line. `event` is its stable name (a word), `message` what a person reads. What is not printable
 * UTF-8 is escaped, so that no client can forge a line or steer a terminal. Values are cut at 512 bytes,
 * messages at 1024; text beyond 8 KiB is cut, fields that would make a JSON line longer are left out. A line
 * that standard error does not take at once, a pipe that nobody reads or a full disk, is lost and counted.
 */
void log_write(enum log_level level, const char *event, const char *message, const struct log_field *fields,
               size_t count);

/** log_event(LOG_INFO, "connected", "client connected", LOG_STR("client", id), ...). */
#define log_event(level, event, message, ...)                                                                \
    do {                                                                                                     \
        if (log_enabled(level)) {                                                                            \
            const struct log_field log_fields_[] = {{0}, ##__VA_ARGS__};                                     \
            log_write((level), (event), (message), log_fields_ + 1,                                          \
                      sizeof log_fields_ / sizeof *log_fields_ - 1);                                         \
        }                                                                                                    \
    } while (0)

/** The four words of the house; `format` as printf. */
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** Writes an error line and exits with code 1. Start-up only. */
void log_fatal(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
