#include "core/cli/explain_live.h"

#include <stdio.h>
#include <string.h>

#include "core/cli/control_client.h"

static const char usage[] =
    "usage: noctule explain --live --client-id ID --access publish|subscribe|deliver|will --topic TOPIC\n"
    "\n"
    "Asks the plugins of a running broker about a client that is connected there, under the names and\n"
    "with the rules that its login gave it, and prints what each one answered, from where (hook,\n"
    "grants, cache), why, and how long it took. Exit code 0: allowed, 1: denied, 2: an error.\n"
    "\n"
    "  --client-id ID       which client\n"
    "  --access ACCESS      what it wants to do\n"
    "  --topic TOPIC        topic, or for subscribe the topic filter\n" CONTROL_USAGE;

enum { TEXT_MAX = 200 };

bool explain_is_live(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--live") == 0)
            return true;
    return false;
}

static void print_step(json_t *line, void *argument)
{
    (void)argument;
    const json_t *row = json_object_get(line, "row");
    printf("  ");
    print_text(text_of(row, "plugin"), TEXT_MAX);
    printf(": %s from %s, %.3f ms", text_of(row, "verdict"), text_of(row, "from"),
           json_real_value(json_object_get(row, "microseconds")) / 1000);
    if (*text_of(row, "rule")) {
        printf("  ");
        print_text(text_of(row, "rule"), TEXT_MAX);
    }
    puts("");
}

static void print_outcome(const json_t *last)
{
    printf("client ");
    print_text(text_of(last, "client_id"), TEXT_MAX);
    printf(", username ");
    print_text(json_object_get(last, "username") ? text_of(last, "username") : "(none)", TEXT_MAX);
    printf(", listener ");
    print_text(text_of(last, "listener"), TEXT_MAX);
    printf(": %lld grants, %lld kept verdicts\n", number_of(last, "grants"),
           number_of(last, "cached_verdicts"));
    printf("verdict: %s", text_of(last, "verdict"));
    if (*text_of(last, "plugin")) {
        printf(" by ");
        print_text(text_of(last, "plugin"), TEXT_MAX);
    }
    if (*text_of(last, "rule")) {
        printf(": ");
        print_text(text_of(last, "rule"), TEXT_MAX);
    }
    puts("");
}

int cli_explain_live(int argc, char **argv)
{
    static const struct control_argument arguments[] = {{"live", "live", ARGUMENT_FLAG},
                                                        {"client-id", "client_id", ARGUMENT_TEXT},
                                                        {"access", "access", ARGUMENT_TEXT},
                                                        {"topic", "topic", ARGUMENT_TEXT},
                                                        {0}};
    struct control_options options = {.command = "explain", .usage = usage};
    json_t *request = json_object();
    int code;
    if (!control_parse(&options, arguments, argc, argv, request, NULL, &code)) {
        json_decref(request);
        return code;
    }
    json_object_del(request, "live");
    json_t *last = control_ask(&options, request, print_step, NULL);
    if (!last)
        return CONTROL_FAILED;
    bool answered = json_object_get(last, "verdict") != NULL;
    bool allowed = strcmp(text_of(last, "verdict"), "allow") == 0;
    if (answered && !options.json)
        print_outcome(last);
    // Denied is an answer; that there is none is an error.
    control_exit_code(&options, last);
    return !answered ? CONTROL_FAILED : allowed ? CONTROL_DONE : CONTROL_REFUSED;
}
