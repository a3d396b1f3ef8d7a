#include "password_hash.h"

#include <argon2.h>
#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MADE_ARGON2_MEMORY = 19456,
    MADE_ARGON2_PASSES = 2,
    MADE_ARGON2_SALT = 16,
    MADE_ARGON2_KEY = 32,
    MADE_PBKDF2_ROUNDS = 210000,
    MADE_PBKDF2_SALT = 12,
    MADE_PBKDF2_KEY = 64,
    SHA512_LENGTH = 64,
    SHA256_LENGTH = 32,
    BCRYPT_SIGNIFICANT = 72, // bytes of a password that bcrypt reads
};

struct bytes {
    const void *data;
    size_t length;
};

/** Computes `key_length` bytes of key from a password and a salt. */
typedef bool derive_function(const struct password_parameters *parameters, struct bytes salt,
                             struct bytes password, uint8_t *key);

static bool derive_sha512(const struct password_parameters *parameters, struct bytes salt,
                          struct bytes password, uint8_t *key)
{
    (void)parameters;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool done = context && EVP_DigestInit_ex(context, EVP_sha512(), NULL) == 1 &&
                EVP_DigestUpdate(context, password.data, password.length) == 1 &&
                EVP_DigestUpdate(context, salt.data, salt.length) == 1 &&
                EVP_DigestFinal_ex(context, key, NULL) == 1;
    EVP_MD_CTX_free(context);
    return done;
}

static bool derive_pbkdf2(const struct password_parameters *parameters, struct bytes salt,
                          struct bytes password, uint8_t *key)
{
    return PKCS5_PBKDF2_HMAC(password.data, (int)password.length, salt.data, (int)salt.length,
                             (int)parameters->rounds, parameters->sha256 ? EVP_sha256() : EVP_sha512(),
                             parameters->key_length, key) == 1;
}

static bool derive_argon2id(const struct password_parameters *parameters, struct bytes salt,
                            struct bytes password, uint8_t *key)
{
    argon2_context context = {
        .out = key,
        .outlen = parameters->key_length,
        .pwd = (uint8_t *)password.data,
        .pwdlen = (uint32_t)password.length,
        .salt = (uint8_t *)salt.data,
        .saltlen = (uint32_t)salt.length,
        .t_cost = parameters->rounds,
        .m_cost = parameters->memory,
        .lanes = parameters->lanes,
        .threads = 1, // a check keeps to its own thread, however many lanes the string names
        .version = ARGON2_VERSION_13,
        .flags = ARGON2_DEFAULT_FLAGS,
    };
    return argon2_ctx(&context, Argon2_id) == ARGON2_OK;
}

static bool derive_bcrypt(const struct password_parameters *parameters, struct bytes salt,
                          struct bytes password, uint8_t *key)
{
    char text[BCRYPT_SIGNIFICANT + 1];
    size_t length = password.length < BCRYPT_SIGNIFICANT ? password.length : BCRYPT_SIGNIFICANT;
    if (length > 0) {
        memcpy(text, password.data, length);
    }
    text[length] = '\0';
    char setting[32];
    memcpy(setting, salt.data, salt.length);
    setting[salt.length] = '\0';

    struct crypt_data *data = calloc(1, sizeof *data);
    const char *made = data ? crypt_rn(text, setting, data, (int)sizeof *data) : NULL;
    bool done = made && strlen(made) == salt.length + parameters->key_length;
    if (done) {
        memcpy(key, made + salt.length, parameters->key_length);
        // What follows a NUL would not count, so that a longer password would pass for a shorter one.
        if (strlen(text) != length) {
            memset(key, 0, parameters->key_length);
        }
    }
    if (data) {
        OPENSSL_cleanse(data, sizeof *data);
        free(data);
    }
    OPENSSL_cleanse(text, sizeof text);
    return done;
}

static derive_function *const DERIVE[] = {
    [PASSWORD_SCHEME_SHA512] = derive_sha512,
    [PASSWORD_SCHEME_PBKDF2] = derive_pbkdf2,
    [PASSWORD_SCHEME_ARGON2ID] = derive_argon2id,
    [PASSWORD_SCHEME_BCRYPT] = derive_bcrypt,
};

/** Where the key begins in `bytes`. */
static size_t key_offset(const struct password_hash *hash)
{
    return (size_t)hash->parameters.salt_length + hash->parameters.other_salt_length;
}

static size_t hash_size(const struct password_hash *hash)
{
    return sizeof *hash + key_offset(hash) + hash->parameters.key_length;
}

void password_hash_free(struct password_hash *hash)
{
    if (hash) {
        OPENSSL_cleanse(hash, hash_size(hash));
        free(hash);
    }
}

static enum password_match verify_reading(const struct password_hash *hash, struct bytes salt,
                                          struct bytes password)
{
    const struct password_parameters *parameters = &hash->parameters;
    uint8_t key[PASSWORD_KEY_MAX];
    enum password_match match = PASSWORD_FAILED;
    if (DERIVE[parameters->scheme](parameters, salt, password, key)) {
        match = CRYPTO_memcmp(key, hash->bytes + key_offset(hash), parameters->key_length) == 0
                    ? PASSWORD_RIGHT
                    : PASSWORD_WRONG;
    }
    OPENSSL_cleanse(key, sizeof key);
    return match;
}

enum password_match password_hash_verify(const struct password_hash *hash, const void *password,
                                         size_t length)
{
    if (length > INT32_MAX) {
        return PASSWORD_WRONG;
    }
    const struct password_parameters *parameters = &hash->parameters;
    struct bytes given = {password ? password : "", length};
    struct bytes salt = {hash->bytes, parameters->salt_length};
    enum password_match match = verify_reading(hash, salt, given);
    if (match == PASSWORD_WRONG && parameters->other_salt_length > 0) {
        salt = (struct bytes){hash->bytes + parameters->salt_length, parameters->other_salt_length};
        match = verify_reading(hash, salt, given);
    }
    // HMAC fills its key up with zeros, so to PBKDF2 a password and the same one with zeros behind are one.
    if (parameters->scheme == PASSWORD_SCHEME_PBKDF2 && length > 0 &&
        ((const char *)given.data)[length - 1] == '\0')
        return match == PASSWORD_RIGHT ? PASSWORD_WRONG : match;
    return match;
}

uint64_t password_hash_cost(const struct password_hash *hash)
{
    const struct password_parameters *parameters = &hash->parameters;
    // In compressions of SHA-512, roughly: an argon2 block of 1 KiB and a bcrypt round measured against one.
    size_t digest = parameters->sha256 ? SHA256_LENGTH : SHA512_LENGTH;
    switch ((enum password_scheme)parameters->scheme) {
    case PASSWORD_SCHEME_SHA512:
        return 1;
    case PASSWORD_SCHEME_PBKDF2: {
        uint64_t blocks = (parameters->key_length + digest - 1) / digest;
        return 2 * blocks * parameters->rounds * (parameters->other_salt_length > 0 ? 2 : 1);
    }
    case PASSWORD_SCHEME_ARGON2ID:
        return (uint64_t)2 * parameters->memory * parameters->rounds;
    case PASSWORD_SCHEME_BCRYPT:
        return (uint64_t)160 << parameters->rounds;
    }
    return 0;
}

struct password_hash *password_hash_decoy(const struct password_hash *model)
{
    size_t size = hash_size(model);
    struct password_hash *decoy = malloc(size);
    if (!decoy) {
        return NULL;
    }
    memcpy(decoy, model, size);
    // A key nobody knows a password for: with the salt's second reading tried too, every check runs to its
    // end.
    if (RAND_bytes(decoy->bytes + key_offset(decoy), decoy->parameters.key_length) != 1) {
        password_hash_free(decoy);
        return NULL;
    }
    return decoy;
}

static bool make_argon2id(struct bytes password, char *text)
{
    uint8_t salt[MADE_ARGON2_SALT];
    return RAND_bytes(salt, sizeof salt) == 1 &&
           argon2id_hash_encoded(MADE_ARGON2_PASSES, MADE_ARGON2_MEMORY, 1, password.data, password.length,
                                 salt, sizeof salt, MADE_ARGON2_KEY, text,
                                 PASSWORD_HASH_TEXT_MAX) == ARGON2_OK;
}

static bool make_pbkdf2(struct bytes password, char *text)
{
    uint8_t salt[MADE_PBKDF2_SALT];
    uint8_t key[MADE_PBKDF2_KEY];
    if (RAND_bytes(salt, sizeof salt) != 1 ||
        PKCS5_PBKDF2_HMAC(password.data, (int)password.length, salt, sizeof salt, MADE_PBKDF2_ROUNDS,
                          EVP_sha512(), sizeof key, key) != 1) {
        return false;
    }
    int used = snprintf(text, PASSWORD_HASH_TEXT_MAX, "$7$%d$", MADE_PBKDF2_ROUNDS);
    unsigned char *end = (unsigned char *)text + used;
    end += EVP_EncodeBlock(end, salt, sizeof salt);
    *end++ = '$';
    EVP_EncodeBlock(end, key, sizeof key);
    OPENSSL_cleanse(key, sizeof key);
    return true;
}

bool password_hash_make(enum password_algorithm algorithm, const void *password, size_t length,
                        char text[PASSWORD_HASH_TEXT_MAX])
{
    struct bytes given = {password ? password : "", length};
    if (length > INT32_MAX) {
        return false;
    }
    return algorithm == PASSWORD_ARGON2ID ? make_argon2id(given, text) : make_pbkdf2(given, text);
}
