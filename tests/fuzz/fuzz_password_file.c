// Any bytes as a password file: either refused with problems, or a file in which every user is found.
#include "plugins/file-auth/password_file.h"
#include "plugins/file-auth/password_line.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

/** What the lines say must be what the file holds. */
static void file_compare(const struct password_file *file, const char *text, size_t length)
{
    enum { CHEAP = 20000 };
    struct password_lines lines = {.rest = {text, length}};
    struct password_line line;
    size_t users = 0;
    while (password_line_next(&lines, &line)) {
        require(line.kind != PASSWORD_LINE_MALFORMED);
        if (line.kind != PASSWORD_LINE_ENTRY) {
            continue;
        }
        users++;
        const struct password_entry *entry = password_file_find(file, line.user.data, line.user.length);
        require(entry && entry->line == line.number && entry->fingerprint != 0);
        require(password_file_holds(file, entry->fingerprint));
        require(password_hash_recognize(line.field.data, line.field.length));
        if (users <= 2 && password_hash_cost(entry->hash) < CHEAP) {
            require(password_hash_verify(entry->hash, text, length) != PASSWORD_RIGHT);
        }
    }
    require(users == password_file_count(file));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    // The first byte chooses how salts are read.
    enum password_salt salt = (enum password_salt)(data[0] % 3);
    const char *text = (const char *)data + 1;
    struct password_problems problems = {0};
    struct password_file *file = password_file_parse(text, size - 1, salt, &problems);
    if (file) {
        require(problems.total == 0);
        file_compare(file, text, size - 1);
    } else {
        require(problems.count > 0 && problems.count <= problems.total);
        require(problems.count <= PASSWORD_PROBLEMS_MAX && problems.list[0].text[0] != '\0');
    }
    password_file_free(file);
    return 0;
}
