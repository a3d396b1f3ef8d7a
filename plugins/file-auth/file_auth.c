/*
 * file-auth: logins against a password file.
 *
 * A snapshot is one loaded file. The hooks run on helper threads (checking a password is slow on purpose) and
 * only read it. The fingerprint of the entry that let a client in is kept as the client's data, so that after
 * a reload just those clients go whose entry is no longer in the file as it was.
 */
#include "password_file.h"

#include <noctule/plugin.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BAD_USER_NAME_OR_PASSWORD = 0x86, REASON_MAX = 256 };

struct state {
    const struct noctule_host *host;
    struct noctule_instance *instance;
};

struct snapshot {
    struct password_file *file;
    char *name; ///< of the file without its folders, for reasons
};

static int32_t file_auth_init(const struct noctule_host *host, struct noctule_instance *instance,
                              void **state)
{
    struct state *made = malloc(sizeof *made);
    if (!made) {
        return NOCTULE_E_MEMORY;
    }
    *made = (struct state){host, instance};
    *state = made;
    return NOCTULE_OK;
}

static void file_auth_fini(void *state)
{
    free(state);
}

static void problems_report(const struct state *state, struct noctule_string path,
                            const struct password_problems *problems)
{
    const struct noctule_host *host = state->host;
    for (size_t i = 0; i < problems->count; i++) {
        const struct password_problem *problem = &problems->list[i];
        host->file_error(state->instance, path, problem->line,
                         noctule_string_of(problem->text, strlen(problem->text)));
    }
    if (problems->total > problems->count) {
        char text[64];
        int length = snprintf(text, sizeof text, "%zu more errors", problems->total - problems->count);
        host->file_error(state->instance, path, 0, noctule_string_of(text, (size_t)length));
    }
}

/** Loads the file at a path that is not NUL-terminated; NULL after reporting why not. */
static struct snapshot *snapshot_load(const struct state *state, struct noctule_string path,
                                      enum password_salt salt)
{
    struct password_problems problems = {0};
    struct snapshot *snapshot = calloc(1, sizeof *snapshot);
    char *file_path = strndup(path.data, path.length);
    if (snapshot && file_path) {
        const char *slash = strrchr(file_path, '/');
        snapshot->name = strdup(slash ? slash + 1 : file_path);
        snapshot->file = password_file_load(file_path, salt, &problems);
    }
    free(file_path);
    if (snapshot && snapshot->name && snapshot->file) {
        return snapshot;
    }
    if (problems.total == 0) {
        password_problem_add(&problems, 0, "out of memory");
    }
    problems_report(state, path, &problems);
    if (snapshot) {
        password_file_free(snapshot->file);
        free(snapshot->name);
        free(snapshot);
    }
    return NULL;
}

static int32_t file_auth_build(void *state, const struct noctule_config *config, void **snapshot)
{
    static const char *const salt_names[] = {
        [PASSWORD_SALT_AUTO] = "auto",
        [PASSWORD_SALT_BASE64] = "base64",
        [PASSWORD_SALT_TEXT] = "utf-8",
        NULL,
    };
    const struct state *own = state;
    struct noctule_string path = {NULL, 0};
    int32_t salt = PASSWORD_SALT_AUTO;
    // Both are asked for before anything is given up, so that one run of `check` reports on both.
    int32_t salt_found = own->host->config_choice(config, "salt_encoding", salt_names, &salt);
    int32_t path_found = own->host->config_path(config, "password_file", &path);
    if (path_found == 0) {
        own->host->config_error(
            config, NULL, NOCTULE_STRING("password_file is missing (expected the path of a password file)"));
    }
    if (path_found <= 0 || salt_found < 0) {
        return NOCTULE_E_INVALID;
    }
    *snapshot = snapshot_load(own, path, (enum password_salt)salt);
    return *snapshot ? NOCTULE_OK : NOCTULE_E_INVALID;
}

static void file_auth_retire(void *state, void *snapshot)
{
    (void)state;
    struct snapshot *old = snapshot;
    password_file_free(old->file);
    free(old->name);
    free(old);
}

/** Gives the reason to `reply`, hands that to the host and returns `verdict`. */
__attribute__((format(printf, 4, 5))) static noctule_verdict verdict_give(
    const struct noctule_context *context, noctule_verdict verdict, struct noctule_reply reply,
    const char *format, ...)
{
    const struct state *state = context->state;
    char reason[REASON_MAX];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    size_t shown = length < 0 ? 0 : (size_t)length < sizeof reason ? (size_t)length : sizeof reason - 1;
    reply.size = sizeof reply;
    reply.reason = noctule_string_of(reason, shown);
    // An ALLOW that the host did not note would leave the client without its fingerprint.
    return state->host->annotate(context->request, &reply) < 0 && verdict == NOCTULE_ALLOW ? NOCTULE_ERROR
                                                                                           : verdict;
}

static noctule_verdict file_auth_authenticate(const struct noctule_context *context,
                                              const struct noctule_login *login)
{
    const struct snapshot *snapshot = context->snapshot;
    struct noctule_reply plain = {0};
    struct noctule_reply refusal = {.reason_code = BAD_USER_NAME_OR_PASSWORD};
    // Enhanced authentication is for a plugin that knows the method: a password says nothing there.
    if (!login->has_username || login->auth_method.data) {
        return NOCTULE_NEXT;
    }
    const struct password_entry *entry =
        password_file_find(snapshot->file, login->username.data, login->username.length);
    if (!entry) {
        if (login->has_password) {
            password_file_spend(snapshot->file, login->password.data, login->password.length);
        }
        return verdict_give(context, NOCTULE_NEXT, plain, "%s: no such user", snapshot->name);
    }
    if (!login->has_password) {
        return verdict_give(context, NOCTULE_DENY, refusal, "%s:%u: no password given", snapshot->name,
                            (unsigned)entry->line);
    }
    switch (password_hash_verify(entry->hash, login->password.data, login->password.length)) {
    case PASSWORD_RIGHT:
        plain.client_data = entry->fingerprint;
        return verdict_give(context, NOCTULE_ALLOW, plain, "%s:%u: password matches", snapshot->name,
                            (unsigned)entry->line);
    case PASSWORD_WRONG:
        return verdict_give(context, NOCTULE_DENY, refusal, "%s:%u: wrong password", snapshot->name,
                            (unsigned)entry->line);
    case PASSWORD_FAILED:
        break;
    }
    return verdict_give(context, NOCTULE_ERROR, plain,
                        "%s:%u: the password could not be checked: out of memory", snapshot->name,
                        (unsigned)entry->line);
}

static noctule_verdict file_auth_revalidate(const struct noctule_context *context)
{
    const struct state *state = context->state;
    const struct snapshot *snapshot = context->snapshot;
    uint64_t fingerprint = state->host->client_data(state->instance, context->client);
    return password_file_holds(snapshot->file, fingerprint) ? NOCTULE_ALLOW : NOCTULE_DENY;
}

static const struct noctule_plugin PLUGIN = {
    .size = sizeof(struct noctule_plugin),
    .abi_major = NOCTULE_ABI_MAJOR,
    .abi_minor = 0,
    .name = "file-auth",
    .version = NOCTULE_PLUGIN_VERSION,
    .description = "Logins against a password file (Mosquitto and mosquitto-go-auth formats)",
    .license = "MIT",
    .flags = NOCTULE_FLAG_BLOCKING,
    .init = file_auth_init,
    .fini = file_auth_fini,
    .build = file_auth_build,
    .retire = file_auth_retire,
    .authenticate = file_auth_authenticate,
    .revalidate = file_auth_revalidate,
};

NOCTULE_PLUGIN_ENTRY(PLUGIN)
