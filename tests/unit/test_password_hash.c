// Stored hashes: strings made by mosquitto_passwd, argon2(1), htpasswd, Python's hashlib and bcrypt, and each
// way to get one wrong.
#include "plugins/file-auth/password_hash.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PASSWORD "correct horse"
#define KEY64    "Oorei7WAq0Ku89VGerVUptUCdhYayRJAt6YxttF7wiwwItrj/1Buq9htNjo6PkVA7w01PY+HiqHwcqfwo/ogYQ=="

static const char *const GOOD[] = {
    // mosquitto_passwd of 2.0.11, and the same by hashlib
    "$6$hgHMPXpBruJTZPUe$"
    "ZWf8DG9B8Sl1XSUSMkCQP+DX3npN5p03xXn/nOjGhh4K+iGhtj4NELItsKYNzJ267O1r3eij6lhDZZHC6atWyg==",
    "$6$AAECAwQFBgcICQoL$"
    "5W8GCQ9GLgmhmQvoa8jmRaPnsh82mRigdSv6mQsK0sMIII/WznlQb1g+RWddfoAKTMzBJP1deJU+Rp/1QZ0zZg==",
    "$7$101$aHAwAIOHVSvjTvjD$"
    "TgpxHzBN8locTbd0P9gYnrOP3LoK/bk5EPZnny4Dsx1Jb0gsBLeTzSZTcKtmWT9gyrLdoL+22ksaYHJHnjrPSQ==",
    // the form of Mosquitto 2.1: 64 bytes of salt
    "$7$1000$QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl9gYWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+fw==$"
    "4MzvBL0i8D/KsjWIcT1q1cGenk4+BJc9Y3HbhNVNOSz/thYNzyLY7YKnv0poq20duzmVsW4arP8JpC/JbqS2iQ==",
    // argon2(1); the last with the parameters of Mosquitto 2.1
    "$argon2id$v=19$m=1024,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$4BnlcpLz5MRq0Izs2E2zIqpIFISeK/m9DFKmAc7uq5Y",
    "$argon2id$v=19$m=1024,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$WJITY5gxX5KURyZUnrsEn/GsI+K1OYFo",
    "$argon2id$v=19$m=47104,t=1,p=1$"
    "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OUFCQ0RFRg$"
    "BJnZvsp4k4eZI4X5FFDCC5HVTAeITR8KkC6IT3MM5Y/4R5dH6zDDZ4d+i1zZOO/u8aBc8J1T7pLjQpaUtTbB9A",
    // go-auth, by hashlib
    "PBKDF2$sha512$1000$yMnKy8zNzs/Q0dLT1NXW1w==$"
    "4xPvOlNzcf4w83OeXLs00cDMTZ/Jcuh8hwgCDBR1y9KhNdPKjKCw1sE1hBb/KcVzJbfBhesdf0dIDnsHZEmvjw==",
    "PBKDF2$sha256$1000$yMnKy8zNzs/Q0dLT1NXW1w==$TwRueOdCB6KCbpfU0/4XAabBqcM+xth4i3zmIlph9+Q=",
    "$pbkdf2-sha512$i=1000,l=64$yMnKy8zNzs/Q0dLT1NXW1w$"
    "4xPvOlNzcf4w83OeXLs00cDMTZ/Jcuh8hwgCDBR1y9KhNdPKjKCw1sE1hBb/KcVzJbfBhesdf0dIDnsHZEmvjw",
    "$pbkdf2-sha256$i=1000,l=32$yMnKy8zNzs/Q0dLT1NXW1w$TwRueOdCB6KCbpfU0/4XAabBqcM+xth4i3zmIlph9+Q",
    "$pbkdf2-sha512$i=10,l=160$yMnKy8zNzs/Q0dLT1NXW1w$"
    "rVG+2NQ8KegVnP4XCtaBGiEWVg+iJpt6Tq6xlmfBLZ++"
    "6L6jGHUQIKobYlPkT0JlXhX0gmfGlmZ280X6bkta2B3ln010iHewjGjcUNoqF9ET"
    "bp3SndK18pG4PR34P/"
    "cnWdMXxyPX42xmfqPEhPsqq2OWVAkgcu9Lytp1VTKvoJSlA+RFdGNpmnAyknpam1ilzCB7Mw7lhXLWdYEICy341Q",
    // mosquitto-auth-plug: the salt field is the salt; the first reads as base64, too
    "PBKDF2$sha256$901$Hj0pqjOxgX2eRHXk$DS7zfMjKxwaD5FCup13svHdByCI9eLd/",
    "PBKDF2$sha512$901$not-base64.salt$KXs5bYSRM+l8PLpn/aUL0DjUsxuubAhLe6CnUCNdF+o=",
    // htpasswd, Python's bcrypt, crypt(3)
    "$2y$05$ww0Ino7PYDax0DU2TjpdL.lyF8dFMjb3pBZWJIb9kGmrj1wKUJ.Fq",
    "$2b$05$ZJ8Ot7g8NoTpMoXHzVvvl.TM13EdZZ5S79YFPAp1tg6pvfOuIHK8W",
    "$2a$05$e4BpBE4p1elA0K0E7YJKvedOpBQTrQG43QGkL9767ZEP3PRRzI/Ui",
    "$2b$05$V8XsB3CmM6Fve2J0aKsUIux3zwaiXVQbjXukSFlDUoXDjN.K7b21K",
};

static struct password_hash *parse(const char *text, enum password_salt salt)
{
    const char *problem = NULL;
    // Exactly the text and no NUL behind it, so that a read past its end is seen.
    size_t length = strlen(text);
    char *copy = malloc(length + !length);
    memcpy(copy, text, length);
    struct password_hash *hash = password_hash_parse(copy, length, salt, &problem);
    free(copy);
    ck_assert_msg(hash != NULL, "%s: %s", text, problem);
    ck_assert_ptr_null(problem);
    return hash;
}

static enum password_match check(const char *text, const void *password, size_t length)
{
    struct password_hash *hash = parse(text, PASSWORD_SALT_AUTO);
    enum password_match match = password_hash_verify(hash, password, length);
    password_hash_free(hash);
    return match;
}

START_TEST(good_string_matches_its_password_only)
{
    const char *text = GOOD[_i];
    ck_assert(password_hash_recognize(text, strlen(text)));
    struct password_hash *hash = parse(text, PASSWORD_SALT_AUTO);
    static const char *const wrong[] = {
        "", "c", "correct hors", "correct horse ", "Correct horse", "correct horsf"};
    ck_assert_int_eq(password_hash_verify(hash, PASSWORD, strlen(PASSWORD)), PASSWORD_RIGHT);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ck_assert_int_eq(password_hash_verify(hash, wrong[i], strlen(wrong[i])), PASSWORD_WRONG);
    }
    // Something has to follow the NUL: HMAC itself does not tell a short key from the same with zeros behind.
    ck_assert_int_eq(password_hash_verify(hash, PASSWORD "\0x", strlen(PASSWORD) + 2), PASSWORD_WRONG);
    ck_assert_int_eq(password_hash_verify(hash, NULL, 0), PASSWORD_WRONG);
    password_hash_free(hash);
}
END_TEST

START_TEST(changed_key_does_not_match)
{
    char *text = strdup(GOOD[_i]);
    size_t at = strlen(text) - 6;
    text[at] = text[at] == 'A' ? 'B' : 'A';
    ck_assert_int_eq(check(text, PASSWORD, strlen(PASSWORD)), PASSWORD_WRONG);
    free(text);
}
END_TEST

START_TEST(decoy_costs_the_same_and_matches_nothing)
{
    struct password_hash *hash = parse(GOOD[_i], PASSWORD_SALT_AUTO);
    struct password_hash *decoy = password_hash_decoy(hash);
    ck_assert_ptr_nonnull(decoy);
    ck_assert_uint_eq(password_hash_cost(decoy), password_hash_cost(hash));
    ck_assert_uint_gt(password_hash_cost(hash), 0);
    ck_assert_int_eq(password_hash_verify(decoy, PASSWORD, strlen(PASSWORD)), PASSWORD_WRONG);
    password_hash_free(hash);
    password_hash_free(decoy);
}
END_TEST

START_TEST(salt_reading_is_as_told)
{
    static const char encoded[] =
        "PBKDF2$sha256$1000$yMnKy8zNzs/Q0dLT1NXW1w==$TwRueOdCB6KCbpfU0/4XAabBqcM+xth4i3zmIlph9+Q=";
    static const char as_text[] = "PBKDF2$sha256$901$Hj0pqjOxgX2eRHXk$DS7zfMjKxwaD5FCup13svHdByCI9eLd/";
    static const struct {
        const char *text;
        enum password_salt salt;
        enum password_match match;
    } cases[] = {
        {encoded, PASSWORD_SALT_BASE64, PASSWORD_RIGHT}, {encoded, PASSWORD_SALT_TEXT, PASSWORD_WRONG},
        {encoded, PASSWORD_SALT_AUTO, PASSWORD_RIGHT},   {as_text, PASSWORD_SALT_BASE64, PASSWORD_WRONG},
        {as_text, PASSWORD_SALT_TEXT, PASSWORD_RIGHT},   {as_text, PASSWORD_SALT_AUTO, PASSWORD_RIGHT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct password_hash *hash = parse(cases[i].text, cases[i].salt);
        ck_assert_int_eq(password_hash_verify(hash, PASSWORD, strlen(PASSWORD)), cases[i].match);
        password_hash_free(hash);
    }
    const char *problem = NULL;
    static const char neither[] =
        "PBKDF2$sha512$901$not-base64.salt$KXs5bYSRM+l8PLpn/aUL0DjUsxuubAhLe6CnUCNdF+o=";
    ck_assert_ptr_null(password_hash_parse(neither, strlen(neither), PASSWORD_SALT_BASE64, &problem));
    ck_assert_str_eq(problem, "the salt is not padded base64");
}
END_TEST

START_TEST(two_readings_cost_twice)
{
    static const char text[] = "PBKDF2$sha256$901$Hj0pqjOxgX2eRHXk$DS7zfMjKxwaD5FCup13svHdByCI9eLd/";
    struct password_hash *both = parse(text, PASSWORD_SALT_AUTO), *one = parse(text, PASSWORD_SALT_TEXT);
    ck_assert_uint_eq(password_hash_cost(both), 2 * password_hash_cost(one));
    password_hash_free(both);
    password_hash_free(one);
}
END_TEST

START_TEST(passwords_are_any_bytes)
{
    ck_assert_int_eq(
        check("$7$101$AAECAwQFBgcICQoL$JcBAibKVgfYEO6LtSwP9Vt4a0BQtjI4K759H8l2zzT3oyUMov3ccajgRxamspxcqH66"
              "HrZ+E4fqoZ5GIi0zQZg==",
              "a\0b", 3),
        PASSWORD_RIGHT);
    ck_assert_int_eq(check("$7$101$AAECAwQFBgcICQoL$" KEY64, "", 0), PASSWORD_RIGHT);
    ck_assert_int_eq(check("$7$101$AAECAwQFBgcICQoL$" KEY64, NULL, 0), PASSWORD_RIGHT);
    char *longest = malloc(65535);
    memset(longest, 'p', 65535);
    static const char of_longest[] =
        "$7$101$AAECAwQFBgcICQoL$rYQ1m3O3SwH3TatmbYx04pxq0oqt++Pksmh0NEv+ymtWc/CyjBCNclFOpvBjk0yP"
        "4d8vGT/oV6gid83ol/B0ow==";
    ck_assert_int_eq(check(of_longest, longest, 65535), PASSWORD_RIGHT);
    ck_assert_int_eq(check(of_longest, longest, 65534), PASSWORD_WRONG);
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
        ck_assert_int_eq(check(GOOD[i], longest, 65535), PASSWORD_WRONG);
    }
    free(longest);
}
END_TEST

START_TEST(bcrypt_reads_72_bytes_and_no_nul)
{
    static const char of_72[] = "$2b$04$VDtvHhn6oTP.uK5tYUD.feKv7Gh5FSTCmc7bF7sb8tmiRLbL6CUrG";
    static const char of_abc[] = "$2b$04$BMZOGgmtcQWJr9QTEts2veXmMnNB1NKPrl6hbEnkiYNfhubVXO/Qi";
    char password[100];
    memset(password, 'x', sizeof password);
    ck_assert_int_eq(check(of_72, password, 71), PASSWORD_WRONG);
    ck_assert_int_eq(check(of_72, password, 72), PASSWORD_RIGHT);
    ck_assert_int_eq(check(of_72, password, 100), PASSWORD_RIGHT);
    ck_assert_int_eq(check(of_abc, "abc", 3), PASSWORD_RIGHT);
    ck_assert_int_eq(check(of_abc, "abc\0def", 7), PASSWORD_WRONG);
    ck_assert_int_eq(check(of_abc, "abc\0", 4), PASSWORD_WRONG);
}
END_TEST

static const struct {
    const char *text;
    const char *problem;
} BAD[] = {
    {"", "not hashed"},
    {"secret", "not hashed"},
    {"$money$", "no known kind"},
    {"$8$x$y", "no known kind"},
    {"$6", "no known kind"},
    {"$5$salt$hash", "not supported"},
    {"$argon2i$v=19$m=1024,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$DvOFzkGfq+KnIJd6iT3E79g7tvGBhMTX1w99hbpDw54",
     "not supported"},
    {"$6$", "salt"},
    {"$6$AAECAwQFBgcICQoL", "hash is not padded base64"},
    {"$6$AAECAwQFBgcICQoL$", "hash is not padded base64"},
    {"$6$$" KEY64, "salt"},
    {"$6$AAECAwQFBgcICQo$" KEY64, "salt is not padded base64"},
    {"$6$AAECAwQF*gcICQoL$" KEY64, "salt is not padded base64"},
    {"$6$AAECAwQFBgcICQoL$" KEY64 "$", "text after"},
    {"$6$AAECAwQFBgcICQoL$" KEY64 "$x", "text after"},
    {"$6$AAECAwQFBgcICQoL$AAECAwQFBgcICQoLAAECAwQFBgcICQoL", "not 64 bytes"},
    {"$6$AAECAwQFBgcICQoL$=AAA", "hash is not padded base64"},
    {"$6$AAECAwQFBgcICQoL$AA=A", "hash is not padded base64"},
    {"$6$AAECAwQFBgcICQoL$====", "hash is not padded base64"},
    // crypt(3), not Mosquitto
    {"$6$ftgYIv3cwQlQymfC$XGkEGHjJ8olGzmvaSPJI318KyErsfVREUnHYGyzIHfkqaAcK8uciJHtqpKN.xoI9e79ehfVMd9KG/"
     "npuKnswe/",
     "hash is not padded base64"},
    {"$7$101", "salt"},
    {"$7$0$AAECAwQFBgcICQoL$" KEY64, "iterations"},
    {"$7$-5$AAECAwQFBgcICQoL$" KEY64, "iterations"},
    {"$7$+5$AAECAwQFBgcICQoL$" KEY64, "iterations"},
    {"$7$$AAECAwQFBgcICQoL$" KEY64, "iterations"},
    {"$7$5000001$AAECAwQFBgcICQoL$" KEY64, "iterations"},
    {"$7$4294967297$AAECAwQFBgcICQoL$" KEY64, "iterations"},
    {"$7$18446744073709551617$AAECAwQFBgcICQoL$" KEY64, "iterations"},
    {"$7$101$AAECAwQFBgcICQoL$AAECAwQFBgcICQoLAAECAwQFBgcICQoL", "not 64 bytes"},
    {"$argon2id$", "version"},
    {"$argon2id$v=16$m=1024,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$4BnlcpLz5MRq0Izs2E2zIqpIFISeK/m9DFKmAc7uq5Y",
     "version"},
    {"$argon2id$m=1024,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$4BnlcpLz5MRq0Izs2E2zIqpIFISeK/m9DFKmAc7uq5Y",
     "version"},
    {"$argon2id$v=19$m=1048577,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$4BnlcpLz5MRq0Izs2E2zIqpIFISeK/m9DFKmAc7uq5Y",
     "memory"},
    {"$argon2id$v=19$m=1048576,t=5,p=1$c29tZXNhbHRzb21lc2FsdA$4BnlcpLz5MRq0Izs2E2zIqpIFISeK/m9DFKmAc7uq5Y",
     "passes"},
    {"$argon2id$v=19$m=1024,t=0,p=1$c29tZXNhbHRzb21lc2FsdA$4BnlcpLz5MRq0Izs2E2zIqpIFISeK/m9DFKmAc7uq5Y",
     "passes"},
    {"$argon2id$v=19$m=1024,t=1,p=65$c29tZXNhbHRzb21lc2FsdA$4BnlcpLz5MRq0Izs2E2zIqpIFISeK/m9DFKmAc7uq5Y",
     "parallelism"},
    {"$argon2id$v=19$m=31,t=1,p=4$c29tZXNhbHRzb21lc2FsdA$4BnlcpLz5MRq0Izs2E2zIqpIFISeK/m9DFKmAc7uq5Y",
     "8 times"},
    {"$argon2id$v=19$t=1,m=1024,p=1$c29tZXNhbHRzb21lc2FsdA$4BnlcpLz5MRq0Izs2E2zIqpIFISeK/m9DFKmAc7uq5Y",
     "memory"},
    {"$argon2id$v=19$m=1024,t=1,p=1,x=1$c29tZXNhbHRzb21lc2FsdA$4BnlcpLz5MRq0Izs2E2zIqpIFISeK/m9DFKmAc7uq5Y",
     "parallelism"},
    {"$argon2id$v=19$m=1024,t=1,p=1$c2hvcnQ$4BnlcpLz5MRq0Izs2E2zIqpIFISeK/m9DFKmAc7uq5Y", "salt is shorter"},
    {"$argon2id$v=19$m=1024,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$c2hvcnQ", "16 to 256"},
    {"$argon2id$v=19$m=1024,t=1,p=1$c29tZXNhbHRzb21lc2FsdA", "hash is not base64"},
    {"PBKDF2$md5$1000$yMnKy8zNzs/Q0dLT1NXW1w==$TwRueOdCB6KCbpfU0/4XAabBqcM+xth4i3zmIlph9+Q=", "digest"},
    {"PBKDF2$sha512", "iterations"},
    {"PBKDF2$sha512$x$yMnKy8zNzs/Q0dLT1NXW1w==$TwRueOdCB6KCbpfU0/4XAabBqcM+xth4i3zmIlph9+Q=", "iterations"},
    {"PBKDF2$sha512$10$$TwRueOdCB6KCbpfU0/4XAabBqcM+xth4i3zmIlph9+Q=", "salt"},
    {"PBKDF2$sha512$10$c2FsdA==$c2hvcnQ=", "16 to 256"},
    {"PBKDF2$sha512$10$c2FsdA==$TwRueOdCB6KCbpfU0/4XAabBqcM+xth4i3zmIlph9+Q", "hash is not padded base64"},
    {"$pbkdf2-sha512$l=64,i=10$c2FsdA$" KEY64, "iterations"},
    {"$pbkdf2-sha512$i=10$c2FsdA$" KEY64, "length"},
    {"$pbkdf2-sha512$i=10,l=32$c2FsdA$" KEY64, "as long as"},
    {"$pbkdf2-sha512$i=10,l=300$c2FsdA$" KEY64, "length"},
    {"$2b$31$ZJ8Ot7g8NoTpMoXHzVvvl.TM13EdZZ5S79YFPAp1tg6pvfOuIHK8W", "cost"},
    {"$2b$18$ZJ8Ot7g8NoTpMoXHzVvvl.TM13EdZZ5S79YFPAp1tg6pvfOuIHK8W", "cost"},
    {"$2b$03$ZJ8Ot7g8NoTpMoXHzVvvl.TM13EdZZ5S79YFPAp1tg6pvfOuIHK8W", "cost"},
    {"$2b$5$ZJ8Ot7g8NoTpMoXHzVvvl.TM13EdZZ5S79YFPAp1tg6pvfOuIHK8Wx", "cost"},
    {"$2b$05", "60 characters"},
    {"$2b$05$ZJ8Ot7g8NoTpMoXHzVvvl.TM13EdZZ5S79YFPAp1tg6pvfOuIHK8", "60 characters"},
    {"$2b$05$ZJ8Ot7g8NoTpMoXHzVvvl.TM13EdZZ5S79YFPAp1tg6pvfOuIHK8WW", "60 characters"},
    {"$2b$05$ZJ8Ot7g8NoTpMoXHzVvvl.TM13EdZZ5S79YFPAp1tg6pvf$uIHK8W", "letters"},
    {"$2x$05$ZJ8Ot7g8NoTpMoXHzVvvl.TM13EdZZ5S79YFPAp1tg6pvfOuIHK8W", "not supported"},
};

START_TEST(bad_string_is_refused_with_its_reason)
{
    const char *problem = NULL;
    const char *text = BAD[_i].text;
    size_t length = strlen(text);
    char *copy = malloc(length + !length);
    memcpy(copy, text, length);
    struct password_hash *hash = password_hash_parse(copy, length, PASSWORD_SALT_AUTO, &problem);
    free(copy);
    ck_assert_msg(hash == NULL, "%s was accepted", text);
    ck_assert_msg(strstr(problem, BAD[_i].problem) != NULL, "%s: \"%s\" does not tell of \"%s\"", text,
                  problem, BAD[_i].problem);
}
END_TEST

/** `$7$1$<salt of that many bytes>$...`, and go-auth's with a key of that many. */
static bool sizes_accepted(size_t salt, size_t key)
{
    char text[2048] = "$pbkdf2-sha512$i=1,l=";
    size_t digits = salt * 4 / 3 + (salt % 3 != 0), key_digits = key * 4 / 3 + (key % 3 != 0);
    char *end = text + strlen(text);
    end += sprintf(end, "%zu$", key);
    memset(end, 'A', digits);
    end += digits;
    *end++ = '$';
    memset(end, 'A', key_digits);
    end[key_digits] = '\0';
    const char *problem = NULL;
    struct password_hash *hash = password_hash_parse(text, strlen(text), PASSWORD_SALT_BASE64, &problem);
    if (hash) {
        ck_assert_int_eq(password_hash_verify(hash, PASSWORD, strlen(PASSWORD)), PASSWORD_WRONG);
    }
    password_hash_free(hash);
    return hash != NULL;
}

START_TEST(salt_and_key_have_bounds)
{
    ck_assert(!sizes_accepted(0, 64));
    ck_assert(sizes_accepted(1, 64));
    ck_assert(sizes_accepted(256, 64));
    ck_assert(!sizes_accepted(257, 64));
    ck_assert(!sizes_accepted(700, 64));
    ck_assert(!sizes_accepted(16, 15));
    ck_assert(sizes_accepted(16, 16));
    ck_assert(sizes_accepted(256, 256));
    ck_assert(!sizes_accepted(16, 257));
    ck_assert(!sizes_accepted(16, 700));
}
END_TEST

START_TEST(made_string_matches_and_is_salted)
{
    static const char *const begins[] = {"$argon2id$v=19$m=19456,t=2,p=1$", "$7$210000$"};
    char first[PASSWORD_HASH_TEXT_MAX], second[PASSWORD_HASH_TEXT_MAX];
    enum password_algorithm algorithm = (enum password_algorithm)_i;
    ck_assert(password_hash_make(algorithm, PASSWORD, strlen(PASSWORD), first));
    ck_assert(password_hash_make(algorithm, PASSWORD, strlen(PASSWORD), second));
    ck_assert_str_ne(first, second);
    ck_assert_int_eq(strncmp(first, begins[_i], strlen(begins[_i])), 0);
    ck_assert_int_eq(check(first, PASSWORD, strlen(PASSWORD)), PASSWORD_RIGHT);
    ck_assert_int_eq(check(second, PASSWORD, strlen(PASSWORD)), PASSWORD_RIGHT);
    ck_assert_int_eq(check(first, "other", 5), PASSWORD_WRONG);
}
END_TEST

START_TEST(known_kinds_are_recognized)
{
    static const char *const known[] = {
        "$6$", "$7$x", "$argon2id$", "$argon2i$", "PBKDF2$", "$pbkdf2-sha512$", "$2b$", "$y$"};
    static const char *const plain[] = {"", "$", "$6", "secret", "PBKDF2", "$money$", "pass$6$"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        ck_assert_msg(password_hash_recognize(known[i], strlen(known[i])), "%s", known[i]);
    }
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        ck_assert_msg(!password_hash_recognize(plain[i], strlen(plain[i])), "%s", plain[i]);
    }
}
END_TEST

static Suite *hash_suite(void)
{
    Suite *suite = suite_create("password_hash");
    TCase *test = tcase_create("hash");
    const int good = sizeof GOOD / sizeof *GOOD, bad = sizeof BAD / sizeof *BAD;
    tcase_set_timeout(test, 60);
    tcase_add_loop_test(test, good_string_matches_its_password_only, 0, good);
    tcase_add_loop_test(test, changed_key_does_not_match, 0, good);
    tcase_add_loop_test(test, decoy_costs_the_same_and_matches_nothing, 0, good);
    tcase_add_test(test, salt_reading_is_as_told);
    tcase_add_test(test, two_readings_cost_twice);
    tcase_add_test(test, passwords_are_any_bytes);
    tcase_add_test(test, bcrypt_reads_72_bytes_and_no_nul);
    tcase_add_loop_test(test, bad_string_is_refused_with_its_reason, 0, bad);
    tcase_add_test(test, salt_and_key_have_bounds);
    tcase_add_loop_test(test, made_string_matches_and_is_salted, PASSWORD_ARGON2ID,
                        PASSWORD_PBKDF2_SHA512 + 1);
    tcase_add_test(test, known_kinds_are_recognized);
    suite_add_tcase(suite, test);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(hash_suite());
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
