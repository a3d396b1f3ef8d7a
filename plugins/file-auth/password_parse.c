#include "password_hash.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIELD_MAX = 512, // characters; more than the base64 of any salt or key in bounds
    SHA512_LENGTH = 64,
    KEY_MIN = 16, // bytes; a shorter key is found by guessing keys
    ARGON2_SALT_MIN = 8,
    BCRYPT_SETTING = 29, // "$2b$12$" and 22 characters of salt
    BCRYPT_TEXT = 60,
};

/** Characters left to read, or one field of them. */
struct span {
    const char *data;
    size_t length;
};

enum padding { PADDED, PADDING_OPTIONAL };

/** What a format's reader works with: its input, and the pieces it finds. */
struct parser {
    struct span rest; ///< after the prefix that chose the format
    struct span whole;
    enum password_salt salt_reading;
    struct password_parameters parameters;
    uint8_t salt[FIELD_MAX], other_salt[FIELD_MAX], key[FIELD_MAX];
};

/** Reads the rest of one format; returns NULL or what is wrong. */
typedef const char *read_function(struct parser *parser);

static struct span field_take(struct span *rest, char separator)
{
    const char *end = rest->length > 0 ? memchr(rest->data, separator, rest->length) : NULL;
    if (!end) {
        struct span last = *rest;
        *rest = (struct span){0};
        return last;
    }
    struct span field = {rest->data, (size_t)(end - rest->data)};
    rest->data += field.length + 1;
    rest->length -= field.length + 1;
    return field;
}

static bool number_read(struct span field, uint32_t least, uint32_t most, uint32_t *value)
{
    uint64_t sum = 0;
    if (field.length == 0 || field.length > 10) {
        return false;
    }
    for (size_t i = 0; i < field.length; i++) {
        if (field.data[i] < '0' || field.data[i] > '9') {
            return false;
        }
        sum = sum * 10 + (uint64_t)(field.data[i] - '0');
    }
    *value = (uint32_t)sum;
    return sum >= least && sum <= most;
}

/** `name=number` */
static bool parameter_read(struct span field, char name, uint32_t least, uint32_t most, uint32_t *value)
{
    if (field.length < 2 || field.data[0] != name || field.data[1] != '=') {
        return false;
    }
    return number_read((struct span){field.data + 2, field.length - 2}, least, most, value);
}

/** Standard base64 into `out` (FIELD_MAX bytes). False for anything else, or no bytes at all. */
static bool base64_read(struct span field, enum padding padding, uint8_t *out, uint16_t *length)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char padded[FIELD_MAX + 4];
    if (field.length == 0 || field.length > FIELD_MAX || memchr(field.data, '\0', field.length)) {
        return false;
    }
    memcpy(padded, field.data, field.length);
    padded[field.length] = '\0';
    size_t digits = strspn(padded, alphabet);
    size_t filler = field.length - digits;
    if (digits % 4 == 1 || strspn(padded + digits, "=") != filler) {
        return false;
    }
    size_t wanted = (4 - digits % 4) % 4;
    if (filler != wanted && (padding == PADDED || filler != 0)) {
        return false;
    }
    memset(padded + digits, '=', wanted);
    int decoded = EVP_DecodeBlock(out, (const unsigned char *)padded, (int)(digits + wanted));
    if (decoded <= (int)wanted) {
        return false;
    }
    *length = (uint16_t)(decoded - (int)wanted);
    return true;
}

static const char *salt_read(struct parser *parser, struct span field, enum padding padding)
{
    if (!base64_read(field, padding, parser->salt, &parser->parameters.salt_length)) {
        return padding == PADDED ? "the salt is not padded base64" : "the salt is not base64";
    }
    return parser->parameters.salt_length > PASSWORD_SALT_MAX ? "the salt is longer than 256 bytes" : NULL;
}

static const char *key_read(struct parser *parser, struct span field, enum padding padding)
{
    if (!base64_read(field, padding, parser->key, &parser->parameters.key_length)) {
        return padding == PADDED ? "the hash is not padded base64" : "the hash is not base64";
    }
    if (parser->parameters.key_length < KEY_MIN || parser->parameters.key_length > PASSWORD_KEY_MAX) {
        return "the hash is not 16 to 256 bytes long";
    }
    return parser->rest.data ? "there is text after the hash" : NULL;
}

/** The salt of a go-auth PBKDF2 string, which is base64 or the text itself. */
static const char *salt_read_either(struct parser *parser, struct span field, enum padding padding)
{
    struct password_parameters *parameters = &parser->parameters;
    const char *problem = "";
    if (parser->salt_reading != PASSWORD_SALT_TEXT) {
        problem = salt_read(parser, field, padding);
    }
    if (parser->salt_reading == PASSWORD_SALT_BASE64) {
        return problem;
    }
    if (!problem && field.length > PASSWORD_SALT_MAX) {
        return NULL;
    }
    if (field.length == 0 || field.length > PASSWORD_SALT_MAX) {
        return "the salt is not 1 to 256 characters long";
    }
    if (problem) {
        memcpy(parser->salt, field.data, field.length);
        parameters->salt_length = (uint16_t)field.length;
    } else {
        memcpy(parser->other_salt, field.data, field.length);
        parameters->other_salt_length = (uint16_t)field.length;
    }
    return NULL;
}

static const char *rounds_read(struct parser *parser, struct span field)
{
    return number_read(field, 1, PASSWORD_PBKDF2_ROUNDS_MAX, &parser->parameters.rounds)
               ? NULL
               : "the iterations are not a number from 1 to 5000000";
}

/** `$6$salt$hash` */
static const char *read_mosquitto_sha512(struct parser *parser)
{
    parser->parameters.scheme = PASSWORD_SCHEME_SHA512;
    const char *problem = salt_read(parser, field_take(&parser->rest, '$'), PADDED);
    if (!problem) {
        problem = key_read(parser, field_take(&parser->rest, '$'), PADDED);
    }
    if (!problem && parser->parameters.key_length != SHA512_LENGTH) {
        problem = "the hash is not 64 bytes long";
    }
    return problem;
}

/** `$7$iterations$salt$hash` */
static const char *read_mosquitto_pbkdf2(struct parser *parser)
{
    const char *problem = rounds_read(parser, field_take(&parser->rest, '$'));
    if (!problem) {
        problem = read_mosquitto_sha512(parser);
    }
    parser->parameters.scheme = PASSWORD_SCHEME_PBKDF2;
    return problem;
}

/** `PBKDF2$digest$iterations$salt$hash` */
static const char *read_goauth_pbkdf2(struct parser *parser)
{
    struct span digest = field_take(&parser->rest, '$');
    parser->parameters.scheme = PASSWORD_SCHEME_PBKDF2;
    parser->parameters.sha256 = digest.length == 6 && memcmp(digest.data, "sha256", 6) == 0;
    if (!parser->parameters.sha256 && (digest.length != 6 || memcmp(digest.data, "sha512", 6) != 0)) {
        return "the digest is neither sha512 nor sha256";
    }
    const char *problem = rounds_read(parser, field_take(&parser->rest, '$'));
    if (!problem) {
        problem = salt_read_either(parser, field_take(&parser->rest, '$'), PADDED);
    }
    return problem ? problem : key_read(parser, field_take(&parser->rest, '$'), PADDED);
}

/** `$pbkdf2-sha512$i=N,l=N$salt$hash` */
static const char *read_phc_pbkdf2(struct parser *parser)
{
    struct span fields = field_take(&parser->rest, '$');
    struct span rounds = field_take(&fields, ',');
    uint32_t length = 0;
    parser->parameters.scheme = PASSWORD_SCHEME_PBKDF2;
    if (!parameter_read(rounds, 'i', 1, PASSWORD_PBKDF2_ROUNDS_MAX, &parser->parameters.rounds)) {
        return "the iterations (i=) are not a number from 1 to 5000000";
    }
    if (!parameter_read(fields, 'l', KEY_MIN, PASSWORD_KEY_MAX, &length)) {
        return "the length (l=) is not a number from 16 to 256";
    }
    const char *problem = salt_read_either(parser, field_take(&parser->rest, '$'), PADDING_OPTIONAL);
    if (!problem) {
        problem = key_read(parser, field_take(&parser->rest, '$'), PADDING_OPTIONAL);
    }
    if (!problem && parser->parameters.key_length != length) {
        problem = "the hash is not as long as its length (l=) says";
    }
    return problem;
}

static const char *read_phc_pbkdf2_sha256(struct parser *parser)
{
    parser->parameters.sha256 = true;
    return read_phc_pbkdf2(parser);
}

static const char *argon2_parameters_read(struct password_parameters *parameters, struct span fields)
{
    if (!parameter_read(field_take(&fields, ','), 'm', 8, PASSWORD_ARGON2_MEMORY_MAX, &parameters->memory)) {
        return "the memory (m=) is not a number from 8 to 1048576";
    }
    if (!parameter_read(field_take(&fields, ','), 't', 1, PASSWORD_ARGON2_WORK_MAX, &parameters->rounds) ||
        (uint64_t)parameters->memory * parameters->rounds > PASSWORD_ARGON2_WORK_MAX) {
        return "the passes (t=) are not a number from 1, with memory times passes at most 4194304";
    }
    if (!parameter_read(fields, 'p', 1, PASSWORD_ARGON2_LANES_MAX, &parameters->lanes)) {
        return "the parallelism (p=) is not a number from 1 to 64";
    }
    return parameters->memory < 8 * parameters->lanes ? "the memory (m=) is less than 8 times the parallelism"
                                                      : NULL;
}

/** `$argon2id$v=19$m=KiB,t=passes,p=lanes$salt$hash` */
static const char *read_argon2id(struct parser *parser)
{
    struct span version = field_take(&parser->rest, '$');
    parser->parameters.scheme = PASSWORD_SCHEME_ARGON2ID;
    if (version.length != 4 || memcmp(version.data, "v=19", 4) != 0) {
        return "the version is not v=19";
    }
    const char *problem = argon2_parameters_read(&parser->parameters, field_take(&parser->rest, '$'));
    if (!problem) {
        problem = salt_read(parser, field_take(&parser->rest, '$'), PADDING_OPTIONAL);
    }
    if (!problem && parser->parameters.salt_length < ARGON2_SALT_MIN) {
        problem = "the salt is shorter than 8 bytes";
    }
    return problem ? problem : key_read(parser, field_take(&parser->rest, '$'), PADDING_OPTIONAL);
}

/** `$2b$cost$` and 53 characters */
static const char *read_bcrypt(struct parser *parser)
{
    struct password_parameters *parameters = &parser->parameters;
    struct span cost = field_take(&parser->rest, '$');
    parameters->scheme = PASSWORD_SCHEME_BCRYPT;
    if (cost.length != 2 || !number_read(cost, 4, PASSWORD_BCRYPT_COST_MAX, &parameters->rounds)) {
        return "the cost is not a number from 04 to 17";
    }
    if (parser->whole.length != BCRYPT_TEXT) {
        return "a bcrypt hash is 60 characters long";
    }
    for (size_t i = 0; i < parser->rest.length; i++) {
        char c = parser->rest.data[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!letter && (c < '.' || c > '9')) {
            return "a bcrypt hash is of letters, digits, '.' and '/'";
        }
    }
    memcpy(parser->salt, parser->whole.data, BCRYPT_SETTING);
    parameters->salt_length = BCRYPT_SETTING;
    memcpy(parser->key, parser->whole.data + BCRYPT_SETTING, BCRYPT_TEXT - BCRYPT_SETTING);
    parameters->key_length = BCRYPT_TEXT - BCRYPT_SETTING;
    return NULL;
}

static const struct format {
    const char *prefix;
    read_function *read; ///< NULL: known, but of no use here
} FORMATS[] = {
    {"$6$", read_mosquitto_sha512},
    {"$7$", read_mosquitto_pbkdf2},
    {"$argon2id$", read_argon2id},
    {"PBKDF2$", read_goauth_pbkdf2},
    {"$pbkdf2-sha512$", read_phc_pbkdf2},
    {"$pbkdf2-sha256$", read_phc_pbkdf2_sha256},
    {"$2a$", read_bcrypt},
    {"$2b$", read_bcrypt},
    {"$2y$", read_bcrypt},
    {"$2x$", NULL},
    {"$argon2i$", NULL},
    {"$argon2d$", NULL},
    {"$1$", NULL},
    {"$5$", NULL},
    {"$y$", NULL},
    {"$apr1$", NULL},
    {"$scrypt$", NULL},
    {"{SHA}", NULL},
    {"{SSHA}", NULL},
};

static const struct format *format_find(struct span text)
{
    for (size_t i = 0; i < sizeof FORMATS / sizeof *FORMATS; i++) {
        size_t length = strlen(FORMATS[i].prefix);
        if (text.length >= length && memcmp(text.data, FORMATS[i].prefix, length) == 0) {
            return &FORMATS[i];
        }
    }
    return NULL;
}

bool password_hash_recognize(const char *text, size_t length)
{
    return format_find((struct span){text, length}) != NULL;
}

static struct password_hash *hash_new(const struct parser *parser)
{
    const struct password_parameters *parameters = &parser->parameters;
    size_t salts = (size_t)parameters->salt_length + parameters->other_salt_length;
    struct password_hash *hash = malloc(sizeof *hash + salts + parameters->key_length);
    if (hash) {
        hash->parameters = *parameters;
        memcpy(hash->bytes, parser->salt, parameters->salt_length);
        memcpy(hash->bytes + parameters->salt_length, parser->other_salt, parameters->other_salt_length);
        memcpy(hash->bytes + salts, parser->key, parameters->key_length);
    }
    return hash;
}

struct password_hash *password_hash_parse(const char *text, size_t length, enum password_salt salt,
                                          const char **problem)
{
    struct parser parser = {.whole = {text, length}, .salt_reading = salt};
    const struct format *format = format_find(parser.whole);
    if (!format) {
        *problem = length > 0 && text[0] == '$'
                       ? "the hash is of no known kind"
                       : "the password is not hashed (`noctule passwd -U` hashes it)";
        return NULL;
    }
    if (!format->read) {
        *problem = "hashes of this kind are not supported";
        return NULL;
    }
    size_t prefix = strlen(format->prefix);
    parser.rest = (struct span){text + prefix, length - prefix};
    *problem = format->read(&parser);
    struct password_hash *hash = *problem ? NULL : hash_new(&parser);
    if (!*problem && !hash) {
        *problem = "out of memory";
    }
    OPENSSL_cleanse(parser.key, sizeof parser.key);
    return hash;
}
