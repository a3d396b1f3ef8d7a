#include "core/cli/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cli/control_client.h"

static const char usage[] =
    "usage: noctule trace [--client-id ID] [--username NAME] [--address ADDRESS] [--for DURATION]\n"
    "                     [--payload]\n"
    "\n"
    "Shows what happens to the clients that have all the names given, as it happens: packets, the\n"
    "decisions of plugins with rule, time and origin, queue and unacknowledged messages, and why a\n"
    "connection ends. When more happens than can be shown, it says how much was left out. Ends with\n"
    "Ctrl-C. Exit code 0: done, 1: refused, 2: an error.\n"
    "\n"
    "  --client-id ID       this client\n"
    "  --username NAME      all of this user\n"
    "  --address ADDRESS    all from there, with or without port\n"
    "  --for DURATION       end by itself, after 90s, 5m or 2h\n"
    "  --payload            show what messages contain as well\n" CONTROL_USAGE;

enum { TEXT_MAX = 500 };

// What stands before the rest, in this order.
static const char *const first[] = {"time", "client_id", "event", "packet"};

static bool is_first(const char *name)
{
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        if (strcmp(first[i], name) == 0)
            return true;
    return false;
}

static void print_member(const char *name, const json_t *value)
{
    if (is_first(name) || strcmp(name, "connection") == 0 || strcmp(name, "username") == 0)
        return;
    printf(" %s=", name);
    char *text = json_is_string(value)
                     ? NULL
                     : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
    bool quoted = json_is_string(value) && strpbrk(json_string_value(value), " =\"");
    if (quoted)
        putchar('"');
    print_text(text ? text : json_string_value(value), TEXT_MAX);
    if (quoted)
        putchar('"');
    free(text);
}

static void print_event(json_t *line, void *argument)
{
    (void)argument;
    const json_t *row = json_object_get(line, "row");
    const char *space = "";
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) {
        const char *text = text_of(row, first[i]);
        if (!*text)
            continue;
        fputs(space, stdout);
        print_text(text, 40);
        space = " ";
    }
    putchar(':');
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)row, name, value) print_member(name, value);
    puts("");
    fflush(stdout);
}

int cli_trace(int argc, char **argv)
{
    static const struct control_argument arguments[] = {
        {"client-id", "client_id", ARGUMENT_TEXT}, {"username", "username", ARGUMENT_TEXT},
        {"address", "address", ARGUMENT_TEXT},     {"for", "seconds", ARGUMENT_DURATION},
        {"payload", "payload", ARGUMENT_FLAG},     {0}};
    struct control_options options = {.command = "trace", .usage = usage};
    json_t *request = json_object();
    int code;
    if (!control_parse(&options, arguments, argc, argv, request, NULL, &code)) {
        json_decref(request);
        return code;
    }
    if (!json_object_get(request, "client_id") && !json_object_get(request, "username") &&
        !json_object_get(request, "address")) {
        fprintf(stderr, "noctule trace: whom?\n%s", usage);
        json_decref(request);
        return CONTROL_FAILED;
    }
    return control_exit_code(&options, control_ask(&options, request, print_event, NULL));
}
