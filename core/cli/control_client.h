// The other end of the control socket: what every command that talks to a running broker shares.
// Main thread.
// Must not know what single commands ask for.
#ifndef NOCTULE_CLI_CONTROL_CLIENT_H
#define NOCTULE_CLI_CONTROL_CLIENT_H

#include <jansson.h>
#include <stdbool.h>

/** Exit codes of commands that talk to a broker. */
enum { CONTROL_DONE = 0, CONTROL_REFUSED = 1, CONTROL_FAILED = 2 };

#define CONTROL_USAGE                                                                                        \
    "  -s, --socket PATH    the broker's control socket; default: /run/noctule/control.sock\n"               \
    "  -c, --config FILE    find it in this noctule.yaml(5)\n"                                               \
    "      --json           print what the broker says, one JSON object a line\n"                            \
    "  -h, --help           this text\n"

/** How the broker is found, and how answers are printed. */
struct control_options {
    const char *command; ///< for messages
    const char *usage;
    const char *socket;
    const char *config;
    bool json;
};

/** An option of a command that becomes a member of its request. */
struct control_argument {
    const char *option; ///< "client-id"; a table ends with NULL
    const char *key;    ///< "client_id"
    enum { ARGUMENT_TEXT, ARGUMENT_FLAG, ARGUMENT_DURATION } type;
};

/**
 * Reads the command line: the common options, and those of `arguments` into `request`. True: go on; false:
 * `*code` is the exit code.
 * `*rest` (may be NULL) takes one argument that is no option.
 */
bool control_parse(struct control_options *options, const struct control_argument *arguments, int argc,
                   char **argv, json_t *request, const char **rest, int *code);

/** Called for each line before the last one. */
typedef void control_row_fn(json_t *line, void *argument);

/**
 * Sends `request` (its version and command are added; the reference is taken) and reads the answer: with
 * --json, every line is printed as it came; else `row` (may be NULL) is called. Returns the last line, or
 * NULL when the broker cannot be reached or breaks off, which has been told. The caller gives it back.
 */
json_t *control_ask(const struct control_options *options, json_t *request, control_row_fn *row,
                    void *argument);

/** The exit code of a last line, after telling why it is none of success. Gives `last` back. */
int control_exit_code(const struct control_options *options, json_t *last);

/** Prints text of strangers so that it steers no terminal, cut at `most` bytes. */
void print_text(const char *text, size_t most);

/** The text of a member; "" when there is none. */
const char *text_of(const json_t *object, const char *key);
long long number_of(const json_t *object, const char *key);

#endif
