// What the process alone knows: keyed hashes of passwords, and the seed of the hash tables.
// Any thread: a made secret is read-only.
// Must not know what the hashes are kept for.
#ifndef HTTP_AUTH_SECRET_H
#define HTTP_AUTH_SECRET_H

#include <noctule/plugin.h>

#include <stdbool.h>
#include <stdint.h>

enum { SECRET_BYTES = 32, SECRET_HASH_BYTES = 32 };

struct secret {
    uint8_t key[SECRET_BYTES];
    uint64_t seed; ///< of table hashes, so that no client can choose names that collide
};

/** Draws a fresh secret; false: no random numbers to be had. */
bool secret_make(struct secret *secret);

/**
 * HMAC-SHA256 of a user's password under the secret: stands for the password in cache keys. The same password
 * of two users has two hashes. False: OpenSSL or memory failed.
 */
bool secret_hash_password(const struct secret *secret, struct noctule_string username,
                          struct noctule_string password, uint8_t hash[SECRET_HASH_BYTES]);

/** For hash tables. */
uint64_t secret_hash_key(const struct secret *secret, const void *data, size_t length);

#endif
