#include "core/cli/control_client.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "config/settings.h"
#include "config/tree.h"
#include "core/base/escape.h"
#include "core/base/memory.h"

#define DEFAULT_SOCKET "/run/noctule/control.sock"

enum { ARGUMENTS_MAX = 12, READ_SIZE = 64 * 1024, LINE_LONGEST = 64 * 1024 * 1024 };

static int complain(const struct control_options *options, const char *what, const char *detail)
{
    fprintf(stderr, "noctule %s: %s%s\n%s", options->command, what, detail, options->usage);
    return CONTROL_FAILED;
}

/* ---- the command line ---- */

// "90", "90s", "5m", "2h": seconds; 0: wrong.
static json_int_t seconds_of(const char *text)
{
    char *end;
    unsigned long long number = strtoull(text, &end, 10);
    static const struct {
        const char *unit;
        unsigned seconds;
    } units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (end != text && *text != '-' && strcmp(end, units[i].unit) == 0 && number <= 86400)
            return (json_int_t)(number * units[i].seconds);
    return 0;
}

static bool take(const struct control_options *options, const struct control_argument *argument,
                 json_t *request, const char *text)
{
    json_int_t seconds = argument->type == ARGUMENT_DURATION ? seconds_of(text) : 0;
    json_t *value = NULL;
    if (argument->type == ARGUMENT_FLAG)
        value = json_true();
    else if (argument->type == ARGUMENT_TEXT)
        value = json_string(text);
    else if (seconds > 0)
        value = json_integer(seconds);
    if (value && json_object_set_new(request, argument->key, value) == 0)
        return true;
    complain(options, "a wrong value of --", argument->option);
    return false;
}

// The table of getopt: the command's own options, by their index, and the common ones.
static void options_of(const struct control_argument *arguments, struct option *out)
{
    static const struct option common[] = {{"socket", required_argument, NULL, 's'},
                                           {"config", required_argument, NULL, 'c'},
                                           {"json", no_argument, NULL, 'j'},
                                           {"help", no_argument, NULL, 'h'},
                                           {0}};
    size_t count = 0;
    for (int i = 0; arguments[i].option; i++) {
        int needs = arguments[i].type == ARGUMENT_FLAG ? no_argument : required_argument;
        out[count++] = (struct option){arguments[i].option, needs, NULL, 256 + i};
    }
    memcpy(out + count, common, sizeof common);
}

bool control_parse(struct control_options *options, const struct control_argument *arguments, int argc,
                   char **argv, json_t *request, const char **rest, int *code)
{
    struct option table[ARGUMENTS_MAX + 5];
    int option;
    options_of(arguments, table);
    *code = CONTROL_FAILED;
    while ((option = getopt_long(argc, argv, "s:c:h", table, NULL)) != -1) {
        if (option == 's') {
            options->socket = optarg;
        } else if (option == 'c') {
            options->config = optarg;
        } else if (option == 'j') {
            options->json = true;
        } else if (option >= 256) {
            if (!take(options, &arguments[option - 256], request, optarg))
                return false;
        } else {
            fputs(options->usage, option == 'h' ? stdout : stderr);
            *code = option == 'h' ? CONTROL_DONE : CONTROL_FAILED;
            return false;
        }
    }
    if (rest && optind < argc)
        *rest = argv[optind++];
    if (optind < argc)
        *code = complain(options, "unexpected argument ", argv[optind]);
    return optind >= argc;
}

/* ---- the socket ---- */

static char *path_from_config(const struct control_options *options)
{
    struct diagnostics diagnostics = DIAGNOSTICS_EMPTY;
    struct settings *settings = settings_load(options->config, &diagnostics);
    char *path = settings && settings->control ? str_to_c(str_of(settings->control)) : NULL;
    for (size_t i = 0; i < diagnostics.count; i++)
        if (!diagnostics.items[i].warning)
            fprintf(stderr, "%s\n", diagnostics.items[i].text);
    if (settings && !path)
        fprintf(stderr, "noctule %s: %s has no control socket (`control: unix:PATH`)\n", options->command,
                options->config);
    diagnostics_clear(&diagnostics);
    settings_free(settings);
    return path;
}

static int connect_to(const struct control_options *options, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = -1;
    errno = ENAMETOOLONG;
    if (strlen(path) < sizeof address.sun_path) {
        memcpy(address.sun_path, path, strlen(path));
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    }
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    fprintf(stderr, "noctule %s: no broker answers at %s: %s\n", options->command, path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool send_all(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return false;
        data += sent;
        length -= (size_t)sent;
    }
    return true;
}

/** What has come and was not taken yet. */
struct reader {
    int fd;
    char *data;
    size_t begin;
    size_t end;
    size_t capacity;
};

// The next line, without its end; NULL when there is none any more.
static char *next_line(struct reader *reader)
{
    size_t searched = reader->begin;
    for (;;) {
        char *newline =
            searched < reader->end ? memchr(reader->data + searched, '\n', reader->end - searched) : NULL;
        if (newline) {
            char *line = reader->data + reader->begin;
            *newline = '\0';
            reader->begin = (size_t)(newline + 1 - reader->data);
            return line;
        }
        memmove(reader->data, reader->data + reader->begin, reader->end - reader->begin);
        reader->end -= reader->begin;
        reader->begin = 0;
        searched = reader->end;
        if (reader->end > LINE_LONGEST)
            return NULL;
        if (reader->capacity - reader->end < READ_SIZE) {
            reader->capacity = reader->capacity * 2 + READ_SIZE;
            reader->data = memory_resize(reader->data, reader->capacity);
        }
        ssize_t got = read(reader->fd, reader->data + reader->end, READ_SIZE);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return NULL;
        reader->end += (size_t)got;
    }
}

static json_t *read_answer(const struct control_options *options, int fd, control_row_fn *row, void *argument)
{
    struct reader reader = {.fd = fd, .data = memory_alloc(READ_SIZE), .capacity = READ_SIZE};
    json_t *last = NULL;
    char *line;
    while (!last && (line = next_line(&reader))) {
        json_t *object = json_loads(line, 0, NULL);
        if (options->json) {
            puts(line);
            fflush(stdout);
        }
        if (json_object_get(object, "ok"))
            last = json_incref(object);
        else if (!options->json && row && object)
            row(object, argument);
        json_decref(object);
    }
    free(reader.data);
    if (!last)
        fprintf(stderr, "noctule %s: the broker broke off its answer\n", options->command);
    return last;
}

json_t *control_ask(const struct control_options *options, json_t *request, control_row_fn *row,
                    void *argument)
{
    char *configured = options->config && !options->socket ? path_from_config(options) : NULL;
    const char *path = options->socket ? options->socket : options->config ? configured : DEFAULT_SOCKET;
    json_object_set_new(request, "noctule", json_integer(1));
    json_object_set_new(request, "command", json_string(options->command));
    char *text = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    int fd = path && text ? connect_to(options, path) : -1;
    json_t *last = NULL;
    // A broker that refuses before it has read says so: what it said is there to be read.
    if (fd >= 0) {
        (void)(send_all(fd, text, strlen(text)) && send_all(fd, "\n", 1));
        last = read_answer(options, fd, row, argument);
        close(fd);
    }
    free(text);
    free(configured);
    return last;
}

int control_exit_code(const struct control_options *options, json_t *last)
{
    if (!last)
        return CONTROL_FAILED;
    bool ok = json_is_true(json_object_get(last, "ok"));
    const char *error = text_of(last, "error");
    if (!ok && *error && !options->json) {
        char *shown = escape_new(str_of(error), 1000, false);
        fprintf(stderr, "noctule %s: %s\n", options->command, shown);
        free(shown);
    }
    json_decref(last);
    return ok ? CONTROL_DONE : CONTROL_REFUSED;
}

/* ---- printing ---- */

void print_text(const char *text, size_t most)
{
    char *shown = escape_new(str_of(text), most, false);
    fputs(shown, stdout);
    free(shown);
}

const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

long long number_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}
