#include "core/cli/operate.h"

#include <stdio.h>

#include "core/cli/control_client.h"

static const char revoke_usage[] =
    "usage: noctule revoke [--username NAME] [--client-id ID] [--disconnect]\n"
    "\n"
    "What a user or a client was granted does not hold any more: plugins drop what they keep\n"
    "about it, its connected clients lose the rules of their login and kept verdicts, and their\n"
    "subscriptions are checked again. With both names, a client must have both. Exit code 0:\n"
    "done, 1: refused, 2: an error.\n"
    "\n"
    "  --username NAME      of this user\n"
    "  --client-id ID       of this client\n"
    "  --disconnect         end its connections as well\n" CONTROL_USAGE;

static const char kick_usage[] =
    "usage: noctule kick [--client-id ID] [--username NAME] [--address ADDRESS] [--listener NAME]\n"
    "\n"
    "Disconnects the clients that have all the names given, with reason code 0x98. They may come\n"
    "back; noctule revoke is for those that may not. Exit code 0: done, 1: there was none, 2: an\n"
    "error.\n"
    "\n"
    "  --client-id ID       this client\n"
    "  --username NAME      all of this user\n"
    "  --address ADDRESS    all from there, with or without port\n"
    "  --listener NAME      all of this listener\n" CONTROL_USAGE;

static const char reload_usage[] =
    "usage: noctule reload\n"
    "\n"
    "Has the broker read its configuration again, as SIGHUP does, and tells what changed, or what\n"
    "is wrong, in which case everything stays as it was. Exit code 0: in force, 1: refused, 2: an\n"
    "error.\n"
    "\n" CONTROL_USAGE;

static const struct control_argument revoke_arguments[] = {{"username", "username", ARGUMENT_TEXT},
                                                           {"client-id", "client_id", ARGUMENT_TEXT},
                                                           {"disconnect", "disconnect", ARGUMENT_FLAG},
                                                           {0}};
static const struct control_argument kick_arguments[] = {{"client-id", "client_id", ARGUMENT_TEXT},
                                                         {"username", "username", ARGUMENT_TEXT},
                                                         {"address", "address", ARGUMENT_TEXT},
                                                         {"listener", "listener", ARGUMENT_TEXT},
                                                         {0}};
static const struct control_argument no_arguments[] = {{0}};

static bool names_somebody(const struct control_options *options, json_t *request)
{
    const char *const names[] = {"client_id", "username", "address", "listener"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (json_object_get(request, names[i]))
            return true;
    fprintf(stderr, "noctule %s: whom?\n%s", options->command, options->usage);
    json_decref(request);
    return false;
}

static void print_count(const char *done, long long clients)
{
    printf("%s: %lld client%s\n", done, clients, clients == 1 ? "" : "s");
}

int cli_revoke(int argc, char **argv)
{
    struct control_options options = {.command = "revoke", .usage = revoke_usage};
    json_t *request = json_object();
    int code;
    if (!control_parse(&options, revoke_arguments, argc, argv, request, NULL, &code)) {
        json_decref(request);
        return code;
    }
    if (!names_somebody(&options, request))
        return CONTROL_FAILED;
    json_t *last = control_ask(&options, request, NULL, NULL);
    if (json_is_true(json_object_get(last, "ok")) && !options.json)
        print_count("revoked", number_of(last, "clients"));
    return control_exit_code(&options, last);
}

int cli_kick(int argc, char **argv)
{
    struct control_options options = {.command = "kick", .usage = kick_usage};
    json_t *request = json_object();
    int code;
    if (!control_parse(&options, kick_arguments, argc, argv, request, NULL, &code)) {
        json_decref(request);
        return code;
    }
    if (!names_somebody(&options, request))
        return CONTROL_FAILED;
    json_t *last = control_ask(&options, request, NULL, NULL);
    bool none = json_is_true(json_object_get(last, "ok")) && number_of(last, "clients") == 0;
    if (json_is_true(json_object_get(last, "ok")) && !options.json)
        print_count("disconnected", number_of(last, "clients"));
    code = control_exit_code(&options, last);
    return none ? CONTROL_REFUSED : code;
}

static void print_report(const json_t *last)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(last, "problems"), i, item)
    {
        print_text(text_of(item, "text"), 1000);
        puts(*text_of(item, "level") == 'w' ? " (warning)" : "");
    }
    json_t *changes = json_object_get(last, "changes");
    json_array_foreach(changes, i, item)
    {
        print_text(json_string_value(item), 1000);
        puts("");
    }
    if (json_is_true(json_object_get(last, "ok")))
        puts(json_array_size(changes) ? "reloaded" : "reloaded; noctule.yaml says what it said before");
}

int cli_reload(int argc, char **argv)
{
    struct control_options options = {.command = "reload", .usage = reload_usage};
    json_t *request = json_object();
    int code;
    if (!control_parse(&options, no_arguments, argc, argv, request, NULL, &code)) {
        json_decref(request);
        return code;
    }
    json_t *last = control_ask(&options, request, NULL, NULL);
    if (last && !options.json)
        print_report(last);
    return control_exit_code(&options, last);
}
