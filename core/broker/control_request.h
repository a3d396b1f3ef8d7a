// A command as it comes over the control socket: one line of JSON, read strictly.
// Any thread.
// Must not know what commands do.
#ifndef NOCTULE_BROKER_CONTROL_REQUEST_H
#define NOCTULE_BROKER_CONTROL_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/str.h"

enum {
    CONTROL_VERSION = 1,            ///< of the protocol: "noctule" in every request
    CONTROL_LINE_MAX = 1024 * 1024, ///< bytes: two names of 64 KiB, every byte of them escaped
    CONTROL_ERROR_MAX = 160,
};

/** What was asked for. Strings belong to the request; `data == NULL`: not given. */
struct control_request {
    json_t *tree;
    struct str command;
    struct str client_id;
    struct str username;
    struct str address;
    struct str listener;
    struct str state;
    struct str access;
    struct str topic;
    bool disconnect;
    bool payload;
    uint32_t seconds; ///< 0: not given
};

/**
 * Reads a line (without its end). False with a sentence in `error`: no object, an unknown key, a wrong type,
 * another version of the protocol, or no command; `request` is empty then.
 */
bool control_request_parse(struct str line, struct control_request *request, char error[CONTROL_ERROR_MAX]);
void control_request_clear(struct control_request *request);

/** Whether `text` is like `pattern`, in which each '*' stands for any run of bytes. Takes no longer than the
 * product of their lengths. */
bool control_matches(struct str pattern, struct str text);

#endif
