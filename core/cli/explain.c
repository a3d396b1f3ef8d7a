#include "core/cli/explain.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/settings.h"
#include "core/base/memory.h"
#include "core/cli/explain_live.h"
#include "core/plugin/decision.h"
#include "core/topic/topic.h"

static const char usage[] =
    "usage: noctule explain -c FILE --access publish|subscribe|deliver|connect [--topic TOPIC]\n"
    "                       [--username NAME] [--client-id ID] [--password-stdin] [--listener NAME]\n"
    "       noctule explain --live ...\n"
    "\n"
    "Asks the plugins of a configuration, as the broker would, and prints what each one\n"
    "answered, why, and how long it took. Exit code 0: allowed, 1: denied, 2: an error.\n"
    "\n"
    "  -c, --config FILE    noctule.yaml(5)\n"
    "  --access ACCESS      what the client wants to do; all but connect need --topic\n"
    "  --topic TOPIC        topic, or for subscribe the topic filter\n"
    "  --username NAME      who wants it; without, a client without username\n"
    "  --client-id ID       default: explain\n"
    "  --password-stdin     log in first, with the password in one line on standard input;\n"
    "                       without, the client is taken to be logged in under that name\n"
    "  --listener NAME      on which listener; default: the first one\n"
    "  --live               ask a running broker about one of its clients: noctule explain --live --help\n"
    "  -h, --help           this text\n";

enum { ALLOWED = 0, DENIED = 1, FAILED = 2 };

struct query {
    const char *file;
    const char *access;
    uint32_t bit; ///< 0: connect
    const char *topic;
    const char *username;
    const char *client_id;
    const char *listener;
    bool log_in;
    char password[65536];
    size_t password_length;
};

/** One plugin's answer, kept until all are known. */
struct answer_line {
    const char *instance;
    noctule_verdict verdict;
    char *reason;
    uint64_t nanoseconds;
};

struct explanation {
    struct answer_line *lines;
    size_t count;
    size_t capacity;
    bool done;
    noctule_verdict verdict;
    const char *instance;
    char *reason;
};

// ---- The command line ----------------------------------------------------------------------------------

static int complain(const char *what, const char *detail)
{
    fprintf(stderr, "noctule explain: %s%s\n%s", what, detail ? detail : "", usage);
    return FAILED;
}

static bool access_find(struct query *query)
{
    static const struct {
        const char *name;
        uint32_t bit;
    } accesses[] = {{"connect", 0},
                    {"publish", NOCTULE_ACCESS_PUBLISH},
                    {"subscribe", NOCTULE_ACCESS_SUBSCRIBE},
                    {"deliver", NOCTULE_ACCESS_DELIVER}};
    for (size_t i = 0; i < sizeof accesses / sizeof *accesses; i++) {
        if (strcmp(accesses[i].name, query->access) != 0)
            continue;
        query->bit = accesses[i].bit;
        return true;
    }
    return false;
}

// 0: all is well.
static int query_check(struct query *query)
{
    if (!query->file)
        return complain("-c FILE is missing", NULL);
    if (!query->access)
        return complain("--access is missing", NULL);
    if (!access_find(query))
        return complain("there is no access ", query->access);
    if (query->bit && !query->topic)
        return complain("--topic is missing", NULL);
    struct topic_filter parsed;
    if (query->bit == NOCTULE_ACCESS_SUBSCRIBE && !topic_filter_parse(str_of(query->topic), &parsed))
        return complain("no valid topic filter: ", query->topic);
    if (query->bit && query->bit != NOCTULE_ACCESS_SUBSCRIBE && !topic_is_valid(str_of(query->topic)))
        return complain("no valid topic: ", query->topic);
    if (query->log_in && !query->username)
        return complain("--password-stdin needs --username", NULL);
    return 0;
}

// 0: go on; else *code is the exit code.
static bool query_parse(struct query *query, int argc, char **argv, int *code)
{
    enum { ACCESS = 256, TOPIC, USERNAME, CLIENT_ID, LISTENER, PASSWORD };
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"access", required_argument, NULL, ACCESS},
                                            {"topic", required_argument, NULL, TOPIC},
                                            {"username", required_argument, NULL, USERNAME},
                                            {"client-id", required_argument, NULL, CLIENT_ID},
                                            {"listener", required_argument, NULL, LISTENER},
                                            {"password-stdin", no_argument, NULL, PASSWORD},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    int option;
    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        const char **values[] = {&query->access, &query->topic, &query->username, &query->client_id,
                                 &query->listener};
        if (option >= ACCESS && option <= LISTENER) {
            *values[option - ACCESS] = optarg;
        } else if (option == PASSWORD) {
            query->log_in = true;
        } else if (option == 'c') {
            query->file = optarg;
        } else {
            fputs(usage, option == 'h' ? stdout : stderr);
            *code = option == 'h' ? 0 : FAILED;
            return false;
        }
    }
    *code = optind < argc ? complain("unexpected argument ", argv[optind]) : query_check(query);
    return *code == 0;
}

static bool read_password(struct query *query)
{
    if (!fgets(query->password, sizeof query->password, stdin)) {
        fprintf(stderr, "noctule explain: no password on standard input\n");
        return false;
    }
    query->password_length = strcspn(query->password, "\r\n");
    return true;
}

// ---- Asking --------------------------------------------------------------------------------------------

static void note_step(const struct decision_step *step, void *argument)
{
    struct explanation *explanation = argument;
    memory_grow(&explanation->lines, &explanation->capacity, explanation->count, sizeof *explanation->lines);
    explanation->lines[explanation->count++] = (struct answer_line){.instance = step->instance,
                                                                    .verdict = step->verdict,
                                                                    .reason = str_to_c(step->reason),
                                                                    .nanoseconds = step->nanoseconds};
}

static void note_outcome(struct client *client, const struct outcome *outcome, void *argument)
{
    (void)client;
    struct explanation *explanation = argument;
    explanation->done = true;
    explanation->verdict = outcome->verdict;
    explanation->instance = outcome->decided ? outcome->instance : NULL;
    explanation->reason = str_to_c(outcome->reason);
}

static void explanation_clear(struct explanation *explanation)
{
    for (size_t i = 0; i < explanation->count; i++)
        free(explanation->lines[i].reason);
    free(explanation->lines);
    free(explanation->reason);
    *explanation = (struct explanation){0};
}

static struct decision_call call_of(struct explanation *explanation)
{
    return (struct decision_call){
        .done = note_outcome, .argument = explanation, .trace = note_step, .trace_argument = explanation};
}

static void ask_login(struct client *client, const struct query *query, struct explanation *explanation)
{
    struct noctule_login login = {
        .size = sizeof login, .has_username = query->username != NULL, .has_password = query->log_in};
    if (query->username)
        login.username = noctule_string_of(query->username, strlen(query->username));
    if (query->log_in)
        login.password = noctule_string_of(query->password, query->password_length);
    struct decision_call call = call_of(explanation);
    struct outcome outcome;
    if (!decide_login(client, &login, &call, &outcome))
        note_outcome(client, &outcome, explanation);
}

static void ask_access(struct client *client, const struct query *query, struct explanation *explanation)
{
    struct noctule_access access = {.size = sizeof access,
                                    .access = query->bit,
                                    .topic = noctule_string_of(query->topic, strlen(query->topic))};
    struct decision_call call = call_of(explanation);
    struct outcome outcome;
    if (!decide_access(client, &access, &call, &outcome))
        note_outcome(client, &outcome, explanation);
}

// ---- Printing ------------------------------------------------------------------------------------------

static const char *verdict_name(noctule_verdict verdict)
{
    static const char *const names[] = {"next", "allow", "deny", "pending", "continue", "error", "drop"};
    return verdict >= 0 && verdict < (noctule_verdict)(sizeof names / sizeof *names) ? names[verdict] : "?";
}

static void print_line(const struct answer_line *line)
{
    printf("  %-20s %-10s %9.3f ms  %s\n", line->instance, verdict_name(line->verdict),
           (double)line->nanoseconds / 1e6, line->reason);
}

// The chain in its order, with the plugins that have no say in this or were not needed any more.
static void print_chain(const struct settings *settings, const struct listener_settings *listener,
                        const struct explanation *explanation)
{
    for (size_t i = 0; i < listener->chain_count; i++) {
        const char *name = settings->plugins[listener->chain[i]].name;
        size_t k = 0;
        while (k < explanation->count && strcmp(explanation->lines[k].instance, name) != 0)
            k++;
        if (k < explanation->count)
            print_line(&explanation->lines[k]);
        else
            printf("  %-20s %-10s\n", name, "not asked");
    }
    if (listener->chain_count == 0)
        printf("  no plugins on this listener\n");
}

static void print_verdict(const struct explanation *explanation, const char *default_name)
{
    const char *by = explanation->instance;
    if (!by && explanation->verdict == NOCTULE_ALLOW)
        by = default_name;
    printf("verdict: %s%s%s%s%s\n", verdict_name(explanation->verdict), by ? " by " : "", by ? by : "",
           *explanation->reason ? ": " : "", explanation->reason);
}

static int exit_code(const struct explanation *explanation)
{
    return explanation->verdict == NOCTULE_ALLOW ? ALLOWED : DENIED;
}

// ---- One worker, one client ----------------------------------------------------------------------------

static const struct listener_settings *listener_find(const struct settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->listener_count; i++)
        if (!name || strcmp(settings->listeners[i].name, name) == 0)
            return &settings->listeners[i];
    fprintf(stderr, "noctule explain: there is no listener \"%s\"\n", name);
    return NULL;
}

typedef void ask_fn(struct client *client, const struct query *query, struct explanation *explanation);

static int run(struct worker *worker, struct client *client, const struct query *query,
               const struct settings *settings, const struct listener_settings *listener, ask_fn *ask,
               const char *default_name)
{
    struct explanation explanation = {0};
    ask(client, query, &explanation);
    while (!explanation.done)
        worker_turn(worker, true);
    print_chain(settings, listener, &explanation);
    print_verdict(&explanation, default_name);
    int code = exit_code(&explanation);
    explanation_clear(&explanation);
    return code;
}

static int ask_all(struct worker *worker, const struct query *query, const struct settings *settings,
                   const struct listener_settings *listener)
{
    struct client_identity identity = {.protocol_version = 5,
                                       .clean_start = true,
                                       .client_id = str_of(query->client_id),
                                       .username = str_of(query->username),
                                       .address = STR("explain"),
                                       .listener = str_of(listener->name)};
    struct client *client = client_new(worker, &identity);
    const char *username = query->username ? query->username : "(none)";
    int code = ALLOWED;
    if (query->log_in || !query->bit) {
        printf("connect: username %s, client id %s, listener %s\n", username, query->client_id,
               listener->name);
        code = run(worker, client, query, settings, listener, ask_login, "allow_anonymous");
    }
    if (query->bit && code == ALLOWED) {
        struct noctule_client_info info = client_info(client);
        printf("%s %s: username %.*s, client id %.*s, listener %s\n", query->access, query->topic,
               info.username.data ? (int)info.username.length : 6,
               info.username.data ? info.username.data : "(none)", (int)info.client_id.length,
               info.client_id.data, listener->name);
        if (!query->log_in)
            printf("  (taken to be logged in; what a login would grant is not known without its password)\n");
        const char *default_name =
            query->bit == NOCTULE_ACCESS_DELIVER ? "its subscription" : "default_access";
        code = run(worker, client, query, settings, listener, ask_access, default_name);
    }
    client_gone(client);
    client_unref(client);
    return code;
}

static void disconnect(struct client *client, uint8_t reason_code, struct str reason, const char *instance)
{
    (void)client;
    (void)reason_code;
    printf("  %s would disconnect it: %.*s\n", instance, STR_ARG(reason));
}

static void recheck(struct client *client)
{
    (void)client; // it has no subscriptions
}

static void publish(struct worker *worker, struct message *message)
{
    (void)worker;
    message_unref(message);
}

static const struct plugin_upcalls upcalls = {
    .disconnect = disconnect, .recheck = recheck, .publish = publish};

static int explain(const struct query *query, const struct settings *settings,
                   struct diagnostics *diagnostics)
{
    const struct listener_settings *listener = listener_find(settings, query->listener);
    if (!listener)
        return FAILED;
    log_configure(LOG_WARN, settings->log_format);
    struct plugin_host *host = plugin_host_new(&upcalls);
    struct generation *generation = generation_build(host, settings, diagnostics);
    int code = FAILED;
    if (generation) {
        struct worker *worker = workers_new(1);
        plugin_host_start(host, worker, settings->helper_threads);
        worker_turn(worker, false); // from here on this thread is the worker's
        plugin_worker_switch(worker, generation);
        code = ask_all(worker, query, settings, listener);
        plugin_worker_down(worker);
        plugin_host_stop(host);
        workers_free(worker);
        generation_unref(generation);
    }
    plugin_host_retire(host);
    plugin_host_free(host);
    return code;
}

int cli_explain(int argc, char **argv)
{
    static struct query query; // large, and wiped at the end
    int code;
    if (explain_is_live(argc, argv))
        return cli_explain_live(argc, argv);
    query.client_id = "explain";
    if (!query_parse(&query, argc, argv, &code))
        return code;
    if (query.log_in && !read_password(&query))
        return FAILED;
    struct diagnostics diagnostics = DIAGNOSTICS_EMPTY;
    struct settings *settings = settings_load(query.file, &diagnostics);
    code = settings ? explain(&query, settings, &diagnostics) : FAILED;
    for (size_t i = 0; i < diagnostics.count; i++)
        if (!diagnostics.items[i].warning)
            fprintf(stderr, "%s\n", diagnostics.items[i].text);
    diagnostics_clear(&diagnostics);
    settings_free(settings);
    explicit_bzero(query.password, sizeof query.password);
    return code;
}
