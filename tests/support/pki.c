/* pki.c - certificates for tests. The DER is written here and only signed by wolfCrypt, whose own writer in 5.5.4 can't mark
 * basicConstraints critical, which strict verifiers refuse. Not for production: no serial is checked for being unique.
 * DER is built backwards: contents first, then the length that is known by then. */
#include "support/pki.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/random.h>
#include <wolfssl/wolfcrypt/sha256.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/uri.h"

enum { DER_MAX = 3000, POINT = 65, KEY_ID = 20, DAY = 86400 };
enum {
    T_BOOL = 1,
    T_INT = 2,
    T_BITS = 3,
    T_OCTETS = 4,
    T_OID = 6,
    T_UTF8 = 12,
    T_UTCTIME = 23,
    T_SEQ = 0x30,
    T_SET = 0x31
};

struct der {
    unsigned char b[DER_MAX];
    size_t at; /* of the first byte; DER_MAX = empty */
    bool full;
};

struct pki_ca {
    WC_RNG rng;
    ecc_key key;
    bool rng_made, key_made;
    unsigned char point[POINT];
    char name[64];
    char pem[PKI_PEM];
};

static void der_bytes(struct der *d, const void *p, size_t n)
{
    if (n > d->at) {
        d->full = true;
        return;
    }
    d->at -= n;
    memcpy(d->b + d->at, p, n);
}

/* What was put since mark becomes the contents of one element. */
static void der_wrap(struct der *d, unsigned char tag, size_t mark)
{
    size_t n = mark - d->at;
    unsigned char head[4] = { tag, (unsigned char)n };
    size_t len = 2;
    if (n > 255) {
        head[1] = 0x82;
        head[2] = (unsigned char)(n >> 8);
        head[3] = (unsigned char)n;
        len = 4;
    } else if (n > 127) {
        head[1] = 0x81;
        head[2] = (unsigned char)n;
        len = 3;
    }
    der_bytes(d, head, len);
}

static void der_put(struct der *d, unsigned char tag, const void *p, size_t n)
{
    size_t mark = d->at;
    der_bytes(d, p, n);
    der_wrap(d, tag, mark);
}

static const unsigned char oid_ecdsa_sha256[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2 };
static const unsigned char oid_ec_key[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1 };
static const unsigned char oid_p256[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7 };
static const unsigned char oid_cn[] = { 0x55, 4, 3 };
static const unsigned char oid_server_auth[] = { 0x2b, 6, 1, 5, 5, 7, 3, 1 };
static const unsigned char oid_client_auth[] = { 0x2b, 6, 1, 5, 5, 7, 3, 2 };

static void der_name(struct der *d, const char *common_name)
{
    size_t all = d->at;
    der_put(d, T_UTF8, common_name, strlen(common_name));
    der_put(d, T_OID, oid_cn, sizeof oid_cn);
    der_wrap(d, T_SEQ, all);
    der_wrap(d, T_SET, all);
    der_wrap(d, T_SEQ, all);
}

static void der_time(struct der *d, time_t at)
{
    struct tm tm;
    char text[32];
    gmtime_r(&at, &tm);
    size_t n = strftime(text, sizeof text, "%Y%m%d%H%M%SZ", &tm);
    der_put(d, T_UTCTIME, text + 2, n - 2); /* without the century */
}

static void der_key(struct der *d, const unsigned char *point)
{
    size_t all = d->at;
    der_bytes(d, point, POINT);
    der_bytes(d, "\0", 1); /* no unused bits */
    der_wrap(d, T_BITS, all);
    size_t algorithm = d->at;
    der_put(d, T_OID, oid_p256, sizeof oid_p256);
    der_put(d, T_OID, oid_ec_key, sizeof oid_ec_key);
    der_wrap(d, T_SEQ, algorithm);
    der_wrap(d, T_SEQ, all);
}

static void der_algorithm(struct der *d)
{
    size_t mark = d->at;
    der_put(d, T_OID, oid_ecdsa_sha256, sizeof oid_ecdsa_sha256);
    der_wrap(d, T_SEQ, mark);
}

/* Closes an extension (2.5.29.id) whose value was put since mark. */
static void der_extension(struct der *d, unsigned char id, bool critical, size_t mark)
{
    unsigned char oid[] = { 0x55, 0x1d, id };
    der_wrap(d, T_OCTETS, mark);
    if (critical)
        der_put(d, T_BOOL, "\xff", 1);
    der_put(d, T_OID, oid, sizeof oid);
    der_wrap(d, T_SEQ, mark);
}

static void key_id(const unsigned char *point, unsigned char id[KEY_ID])
{
    unsigned char hash[WC_SHA256_DIGEST_SIZE];
    wc_Sha256Hash(point, POINT, hash);
    memcpy(id, hash, KEY_ID);
}

static void der_key_ids(struct der *d, const unsigned char *own, const unsigned char *issuer)
{
    unsigned char id[KEY_ID];
    size_t mark = d->at;
    key_id(issuer, id);
    der_put(d, 0x80, id, KEY_ID);
    der_wrap(d, T_SEQ, mark);
    der_extension(d, 35, false, mark); /* authorityKeyIdentifier */
    mark = d->at;
    key_id(own, id);
    der_put(d, T_OCTETS, id, KEY_ID);
    der_extension(d, 14, false, mark); /* subjectKeyIdentifier */
}

static void der_names(struct der *d, const struct pki_request *q)
{
    size_t mark = d->at;
    size_t n = 0;
    while (q->names[n])
        n++;
    while (n-- > 0) {
        struct eg_addr addr;
        struct eg_slice name = eg_slice_str(q->names[n]);
        if (!q->address_as_dns && eg_addr_parse(name, &addr))
            der_put(d, 0x87, addr.b, addr.family == 4 ? 4 : 16);
        else if (strstr(q->names[n], "://"))
            der_put(d, 0x86, name.p, name.n);
        else
            der_put(d, 0x82, name.p, name.n);
    }
    der_wrap(d, T_SEQ, mark);
    der_extension(d, 17, false, mark);
}

static void der_leaf_extensions(struct der *d, const struct pki_request *q)
{
    if (q->names)
        der_names(d, q);
    size_t mark = d->at;
    der_put(d, T_OID, q->client ? oid_client_auth : oid_server_auth, sizeof oid_server_auth);
    der_wrap(d, T_SEQ, mark);
    der_extension(d, 37, false, mark); /* extKeyUsage */
    mark = d->at;
    der_put(d, T_BITS, "\x07\x80", 2); /* digitalSignature */
    der_extension(d, 15, true, mark);
    mark = d->at;
    der_wrap(d, T_SEQ, mark); /* basicConstraints: not a CA */
    der_extension(d, 19, true, mark);
}

static void der_ca_extensions(struct der *d)
{
    size_t mark = d->at;
    der_put(d, T_BITS, "\x01\x06", 2); /* keyCertSign, cRLSign */
    der_extension(d, 15, true, mark);
    mark = d->at;
    der_put(d, T_BOOL, "\xff", 1);
    der_wrap(d, T_SEQ, mark);
    der_extension(d, 19, true, mark);
}

/* q NULL: the CA's own certificate. */
static void der_tbs(struct der *d, struct pki_ca *ca, const struct pki_request *q,
                    const unsigned char *point, const char *subject)
{
    size_t all = d->at;
    time_t now = time(NULL);
    bool dated = q && (q->from_days || q->to_days);
    der_key_ids(d, point, ca->point);
    if (q)
        der_leaf_extensions(d, q);
    else
        der_ca_extensions(d);
    der_wrap(d, T_SEQ, all);
    der_wrap(d, 0xa3, all);
    der_key(d, point);
    der_name(d, subject);
    size_t mark = d->at;
    der_time(d, now + (dated ? q->to_days : 30) * DAY);
    der_time(d, now + (dated ? q->from_days : -1) * DAY);
    der_wrap(d, T_SEQ, mark);
    der_name(d, ca->name);
    der_algorithm(d);
    unsigned char serial[9] = { 1 };
    wc_RNG_GenerateBlock(&ca->rng, serial + 1, sizeof serial - 1);
    der_put(d, T_INT, serial, sizeof serial);
    mark = d->at;
    der_put(d, T_INT, "\x02", 1); /* version 3 */
    der_wrap(d, 0xa0, mark);
    der_wrap(d, T_SEQ, all);
}

static bool to_pem(const unsigned char *der, size_t n, char *out, int type)
{
    int len = wc_DerToPem(der, (word32)n, (byte *)out, PKI_PEM - 1, type);
    if (len <= 0)
        return false;
    out[len] = '\0';
    return true;
}

static bool make_certificate(struct pki_ca *ca, const struct pki_request *q,
                             const unsigned char *point, const char *subject, char *pem)
{
    struct der tbs = { .at = DER_MAX };
    struct der all = { .at = DER_MAX };
    unsigned char hash[WC_SHA256_DIGEST_SIZE];
    unsigned char sig[ECC_MAX_SIG_SIZE];
    word32 sig_len = sizeof sig;
    der_tbs(&tbs, ca, q, point, subject);
    size_t tbs_len = DER_MAX - tbs.at;
    if (tbs.full || wc_Sha256Hash(tbs.b + tbs.at, (word32)tbs_len, hash) != 0 ||
        wc_ecc_sign_hash(hash, sizeof hash, sig, &sig_len, &ca->rng, &ca->key) != 0)
        return false;
    der_bytes(&all, sig, sig_len);
    der_bytes(&all, "\0", 1);
    der_wrap(&all, T_BITS, DER_MAX);
    der_algorithm(&all);
    der_bytes(&all, tbs.b + tbs.at, tbs_len);
    der_wrap(&all, T_SEQ, DER_MAX);
    return !all.full && to_pem(all.b + all.at, DER_MAX - all.at, pem, CERT_TYPE);
}

static bool make_key(WC_RNG *rng, ecc_key *key, unsigned char *point)
{
    word32 n = POINT;
    return wc_ecc_make_key_ex(rng, 32, key, ECC_SECP256R1) == 0 &&
           wc_ecc_export_x963(key, point, &n) == 0 && n == POINT;
}

struct pki_ca *pki_ca_new(const char *common_name)
{
    struct pki_ca *ca = calloc(1, sizeof *ca);
    if (!ca || strlen(common_name) >= sizeof ca->name)
        goto fail;
    memcpy(ca->name, common_name, strlen(common_name) + 1);
    ca->rng_made = wc_InitRng(&ca->rng) == 0;
    ca->key_made = wc_ecc_init(&ca->key) == 0;
    if (!ca->rng_made || !ca->key_made || !make_key(&ca->rng, &ca->key, ca->point))
        goto fail;
    wc_ecc_set_rng(&ca->key, &ca->rng);
    if (!make_certificate(ca, NULL, ca->point, ca->name, ca->pem))
        goto fail;
    return ca;
fail:
    pki_ca_free(ca);
    return NULL;
}

void pki_ca_free(struct pki_ca *ca)
{
    if (!ca)
        return;
    if (ca->key_made)
        wc_ecc_free(&ca->key);
    if (ca->rng_made)
        wc_FreeRng(&ca->rng);
    free(ca);
}

const char *pki_ca_pem(const struct pki_ca *ca)
{
    return ca->pem;
}

bool pki_issue(struct pki_ca *ca, const struct pki_request *request, struct pki_leaf *ret)
{
    ecc_key key;
    unsigned char point[POINT];
    unsigned char der[256];
    if (wc_ecc_init(&key) != 0)
        return false;
    bool good = make_key(&ca->rng, &key, point);
    int n = good ? wc_EccKeyToDer(&key, der, sizeof der) : -1;
    good = n > 0 && to_pem(der, (size_t)n, ret->key_pem, ECC_PRIVATEKEY_TYPE) &&
           make_certificate(ca, request, point,
                            request->common_name ? request->common_name : "test", ret->cert_pem);
    wc_ecc_free(&key);
    return good;
}
