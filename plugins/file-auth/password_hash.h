// Stored password hashes: reading every format that Mosquitto and mosquitto-go-auth write, checking, making.
// Any thread; a parsed hash is immutable, so many threads may check passwords against it at once.
// Must not know users, files, the plugin interface or the core.
#ifndef NOCTULE_PASSWORD_HASH_H
#define NOCTULE_PASSWORD_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Bounds of what a stored string may ask for; the dearest costs a helper thread several seconds. */
#define PASSWORD_PBKDF2_ROUNDS_MAX 5000000u
#define PASSWORD_ARGON2_MEMORY_MAX 1048576u ///< KiB: 1 GiB
#define PASSWORD_ARGON2_WORK_MAX   4194304u ///< KiB times passes: 4 passes over 1 GiB
#define PASSWORD_ARGON2_LANES_MAX  64u
#define PASSWORD_BCRYPT_COST_MAX   17u
#define PASSWORD_SALT_MAX          256u ///< bytes, as is the key's bound
#define PASSWORD_KEY_MAX           256u

/** Room for any string of password_hash_make(), with its NUL. */
#define PASSWORD_HASH_TEXT_MAX 256

/** What the salt field of go-auth's PBKDF2 strings is: the file does not say. */
enum password_salt {
    PASSWORD_SALT_AUTO,   ///< both are tried, base64 first, where the field can be read as base64
    PASSWORD_SALT_BASE64, ///< go-auth's default: the salt in base64
    PASSWORD_SALT_TEXT,   ///< "utf-8", as mosquitto-auth-plug did: the field's characters are the salt
};

/** The algorithms that new strings are made with. */
enum password_algorithm {
    PASSWORD_ARGON2ID, ///< PHC string, m=19456,t=2,p=1: 16 bytes of salt, 32 of key; Mosquitto 2.1 reads it
    PASSWORD_PBKDF2_SHA512, ///< `$7$210000$`: 12 bytes of salt, which Mosquitto 2.0 and 2.1 both read
};

enum password_match {
    PASSWORD_WRONG = 0,
    PASSWORD_RIGHT,
    PASSWORD_FAILED, ///< could not be computed: out of memory, or a library refused; never a match
};

enum password_scheme {
    PASSWORD_SCHEME_SHA512, ///< `$6$` of Mosquitto: one SHA-512 over password and salt
    PASSWORD_SCHEME_PBKDF2,
    PASSWORD_SCHEME_ARGON2ID,
    PASSWORD_SCHEME_BCRYPT,
};

struct password_parameters {
    uint8_t scheme;             ///< enum password_scheme
    bool sha256;                ///< PBKDF2 with SHA-256 instead of SHA-512
    uint16_t salt_length;       ///< bcrypt: the 29 characters of its setting
    uint16_t other_salt_length; ///< the salt's second reading; 0: there is one reading
    uint16_t key_length;        ///< bcrypt: its 31 characters
    uint32_t rounds;            ///< PBKDF2 iterations, argon2 passes, bcrypt's cost
    uint32_t memory;            ///< argon2: KiB
    uint32_t lanes;             ///< argon2
};

/** One stored hash. Read-only outside the functions below. */
struct password_hash {
    struct password_parameters parameters;
    uint8_t bytes[]; ///< salt, other salt, key
};

/**
 * Whether `text` begins like a hash of a known kind (also one that is not supported, as crypt's `$5$`),
 * and so is not a password in plain text. Says nothing about the rest of it.
 */
bool password_hash_recognize(const char *text, size_t length);

/**
 * Reads a stored hash. Returns NULL and sets `*problem` to a sentence part with static lifetime when it is
 * malformed, of no known kind, beyond the bounds above, or memory is gone. The caller frees the result.
 */
struct password_hash *password_hash_parse(const char *text, size_t length, enum password_salt salt,
                                          const char **problem);

/** Frees a hash, and wipes it; NULL is fine. */
void password_hash_free(struct password_hash *hash);

/**
 * Checks a password (any bytes; NULL when `length` is 0). Slow on purpose: never call it on an event loop.
 * The comparison takes the same time wherever the difference is.
 */
enum password_match password_hash_verify(const struct password_hash *hash, const void *password,
                                         size_t length);

/** Relative price of one check. Hashes of the same kind and parameters have the same price. */
uint64_t password_hash_cost(const struct password_hash *hash);

/**
 * A hash that takes as long to check as `model` does, and that no password matches. NULL when memory or
 * random numbers are gone. The caller frees it.
 */
struct password_hash *password_hash_decoy(const struct password_hash *model);

/**
 * Hashes a password with a fresh salt into `text`, NUL-terminated, as it stands in a password file.
 * Returns false when memory or random numbers are gone. As slow as a check.
 */
bool password_hash_make(enum password_algorithm algorithm, const void *password, size_t length,
                        char text[PASSWORD_HASH_TEXT_MAX]);

#endif
