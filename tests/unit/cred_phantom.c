/* cred_phantom.c - phantoms: what they depend on, their shape, and that they can't be taken for
 * a live key. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cred/cred.h"

static const char base62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static struct eg_vault *vault;
static struct eg_secret *key, *other;

static void enter(void)
{
    cr_assert_geq(sodium_init(), 0);
    cr_assert_eq(eg_vault_new(&vault, 4096, false, NULL, NULL), EG_OK);
    cr_assert_eq(eg_secret_new(vault, "0123456789abcdef0123456789abcdef", 32, &key, NULL), EG_OK);
    cr_assert_eq(eg_secret_new(vault, "0123456789abcdef0123456789abcdeg", 32, &other, NULL), EG_OK);
}

static void leave(void)
{
    eg_vault_free(vault);
}

#define PHANTOM(name) Test(cred, phantom_##name, .init = enter, .fini = leave)

static void make(const struct eg_secret *k, const char *service, const char *prefix, size_t length,
                 char *out)
{
    cr_assert_eq(eg_phantom_make(k, eg_slice_str(service), eg_slice_str(prefix), length, out),
                 EG_OK);
}

PHANTOM(is_a_function_of_session_and_service)
{
    char a[EG_PHANTOM_MAX + 1], b[EG_PHANTOM_MAX + 1];
    make(key, "openai", "sk-", 51, a);
    make(key, "openai", "sk-", 51, b);
    cr_expect_str_eq(a, b);
    make(other, "openai", "sk-", 51, b);
    cr_expect_str_neq(a, b, "another session");
    make(key, "openaj", "sk-", 51, b);
    cr_expect_str_neq(a, b, "another service");
    make(key, "", "sk-", 51, b);
    cr_expect_str_neq(a, b);
}

/* Pins the construction: running children hold phantoms across a restart of a worker. */
PHANTOM(has_not_changed)
{
    char a[EG_PHANTOM_MAX + 1];
    unsigned char block[64], message[16 + 4 + 6] = "egress phantom 1";
    memcpy(message + 20, "openai", 6);
    crypto_generichash(block, 64, message, sizeof message,
                       (const unsigned char *)"0123456789abcdef0123456789abcdef", 32);
    make(key, "openai", "sk-", 0, a);
    for (size_t i = 0, at = 0; i < 18; at++) { /* up to the character that is kept from being low */
        if (block[at] >= 248)
            continue;
        cr_expect_eq(a[3 + i], base62[block[at] % 62], "character %zu", i);
        i++;
    }
}

PHANTOM(has_prefix_length_and_alphabet)
{
    char p[EG_PHANTOM_MAX + 1];
    static const struct {
        const char *prefix;
        size_t length, want;
    } rows[] = {
        { "sk-", 51, 51 },  { "sk-ant-api03-", 108, 108 },  { "ghp_", 40, 40 }, { "", 0, 24 },
        { "", 24, 24 },     { "", 25, 25 },                 { "xoxb-", 10, 29 }, { "sk-", 27, 27 },
        { "sk-", 26, 27 },  { "", 512, 512 },               { "", 513, 512 },
        { "sk-", SIZE_MAX, 512 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        memset(p, 0x7f, sizeof p);
        make(key, "svc", rows[i].prefix, rows[i].length, p);
        cr_expect_eq(strlen(p), rows[i].want, "row %zu", i);
        size_t n = strlen(rows[i].prefix);
        cr_expect_eq(strncmp(p, rows[i].prefix, n), 0);
        cr_expect_eq(strspn(p + n, base62), rows[i].want - n);
    }
}

PHANTOM(refuses_prefixes_and_keys)
{
    char p[EG_PHANTOM_MAX + 1] = "as it was", prefix[EG_PHANTOM_MAX];
    struct eg_secret *k = NULL;
    memset(prefix, 'p', sizeof prefix);
    cr_expect_eq(eg_phantom_make(key, EG_SLICE("s"), eg_slice(prefix, 489), 0, p), EG_INVALID);
    static const char *const bad[] = { "a b", "a\r\n", "\x7f", "\x80", "\t" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_eq(eg_phantom_make(key, EG_SLICE("s"), eg_slice_str(bad[i]), 0, p), EG_INVALID);
    cr_expect_eq(eg_phantom_make(key, EG_SLICE("s"), EG_SLICE("\0"), 0, p), EG_INVALID);
    cr_assert_eq(eg_secret_random(vault, 15, &k, NULL), EG_OK);
    cr_expect_eq(eg_phantom_make(k, EG_SLICE("s"), EG_SLICE_NONE, 0, p), EG_INVALID);
    eg_secret_free(k);
    cr_assert_eq(eg_secret_random(vault, 65, &k, NULL), EG_OK);
    cr_expect_eq(eg_phantom_make(k, EG_SLICE("s"), EG_SLICE_NONE, 0, p), EG_INVALID);
    eg_secret_free(k);
    cr_expect_str_eq(p, "as it was");
    cr_expect_eq(eg_phantom_make(key, EG_SLICE("s"), eg_slice(prefix, 488), 0, p), EG_OK);
    cr_expect_eq(strlen(p), 512);
    cr_assert_eq(eg_secret_random(vault, 64, &k, NULL), EG_OK);
    cr_expect_eq(eg_phantom_make(k, EG_SLICE("s"), EG_SLICE_NONE, 0, p), EG_OK);
}

static uint32_t crc32_of(const char *p, size_t n)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        crc ^= (unsigned char)p[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (UINT32_C(0xedb88320) & -(crc & 1));
    }
    return ~crc;
}

static void checksum(uint32_t crc, const char *alphabet, char out[7])
{
    for (int i = 5; i >= 0; i--, crc /= 62)
        out[i] = alphabet[crc % 62];
    out[6] = '\0';
}

/* GitHub's and npm's tokens end in six digits of base 62 with the CRC-32 of what is before them. */
PHANTOM(fails_every_crc_checksum)
{
    static const char *const alphabets[] = {
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
    };
    for (size_t a = 0; a < 4; a++) { /* no CRC has a first digit above the fourth */
        char most[7];
        checksum(UINT32_MAX, alphabets[a], most);
        cr_assert_eq(most[0], alphabets[a][4]);
    }
    char p[EG_PHANTOM_MAX + 1], service[16], sum[7];
    for (unsigned i = 0; i < 3000; i++) {
        snprintf(service, sizeof service, "s%u", i);
        make(key, service, "ghp_", 40, p);
        for (size_t a = 0; a < 4; a++) {
            cr_assert_geq(strchr(alphabets[a], p[34]) - alphabets[a], 5);
            checksum(crc32_of(p + 4, 30), alphabets[a], sum);
            cr_assert_str_neq(p + 34, sum);
            checksum(crc32_of(p, 34), alphabets[a], sum);
            cr_assert_str_neq(p + 34, sum);
        }
    }
}

PHANTOM(characters_are_even)
{
    unsigned seen[128] = { 0 };
    char p[EG_PHANTOM_MAX + 1], service[16];
    for (unsigned i = 0; i < 200; i++) {
        snprintf(service, sizeof service, "s%u", i);
        make(key, service, "", 512, p);
        for (size_t k = 0; k < 500; k++)
            seen[(unsigned char)p[k]]++;
    }
    for (const char *c = base62; *c; c++)
        cr_expect(seen[(unsigned char)*c] > 1400 && seen[(unsigned char)*c] < 1830,
                  "%c: %u of 1613 (40 a deviation)", *c, seen[(unsigned char)*c]);
}
