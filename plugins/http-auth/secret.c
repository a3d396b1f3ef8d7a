#include "secret.h"

#include "text.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <xxhash.h>

bool secret_make(struct secret *secret)
{
    return RAND_bytes(secret->key, sizeof secret->key) == 1 &&
           RAND_bytes((unsigned char *)&secret->seed, sizeof secret->seed) == 1;
}

bool secret_hash_password(const struct secret *secret, struct noctule_string username,
                          struct noctule_string password, uint8_t hash[SECRET_HASH_BYTES])
{
    struct text input = {0};
    unsigned length = 0;
    text_add_counted(&input, username);
    text_add_counted(&input, password);
    bool hashed = !input.failed &&
                  HMAC(EVP_sha256(), secret->key, sizeof secret->key, (const unsigned char *)input.data,
                       input.length, hash, &length) != NULL &&
                  length == SECRET_HASH_BYTES;
    text_free(&input);
    return hashed;
}

uint64_t secret_hash_key(const struct secret *secret, const void *data, size_t length)
{
    return XXH3_64bits_withSeed(data, length, secret->seed);
}
