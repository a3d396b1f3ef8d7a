#include "password_file.h"
#include "password_line.h"
#include "password_read.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SHOWN_USER_MAX = 64 }; // bytes of a user name in a message

struct password_file {
    struct password_entry *entries;
    size_t count;
    size_t capacity;
    uint32_t *slots; ///< open addressing: index of an entry plus 1; 0 is empty
    size_t slot_mask;
    uint64_t *fingerprints;      ///< of all entries, ascending
    struct password_hash *decoy; ///< NULL when there are no users
};

void password_problem_add(struct password_problems *problems, uint32_t line, const char *format, ...)
{
    problems->total++;
    if (problems->count == PASSWORD_PROBLEMS_MAX) {
        return;
    }
    struct password_problem *problem = &problems->list[problems->count++];
    problem->line = line;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(problem->text, sizeof problem->text, format, arguments);
    va_end(arguments);
}

/** How many bytes of a user name to show: whole characters of UTF-8. */
static int shown_length(struct password_text user)
{
    size_t length = user.length;
    if (length > SHOWN_USER_MAX) {
        length = SHOWN_USER_MAX;
        while (length > 0 && ((unsigned char)user.data[length] & 0xC0) == 0x80) {
            length--;
        }
    }
    return (int)length;
}

/** FNV-1a. Clients can only look users up, not add them, so there is nobody to choose collisions. */
static uint64_t user_hash(const char *user, size_t length)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < length; i++) {
        hash = (hash ^ (unsigned char)user[i]) * 0x100000001b3u;
    }
    return hash ^ hash >> 32;
}

/** The start of SHA-256 over user, ':' and hash field. False when memory is gone. */
static bool fingerprint_make(const struct password_line *line, uint64_t *fingerprint)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool done = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(context, line->user.data, line->user.length) == 1 &&
                EVP_DigestUpdate(context, ":", 1) == 1 &&
                EVP_DigestUpdate(context, line->field.data, line->field.length) == 1 &&
                EVP_DigestFinal_ex(context, digest, NULL) == 1;
    EVP_MD_CTX_free(context);
    if (done) {
        memcpy(fingerprint, digest, sizeof *fingerprint);
        *fingerprint += *fingerprint == 0;
    }
    return done;
}

/** The slot where a user is, or would be. */
static uint32_t *slot_find(const struct password_file *file, const char *user, size_t length)
{
    size_t at = (size_t)user_hash(user, length) & file->slot_mask;
    while (file->slots[at] != 0) {
        const struct password_entry *entry = &file->entries[file->slots[at] - 1];
        if (entry->user_length == length && memcmp(entry->user, user, length) == 0) {
            break;
        }
        at = (at + 1) & file->slot_mask;
    }
    return &file->slots[at];
}

/** Room for one more entry, and a table at most half full. */
static bool file_grow(struct password_file *file)
{
    if (file->count < file->capacity) {
        return true;
    }
    size_t capacity = file->capacity ? 2 * file->capacity : 64;
    struct password_entry *entries = realloc(file->entries, capacity * sizeof *entries);
    if (!entries) {
        return false;
    }
    file->entries = entries;
    uint32_t *slots = calloc(2 * capacity, sizeof *slots);
    if (!slots) {
        return false;
    }
    free(file->slots);
    file->slots = slots;
    file->slot_mask = 2 * capacity - 1;
    file->capacity = capacity;
    for (size_t i = 0; i < file->count; i++) {
        *slot_find(file, entries[i].user, entries[i].user_length) = (uint32_t)(i + 1);
    }
    return true;
}

/** Takes the hash in any case. */
static bool entry_add_take(struct password_file *file, const struct password_line *line,
                           struct password_hash *hash)
{
    struct password_entry entry = {
        .user = malloc(line->user.length),
        .user_length = (uint32_t)line->user.length,
        .line = line->number,
        .hash = hash,
    };
    if (!entry.user || !fingerprint_make(line, &entry.fingerprint)) {
        free(entry.user);
        password_hash_free(hash);
        return false;
    }
    memcpy(entry.user, line->user.data, line->user.length);
    file->entries[file->count++] = entry;
    *slot_find(file, entry.user, entry.user_length) = (uint32_t)file->count;
    return true;
}

/** Reads one line into the file, or adds what is wrong with it. */
static void line_read(struct password_file *file, const struct password_line *line, enum password_salt salt,
                      struct password_problems *problems)
{
    if (line->kind == PASSWORD_LINE_BLANK) {
        return;
    }
    if (line->kind == PASSWORD_LINE_MALFORMED) {
        password_problem_add(problems, line->number, "no ':' between user and hash (expected user:hash)");
        return;
    }
    const char *problem = password_user_problem(line->user.data, line->user.length);
    if (problem) {
        password_problem_add(problems, line->number, "%s", problem);
        return;
    }
    int shown = shown_length(line->user);
    if (!file_grow(file)) {
        password_problem_add(problems, line->number, "out of memory");
        return;
    }
    uint32_t found = *slot_find(file, line->user.data, line->user.length);
    if (found) {
        password_problem_add(problems, line->number, "user \"%.*s\" is listed twice (first on line %u)",
                             shown, line->user.data, (unsigned)file->entries[found - 1].line);
        return;
    }
    problem = "there is no hash after ':'";
    struct password_hash *hash = NULL;
    if (line->field.length > 0) {
        hash = password_hash_parse(line->field.data, line->field.length, salt, &problem);
    }
    if (!hash) {
        password_problem_add(problems, line->number, "user \"%.*s\": %s", shown, line->user.data, problem);
    } else if (!entry_add_take(file, line, hash)) {
        password_problem_add(problems, line->number, "out of memory");
    }
}

struct price {
    uint64_t cost;
    size_t index;
};

static int price_compare(const void *left, const void *right)
{
    uint64_t a = ((const struct price *)left)->cost, b = ((const struct price *)right)->cost;
    return (a > b) - (a < b);
}

/** Makes the decoy from the most frequent price. False when memory is gone. */
static bool decoy_make(struct password_file *file)
{
    if (file->count == 0) {
        return true;
    }
    struct price *prices = calloc(file->count, sizeof *prices);
    if (!prices) {
        return false;
    }
    for (size_t i = 0; i < file->count; i++) {
        prices[i] = (struct price){password_hash_cost(file->entries[i].hash), i};
    }
    qsort(prices, file->count, sizeof *prices, price_compare);
    size_t best = 0, best_run = 0, run = 0;
    for (size_t i = 0; i < file->count; i++) {
        run = i > 0 && prices[i].cost == prices[i - 1].cost ? run + 1 : 1;
        if (run >= best_run) {
            best_run = run;
            best = prices[i].index;
        }
    }
    free(prices);
    file->decoy = password_hash_decoy(file->entries[best].hash);
    return file->decoy != NULL;
}

static int fingerprint_compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/** Lists the fingerprints in order. False when memory is gone. */
static bool fingerprints_sort(struct password_file *file)
{
    file->fingerprints = calloc(file->count + 1, sizeof *file->fingerprints);
    if (!file->fingerprints) {
        return false;
    }
    for (size_t i = 0; i < file->count; i++) {
        file->fingerprints[i] = file->entries[i].fingerprint;
    }
    qsort(file->fingerprints, file->count, sizeof *file->fingerprints, fingerprint_compare);
    return true;
}

struct password_file *password_file_parse(const char *text, size_t length, enum password_salt salt,
                                          struct password_problems *problems)
{
    size_t before = problems->total;
    struct password_file *file = calloc(1, sizeof *file);
    if (!file) {
        password_problem_add(problems, 0, "out of memory");
        return NULL;
    }
    struct password_lines lines = {.rest = {text, length}};
    struct password_line line;
    while (password_line_next(&lines, &line)) {
        line_read(file, &line, salt, problems);
    }
    if (problems->total == before && (!decoy_make(file) || !fingerprints_sort(file))) {
        password_problem_add(problems, 0, "out of memory");
    }
    if (problems->total != before) {
        password_file_free(file);
        return NULL;
    }
    return file;
}

struct password_file *password_file_load(const char *path, enum password_salt salt,
                                         struct password_problems *problems)
{
    // Without O_NONBLOCK, a pipe without a writer would hold up the start.
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    size_t length = 0;
    char *text = descriptor >= 0 ? password_text_read(descriptor, &length) : NULL;
    int error = errno;
    if (descriptor >= 0) {
        close(descriptor);
    }
    if (!text) {
        password_problem_add(problems, 0, "cannot read the password file: %s", password_read_problem(error));
        return NULL;
    }
    struct password_file *file = password_file_parse(text, length, salt, problems);
    password_text_free(text, length);
    return file;
}

void password_file_free(struct password_file *file)
{
    if (!file) {
        return;
    }
    for (size_t i = 0; i < file->count; i++) {
        free(file->entries[i].user);
        password_hash_free(file->entries[i].hash);
    }
    password_hash_free(file->decoy);
    free(file->entries);
    free(file->slots);
    free(file->fingerprints);
    free(file);
}

const struct password_entry *password_file_find(const struct password_file *file, const char *user,
                                                size_t length)
{
    if (file->count == 0 || length == 0) {
        return NULL;
    }
    uint32_t found = *slot_find(file, user, length);
    return found ? &file->entries[found - 1] : NULL;
}

bool password_file_holds(const struct password_file *file, uint64_t fingerprint)
{
    return bsearch(&fingerprint, file->fingerprints, file->count, sizeof fingerprint, fingerprint_compare) !=
           NULL;
}

size_t password_file_count(const struct password_file *file)
{
    return file->count;
}

void password_file_spend(const struct password_file *file, const void *password, size_t length)
{
    if (file->decoy) {
        password_hash_verify(file->decoy, password, length);
    }
}
