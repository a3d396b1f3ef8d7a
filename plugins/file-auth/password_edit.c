#include "password_edit.h"
#include "password_line.h"
#include "password_read.h"
#include "password_write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/** The new text as it grows. */
struct output {
    char *data;
    size_t length;
    size_t capacity;
    bool failed; ///< memory is gone
};

/** What a change works with. */
struct change {
    struct password_problems *problems;
    struct password_text text; ///< the old
    struct output output;      ///< the new
    struct password_text user; ///< whom it is about
    const char *hash;
    enum password_algorithm algorithm;
};

/** Writes the new text from the old one; adds problems, or else sets `*changed`. */
typedef void change_function(struct change *change, bool *changed);

static void output_add(struct output *output, const char *data, size_t length)
{
    if (output->failed || length == 0) {
        return;
    }
    if (output->capacity - output->length < length) {
        size_t capacity = 2 * (output->capacity + length);
        char *grown = realloc(output->data, capacity);
        if (!grown) {
            output->failed = true;
            return;
        }
        output->data = grown;
        output->capacity = capacity;
    }
    memcpy(output->data + output->length, data, length);
    output->length += length;
}

const char *password_edit_user_problem(const char *user, size_t length)
{
    const char *problem = password_user_problem(user, length);
    if (problem) {
        return problem;
    }
    if (user[0] == '#') {
        return "the user name begins with '#', which begins a comment";
    }
    // Tabs are control characters, and refused above.
    return user[0] == ' ' || user[length - 1] == ' ' ? "the user name begins or ends with a space" : NULL;
}

static bool line_is_of(const struct password_line *line, struct password_text user)
{
    return line->kind == PASSWORD_LINE_ENTRY && line->user.length == user.length &&
           memcmp(line->user.data, user.data, user.length) == 0;
}

/** The line with another hash: all that is before and after the hash field stays. */
static void line_rewrite(struct output *output, const struct password_line *line, const char *hash)
{
    const char *after_line = line->whole.data + line->whole.length;
    const char *field = (const char *)memchr(line->whole.data, ':', line->whole.length) + 1;
    const char *rest = line->more ? memchr(field, ':', (size_t)(after_line - field)) : line->end.data;
    output_add(output, line->whole.data, (size_t)(field - line->whole.data));
    output_add(output, hash, strlen(hash));
    output_add(output, rest, (size_t)(after_line - rest));
}

static void change_set(struct change *change, bool *changed)
{
    struct password_lines lines = {.rest = change->text};
    struct password_line line = {0};
    struct password_text end = {"\n", 1};
    bool placed = false;
    while (password_line_next(&lines, &line)) {
        end = line.end.length > 0 ? line.end : end;
        if (!line_is_of(&line, change->user)) {
            output_add(&change->output, line.whole.data, line.whole.length);
        } else if (!placed) {
            line_rewrite(&change->output, &line, change->hash);
            placed = true;
        }
    }
    if (!placed) {
        if (change->text.length > 0 && line.end.length == 0) {
            output_add(&change->output, end.data, end.length);
        }
        output_add(&change->output, change->user.data, change->user.length);
        output_add(&change->output, ":", 1);
        output_add(&change->output, change->hash, strlen(change->hash));
        output_add(&change->output, end.data, end.length);
    }
    *changed = true;
}

static void change_delete(struct change *change, bool *changed)
{
    struct password_lines lines = {.rest = change->text};
    struct password_line line;
    while (password_line_next(&lines, &line)) {
        if (line_is_of(&line, change->user)) {
            *changed = true;
        } else {
            output_add(&change->output, line.whole.data, line.whole.length);
        }
    }
    if (!*changed) {
        password_problem_add(change->problems, 0, "there is no such user");
    }
}

/** What keeps an entry from being hashed or left alone; NULL when nothing does. `*plain`: it is to be hashed.
 */
static const char *plain_examine(const struct password_line *line, bool *plain)
{
    *plain = false;
    if (line->kind == PASSWORD_LINE_BLANK) {
        return NULL;
    }
    if (line->kind == PASSWORD_LINE_MALFORMED) {
        return "no ':' between user and password (expected user:password)";
    }
    const char *problem = password_user_problem(line->user.data, line->user.length);
    if (problem) {
        return problem;
    }
    if (line->field.length == 0) {
        return "there is no password after ':'";
    }
    if (password_hash_recognize(line->field.data, line->field.length)) {
        password_hash_free(
            password_hash_parse(line->field.data, line->field.length, PASSWORD_SALT_AUTO, &problem));
        return problem;
    }
    *plain = true;
    return line->more ? "the password contains ':' (set it with `noctule passwd FILE USER`)" : NULL;
}

static void change_hash_plain(struct change *change, bool *changed)
{
    struct password_lines lines = {.rest = change->text};
    struct password_line line;
    bool plain;
    while (password_line_next(&lines, &line)) {
        const char *problem = plain_examine(&line, &plain);
        if (problem) {
            password_problem_add(change->problems, line.number, "%s", problem);
        }
    }
    lines = (struct password_lines){.rest = change->text};
    while (change->problems->total == 0 && password_line_next(&lines, &line)) {
        plain_examine(&line, &plain);
        char hash[PASSWORD_HASH_TEXT_MAX];
        if (!plain) {
            output_add(&change->output, line.whole.data, line.whole.length);
        } else if (password_hash_make(change->algorithm, line.field.data, line.field.length, hash)) {
            line_rewrite(&change->output, &line, hash);
            *changed = true;
        } else {
            password_problem_add(change->problems, line.number,
                                 "the password cannot be hashed: out of memory");
        }
    }
}

/** Opens, changes and replaces the file. */
static bool edit_run(struct password_edit *edit, struct change *change, change_function *function)
{
    struct password_problems *problems = &edit->problems;
    struct password_target target;
    char *text = NULL;
    size_t length = 0;
    bool changed = false;
    change->problems = problems;
    edit->closed = false;
    *problems = (struct password_problems){0};

    if (!password_target_open(&target, edit->path, edit->create)) {
        int error = errno;
        password_problem_add(problems, 0, "cannot open: %s%s", password_read_problem(error),
                             error == ENOENT ? " (-c creates it)" : "");
        return false;
    }
    if (!edit->create) {
        text = password_text_read(target.descriptor, &length);
        if (!text) {
            password_problem_add(problems, 0, "cannot read: %s", password_read_problem(errno));
            goto done;
        }
        change->text = (struct password_text){text, length};
    }
    function(change, &changed);
    if (change->output.failed) {
        password_problem_add(problems, 0, "out of memory");
    }
    if (problems->total == 0 && changed) {
        if (password_target_replace(&target, change->output.data, change->output.length)) {
            edit->closed = target.descriptor >= 0 && (target.status.st_mode & 0044) != 0;
        } else {
            password_problem_add(problems, 0, "cannot write: %s", strerror(errno));
        }
    }
done:
    password_target_close(&target);
    password_text_free(text, length);
    free(change->output.data);
    return problems->total == 0;
}

bool password_edit_set(struct password_edit *edit, const char *user, size_t length, const char *hash)
{
    struct change change = {.user = {user, length}, .hash = hash};
    return edit_run(edit, &change, change_set);
}

bool password_edit_delete(struct password_edit *edit, const char *user, size_t length)
{
    struct change change = {.user = {user, length}};
    return edit_run(edit, &change, change_delete);
}

bool password_edit_hash_plain(struct password_edit *edit, enum password_algorithm algorithm)
{
    struct change change = {.algorithm = algorithm};
    return edit_run(edit, &change, change_hash_plain);
}
