/* AES-GCM through libipsec-mb: what it seals wolfSSL opens, and the reverse, for every length around its strides; what was changed is
 * refused; TLS over memory takes AES-128-GCM first with it and ChaCha20 without. Where the library is missing, that is said. */
#include <criterion/criterion.h>

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "support/duo.h"
#include "support/flaky.h"
#include "support/pki.h"
#include "stream/stream.h"
#include "tls/aead.h"
#include "tls/context.h"
#include "tls/wolf.h"

#include <wolfssl/wolfcrypt/aes.h>

enum { MOST = 16384 + 64 };

/* false: it can't be had here, which is no failure of ours. */
static bool hasten(void)
{
    struct eg_err err = { 0 };
    cr_assert(sodium_init() >= 0);
    cr_assert_eq(eg_tls_start(NULL), EG_OK);
    cr_assert(eg_tls_hasten(NULL) != EG_OK || eg_aead_find() == NULL, "it mapped a library itself");
    eg_tls_load();
    enum eg_status r = eg_tls_hasten(&err);
    cr_assert(r == EG_OK || r == EG_NOT_SUPPORTED, "%s", err.text);
    cr_assert(r == EG_OK || *err.text, "no reason is given");
    cr_assert(r == EG_OK || !eg_aead_find());
    return r == EG_OK && eg_aead_find();
}

static int work(bool seal, int device, size_t key_n, const unsigned char *key, unsigned char *out,
                const unsigned char *in, size_t n, size_t aad_n, unsigned char tag[16])
{
    static const unsigned char iv[12] = "nonce nonce", aad[16] = "additional data";
    Aes aes;
    cr_assert_eq(wc_AesInit(&aes, NULL, device), 0);
    cr_assert_eq(wc_AesGcmSetKey(&aes, key, (word32)key_n), 0);
    int r = seal ? wc_AesGcmEncrypt(&aes, out, in, (word32)n, iv, 12, tag, 16, aad, (word32)aad_n)
                 : wc_AesGcmDecrypt(&aes, out, in, (word32)n, iv, 12, tag, 16, aad, (word32)aad_n);
    wc_AesFree(&aes);
    return r;
}

static void both_ways(size_t key_n, size_t n, size_t aad_n)
{
    static unsigned char text[MOST], sealed[MOST], other[MOST];
    unsigned char key[32], tag[16], other_tag[16];
    randombytes_buf(key, sizeof key);
    randombytes_buf(text, n);
    cr_assert_eq(work(true, INVALID_DEVID, key_n, key, sealed, text, n, aad_n, tag), 0);
    cr_assert_eq(work(true, EG_AEAD_DEVICE, key_n, key, other, text, n, aad_n, other_tag), 0);
    cr_assert(memcmp(sealed, other, n) == 0 && memcmp(tag, other_tag, 16) == 0, "%zu bytes", n);
    cr_assert_eq(work(false, EG_AEAD_DEVICE, key_n, key, other, other, n, aad_n, tag), 0);
    cr_assert(memcmp(other, text, n) == 0, "%zu bytes, in place", n);
    tag[n % 16] ^= 0x10;
    cr_assert_eq(work(false, EG_AEAD_DEVICE, key_n, key, other, sealed, n, aad_n, tag),
                 AES_GCM_AUTH_E, "a changed tag, %zu bytes", n);
    for (size_t i = 0; i < n; i++)
        cr_assert_eq(other[i], 0, "text that is not authentic is left behind");
}

Test(tls, aead_seals_and_opens_as_wolfssl_does)
{
    if (!hasten())
        return;
    for (size_t n = 1; n <= 300; n++) {
        both_ways(16, n, 5);
        both_ways(32, n, 13);
    }
    for (size_t n = 700; n <= MOST; n += 1307) {
        both_ways(16, n, 13);
        both_ways(32, n, 5);
    }
    both_ways(16, 16384 + 1, 5); /* the most of TLS 1.3: a record and its type */
    both_ways(32, 16384 + 1, 5);
    cr_assert_eq(eg_tls_hasten(NULL), EG_OK, "twice");
    eg_tls_stop();
}

Test(tls, aead_leaves_other_lengths_to_wolfssl)
{
    static const unsigned char key[32] = "a key of no use at all, 32 bytes";
    unsigned char tag[16], none[1] = { 0 };
    if (!hasten())
        return;
    cr_assert_eq(work(true, EG_AEAD_DEVICE, 24, key, none, none, 1, 5, tag), 0, "AES-192");
    cr_assert_eq(work(true, EG_AEAD_DEVICE, 16, key, none, none, 0, 5, tag), 0, "no text");
    cr_assert_eq(work(false, EG_AEAD_DEVICE, 16, key, none, none, 0, 5, tag), 0, "no text");
    eg_tls_stop();
}

Test(tls, aead_is_found_only_between_start_and_stop)
{
    bool had = hasten();
    eg_tls_stop();
    cr_assert_eq(eg_tls_start(NULL), EG_OK);
    cr_assert_null(eg_aead_find());
    cr_assert_eq(eg_tls_hasten(NULL) == EG_OK && eg_aead_find(), had, "and again");
    eg_tls_stop();
}

/* The suite that two ends of ours agree on; a text of several records crosses. */
static void agree(bool only_tls12, const char *suite)
{
    const char *names[] = { "api.example.test", NULL };
    struct eg_authority name;
    struct eg_stream *a = NULL, *b = NULL;
    struct eg_tls_ctx *client = NULL, *server = NULL;
    struct pki_leaf leaf;
    struct pki_ca *ca = pki_ca_new("suite test CA");
    cr_assert(ca && pki_issue(ca, &(struct pki_request){ .names = names }, &leaf));
    struct eg_tls_server_config sc = { .cert_pem = eg_slice_str(leaf.cert_pem),
                                       .key_pem = eg_slice_str(leaf.key_pem),
                                       .only_tls12 = only_tls12 };
    struct eg_tls_client_config cc = { .ca_pem = { eg_slice_str(pki_ca_pem(ca)) } };
    cr_assert_eq(eg_tls_server_ctx(&sc, &server, NULL), EG_OK);
    cr_assert_eq(eg_tls_client_ctx(&cc, &client, NULL), EG_OK);
    cr_assert_eq(eg_host_parse(eg_slice_str(names[0]), &name, NULL), EG_OK);
    cr_assert_eq(eg_stream_mem(20000, &a, &b), EG_OK);
    cr_assert_eq(eg_stream_tls(a, client, &name, EG_SLICE(""), &a, NULL), EG_OK);
    cr_assert_eq(eg_stream_tls_server(b, server, &b, NULL), EG_OK);
    struct duo_result r = duo_connect(a, b);
    cr_assert(r.a == EG_OK && r.b == EG_OK, "%d %d", r.a, r.b);
    cr_assert_str_eq(eg_stream_tls_suite(a), suite);
    cr_assert_eq(duo_copy_both(a, b, 100000, 7), EG_OK);
    eg_stream_free(a);
    eg_stream_free(b);
    eg_tls_ctx_unref(client);
    eg_tls_ctx_unref(server);
    pki_ca_free(ca);
}

Test(tls, aead_decides_which_suite_is_first)
{
    cr_assert_eq(eg_tls_start(NULL), EG_OK);
    agree(false, "TLS13-CHACHA20-POLY1305-SHA256");
    agree(true, "ECDHE-ECDSA-CHACHA20-POLY1305");
    eg_tls_stop();
    if (!hasten())
        return;
    agree(false, "TLS13-AES128-GCM-SHA256");
    agree(true, "ECDHE-ECDSA-AES128-GCM-SHA256");
    eg_tls_stop();
}

/* KiB of it in this process' memory. */
static unsigned long resident(const char *library)
{
    char line[512];
    unsigned long sum = 0, kib;
    bool of_it = false;
    FILE *f = fopen("/proc/self/smaps", "re");
    cr_assert_not_null(f);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "%*x-%*x %*s %*s %*s %lu", &kib) == 1)
            of_it = strstr(line, library);
        else if (of_it && sscanf(line, "Rss: %lu kB", &kib) == 1)
            sum += kib;
    fclose(f);
    return sum;
}

Test(tls, aead_keeps_no_code_in_memory_that_nobody_calls)
{
    if (!hasten())
        cr_skip_test("libipsec-mb can't be used here");
    unsigned long kib = resident("libIPSec_MB");
    cr_assert(kib > 0 && kib < 1024, "%lu KiB", kib); /* 3,680 with what it did to try itself out */
    both_ways(16, 1999, 13); /* and what is called is there */
    both_ways(32, 16384, 5);
    eg_tls_stop();
}
