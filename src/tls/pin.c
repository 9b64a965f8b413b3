/* pin.c - pinned keys: is the leaf's public key one of those that the policy names? A pin is the SHA-256 of the certificate's
 * SubjectPublicKeyInfo. Where no CA is given beside it, the pin stands for the chain: whoever signed does not matter, and name and dates
 * of the leaf are still looked at.
 * Invariant: nothing but the bytes of the leaf that the handshake proved possession of is hashed. */
#include <sodium.h>

#include "tls/wolf.h"

bool eg_tls_pin_read(struct eg_slice text, unsigned char pin[EG_TLS_PIN])
{
    size_t n = 0;
    if (eg_slice_starts(text, EG_SLICE("sha256/")))
        text = eg_slice_from(text, sizeof "sha256/" - 1);
    return sodium_base642bin(pin, EG_TLS_PIN, text.p, text.n, NULL, &n, NULL,
                             sodium_base64_VARIANT_ORIGINAL) == 0 &&
           n == EG_TLS_PIN;
}

/* One DER element (X.690 section 8.1) at the front of *in, taken off it: the whole of it, and what is in it. Lengths of up to 3 bytes. */
static bool element(struct eg_slice *in, unsigned char tag, struct eg_slice *whole,
                    struct eg_slice *content)
{
    const unsigned char *p = (const unsigned char *)in->p;
    if (in->n < 2 || p[0] != tag)
        return false;
    size_t head = 2, n = p[1];
    if (n >= 0x80) {
        size_t bytes = n - 0x80;
        if (bytes == 0 || bytes > 3 || in->n < head + bytes)
            return false;
        n = 0;
        for (size_t i = 0; i < bytes; i++)
            n = n << 8 | p[head + i];
        head += bytes;
    }
    if (n > in->n - head)
        return false;
    *whole = eg_slice(in->p, head + n);
    *content = eg_slice(in->p + head, n);
    *in = eg_slice_from(*in, head + n);
    return true;
}

/* RFC 5280 section 4.1: the seventh member of the TBSCertificate, or the sixth where there is no version. */
static bool key_info(struct eg_slice der, struct eg_slice *ret)
{
    enum { INTEGER = 0x02, SEQUENCE = 0x30, VERSION = 0xa0 };
    static const unsigned char members[] = { INTEGER /* serialNumber */, SEQUENCE /* signature */,
                                             SEQUENCE /* issuer */, SEQUENCE /* validity */,
                                             SEQUENCE /* subject */ };
    struct eg_slice whole, rest;
    if (!element(&der, SEQUENCE, &whole, &rest) || !element(&rest, SEQUENCE, &whole, &der))
        return false;
    (void)element(&der, VERSION, &whole, &rest);
    for (size_t i = 0; i < sizeof members; i++)
        if (!element(&der, members[i], &whole, &rest))
            return false;
    return element(&der, SEQUENCE, ret, &rest);
}

bool eg_tls_pin_holds(const struct eg_tls_ctx *c, struct eg_slice der)
{
    unsigned char hash[EG_TLS_PIN];
    struct eg_slice info;
    if (!key_info(der, &info))
        return false;
    crypto_hash_sha256(hash, (const unsigned char *)info.p, info.n);
    for (unsigned i = 0; i < c->pin_count; i++)
        if (memcmp(hash, c->pins[i], sizeof hash) == 0)
            return true;
    return false;
}

/* Builds with OpenSSL's names give its numbers, others wolfSSL's own. */
static bool nobody_vouches(int error)
{
    enum { SELF_SIGNED = 18, SELF_SIGNED_IN_CHAIN, NO_ISSUER, NO_ISSUER_OF_LEAF };
    return error == ASN_NO_SIGNER_E || error == ASN_SELF_SIGNED_E ||
           (error >= SELF_SIGNED && error <= NO_ISSUER_OF_LEAF);
}

/* wolfSSL asks of each certificate, from the top of the chain to the leaf, and again where one is wrong. What it says of those above the leaf
 * does not matter, and of the leaf only that nobody vouches for it. */
static int vouch(int good, WOLFSSL_X509_STORE_CTX *store)
{
    const struct eg_tls_ctx *c = store->userCtx;
    if (!c || store->totalCerts < 1 ||
        !eg_tls_pin_holds(c,
                          eg_slice((const char *)store->certs[0].buffer, store->certs[0].length)))
        return 0; /* here too, so that a stranger is shown no certificate of ours */
    return good || store->error_depth > 0 || nobody_vouches(store->error);
}

void eg_tls_pin_alone(struct eg_tls_ctx *c)
{
    wolfSSL_CTX_set_verify(c->wolf, WOLFSSL_VERIFY_PEER, vouch);
    wolfSSL_CTX_SetCertCbCtx(c->wolf, c);
}

/* Not before, not after, now. */
static bool is_valid_now(WOLFSSL_X509 *cert)
{
    time_t now = time(NULL);
    WOLFSSL_ASN1_TIME *from = wolfSSL_X509_get_notBefore(cert);
    WOLFSSL_ASN1_TIME *to = wolfSSL_X509_get_notAfter(cert);
    return from && to && wolfSSL_X509_cmp_time(from, &now) < 0 &&
           wolfSSL_X509_cmp_time(to, &now) > 0;
}

enum eg_status eg_tls_pin_check(const struct eg_tls_ctx *c, WOLFSSL_X509 *cert, struct eg_err *err)
{
    int n = 0;
    const unsigned char *der = wolfSSL_X509_get_der(cert, &n);
    if (!der || n <= 0 || !eg_tls_pin_holds(c, eg_slice((const char *)der, (size_t)n)))
        return eg_err_set(err, EG_TLS_UNTRUSTED, "tls", 0, "the certificate's key is not pinned");
    if (c->loaded == 0 && !is_valid_now(cert)) /* else the chain's check has seen to it */
        return eg_err_set(err, EG_TLS_EXPIRED, "tls", 0, "the certificate is not valid now");
    return EG_OK;
}
