#include "core/cli/passwd.h"

#include "plugins/file-auth/password_edit.h"

#include <getopt.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    OPTION_STDIN = 256,
    OPTION_HASH,
    PROMPTED_MAX = 1024,
    PASSWORD_MAX = 65535, // as a CONNECT packet can carry
};

static const char USAGE[] = "Usage: noctule passwd [-c] [--stdin] [--hash ALGORITHM] FILE USER\n"
                            "       noctule passwd -b [-c] [--hash ALGORITHM] FILE USER PASSWORD\n"
                            "       noctule passwd -D FILE USER\n"
                            "       noctule passwd -U [--hash ALGORITHM] FILE\n";

static const char HELP[] =
    "Adds a user to a password file, or changes the password; asks for it twice.\n"
    "\n"
    "  -b                take the password from the command line (others on this machine may see it)\n"
    "  -c                create FILE; a file that exists is emptied first\n"
    "  -D                delete USER\n"
    "  -U                hash the entries that are plain text, leave the others as they are\n"
    "  --hash ALGORITHM  argon2id (the default) or pbkdf2-sha512\n"
    "  --stdin           read the password from standard input, one line\n"
    "  -h, --help        show this\n"
    "\n"
    "FILE is replaced in one step, keeps its owner, and has mode 0600 afterwards. Mosquitto reads\n"
    "pbkdf2-sha512 from 2.0 on, and argon2id from 2.1 on where it is built with argon2.\n";

/** The command line, understood. */
struct request {
    enum { REQUEST_SET, REQUEST_DELETE, REQUEST_HASH_PLAIN } kind;
    bool help;
    bool create;
    bool batch;
    bool from_stdin;
    bool algorithm_given;
    enum password_algorithm algorithm;
    const char *file;
    const char *user;
    const char *password; ///< of the command line
};

/** A password on its way to be hashed. Wiped before it goes out of scope. */
struct secret {
    char text[PASSWORD_MAX + 1];
    size_t length;
};

static int usage_error(const char *what, const char *argument)
{
    fprintf(stderr, "noctule passwd: %s%s%s\n%s", what, argument ? " " : "", argument ? argument : "", USAGE);
    return EXIT_USAGE;
}

static bool algorithm_choose(const char *name, enum password_algorithm *algorithm)
{
    static const char *const names[] = {
        [PASSWORD_ARGON2ID] = "argon2id",
        [PASSWORD_PBKDF2_SHA512] = "pbkdf2-sha512",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0) {
            *algorithm = (enum password_algorithm)i;
            return true;
        }
    }
    return false;
}

/** Reads the options; leaves `optind` at the operands. 0, or the exit code. */
static int options_read(struct request *request, int argc, char **argv)
{
    static const struct option options[] = {
        {"hash", required_argument, NULL, OPTION_HASH},
        {"help", no_argument, NULL, 'h'},
        {"stdin", no_argument, NULL, OPTION_STDIN},
        {NULL, 0, NULL, 0},
    };
    int option;
    optind = 0; // the program has read its own options before
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":bcDUh", options, NULL)) != -1) {
        switch (option) {
        case 'b':
            request->batch = true;
            break;
        case 'c':
            request->create = true;
            break;
        case 'D':
        case 'U':
            if (request->kind != REQUEST_SET) {
                return usage_error("-D and -U do not go together, nor twice", NULL);
            }
            request->kind = option == 'D' ? REQUEST_DELETE : REQUEST_HASH_PLAIN;
            break;
        case 'h':
            request->help = true;
            return 0;
        case OPTION_STDIN:
            request->from_stdin = true;
            break;
        case OPTION_HASH:
            request->algorithm_given = true;
            if (!algorithm_choose(optarg, &request->algorithm)) {
                return usage_error("--hash is argon2id or pbkdf2-sha512, not", optarg);
            }
            break;
        case ':':
            return usage_error("an argument is missing after", argv[optind - 1]);
        default:
            return usage_error("unknown option",
                               optopt ? (char[]){'-', (char)optopt, '\0'} : argv[optind - 1]);
        }
    }
    return 0;
}

/** What keeps options from standing together; NULL when nothing does. */
static const char *options_conflict(const struct request *request)
{
    bool password_source = request->batch || request->from_stdin;
    if (request->batch && request->from_stdin) {
        return "-b and --stdin do not go together";
    }
    if (request->kind != REQUEST_SET && (password_source || request->create)) {
        return "-b, -c and --stdin do not go together with -D and -U";
    }
    return request->kind == REQUEST_DELETE && request->algorithm_given ? "--hash does not go together with -D"
                                                                       : NULL;
}

/** Understands the command line. 0, or the exit code. */
static int request_read(struct request *request, int argc, char **argv)
{
    int failed = options_read(request, argc, argv);
    if (failed || request->help) {
        return failed;
    }
    const char *conflict = options_conflict(request);
    if (conflict) {
        return usage_error(conflict, NULL);
    }
    int wanted = request->kind == REQUEST_HASH_PLAIN ? 1 : request->batch ? 3 : 2;
    if (argc - optind < wanted) {
        static const char *const missing[] = {"FILE is missing", "USER is missing", "PASSWORD is missing"};
        return usage_error(missing[argc - optind], NULL);
    }
    if (argc - optind > wanted) {
        return usage_error("one argument too many:", argv[optind + wanted]);
    }
    request->file = argv[optind];
    request->user = wanted > 1 ? argv[optind + 1] : NULL;
    request->password = wanted > 2 ? argv[optind + 2] : NULL;
    return 0;
}

/** One line of standard input, without its end. What is wrong, or NULL. */
static const char *secret_read_stdin(struct secret *secret)
{
    int c;
    while ((c = getc(stdin)) != EOF && c != '\n') {
        if (secret->length == PASSWORD_MAX) {
            return "the password is longer than 65535 bytes";
        }
        secret->text[secret->length++] = (char)c;
    }
    if (c == '\n' && secret->length > 0 && secret->text[secret->length - 1] == '\r') {
        secret->length--;
    }
    return ferror(stdin) ? "standard input cannot be read" : NULL;
}

/** Asks twice on the terminal, without echo. What is wrong, or NULL. */
static const char *secret_prompt(struct secret *secret)
{
    if (EVP_read_pw_string_min(secret->text, 1, PROMPTED_MAX, "Password: ", 1) != 0) {
        return "no password: none was given, or the two were not the same";
    }
    secret->length = strlen(secret->text);
    return NULL;
}

/** Gets the password from where the command line says. What is wrong, or NULL. */
static const char *secret_get(struct secret *secret, const struct request *request)
{
    const char *problem = NULL;
    if (request->batch) {
        secret->length = strlen(request->password);
        if (secret->length > PASSWORD_MAX) {
            return "the password is longer than 65535 bytes";
        }
        memcpy(secret->text, request->password, secret->length);
    } else {
        problem = request->from_stdin ? secret_read_stdin(secret) : secret_prompt(secret);
    }
    return problem || secret->length > 0 ? problem : "the password is empty";
}

static bool user_set(struct password_edit *edit, const struct request *request)
{
    char hash[PASSWORD_HASH_TEXT_MAX];
    static struct secret secret; // too large for a stack, and one is enough
    secret.length = 0;
    const char *problem = password_edit_user_problem(request->user, strlen(request->user));
    if (!problem) {
        problem = secret_get(&secret, request);
    }
    if (!problem && !password_hash_make(request->algorithm, secret.text, secret.length, hash)) {
        problem = "the password cannot be hashed: out of memory";
    }
    explicit_bzero(&secret, sizeof secret);
    if (problem) {
        fprintf(stderr, "noctule passwd: %s\n", problem);
        return false;
    }
    return password_edit_set(edit, request->user, strlen(request->user), hash);
}

static void problems_print(const struct password_edit *edit)
{
    const struct password_problems *problems = &edit->problems;
    for (size_t i = 0; i < problems->count; i++) {
        const struct password_problem *problem = &problems->list[i];
        if (problem->line > 0) {
            fprintf(stderr, "%s:%u: %s\n", edit->path, (unsigned)problem->line, problem->text);
        } else {
            fprintf(stderr, "noctule passwd: %s: %s\n", edit->path, problem->text);
        }
    }
    if (problems->total > problems->count) {
        fprintf(stderr, "%s: %zu more errors\n", edit->path, problems->total - problems->count);
    }
}

int cli_passwd(int argc, char **argv)
{
    struct request request = {.kind = REQUEST_SET, .algorithm = PASSWORD_ARGON2ID};
    int failed = request_read(&request, argc, argv);
    if (failed) {
        return failed;
    }
    if (request.help) {
        printf("%s\n%s", USAGE, HELP);
        return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
    }
    struct password_edit edit = {.path = request.file, .create = request.create};
    bool done = false;
    switch (request.kind) {
    case REQUEST_SET:
        done = user_set(&edit, &request);
        break;
    case REQUEST_DELETE:
        done = password_edit_delete(&edit, request.user, strlen(request.user));
        break;
    case REQUEST_HASH_PLAIN:
        done = password_edit_hash_plain(&edit, request.algorithm);
        break;
    }
    problems_print(&edit);
    if (edit.closed) {
        fprintf(stderr, "noctule passwd: note: others could read %s; now only its owner can (mode 0600)\n",
                edit.path);
    }
    return done ? EXIT_DONE : EXIT_FAILED;
}
