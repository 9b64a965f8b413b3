/* aead.c - wolfSSL's crypto callback for AES-GCM, and the check of the library behind it. It knows nothing of TLS.
 * Invariants: what it can't do exactly as wolfSSL would goes back to wolfSSL (CRYPTOCB_UNAVAILABLE). Keys are expanded for each record on
 * the stack and wiped: no schedule grows stale when TLS changes keys. The state belongs to wolfCrypt's table of devices, so that this room
 * keeps no variable of its own; eg_aead_find asks for it. */
#include "tls/aead.h"

#include "tls/wolf.h"

#if defined(HAVE_IPSEC_MB) && defined(__x86_64__)
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <intel-ipsec-mb.h>
#include <sodium.h>

#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/cryptocb.h>

enum { IV = 12, TAG = 16 };

struct eg_aead { /* what is taken of the library: calls that keep no state */
    void *lib;
    struct {
        aes_gcm_pre_t expand;
        aes_gcm_enc_dec_t seal, open;
    } of[2]; /* AES-128, AES-256 */
};

/* ---- the callback ---- */

static int seal(const struct eg_aead *a, wc_CryptoInfo *info)
{
    Aes *aes = info->cipher.aesgcm_enc.aes;
    bool wide = aes->keylen == 32;
    if ((!wide && aes->keylen != 16) || info->cipher.aesgcm_enc.ivSz != IV ||
        info->cipher.aesgcm_enc.authTagSz != TAG || info->cipher.aesgcm_enc.sz == 0)
        return CRYPTOCB_UNAVAILABLE;
    struct gcm_key_data key;
    struct gcm_context_data state;
    a->of[wide].expand(aes->devKey, &key);
    a->of[wide].seal(&key, &state, info->cipher.aesgcm_enc.out, info->cipher.aesgcm_enc.in,
                     info->cipher.aesgcm_enc.sz, info->cipher.aesgcm_enc.iv,
                     info->cipher.aesgcm_enc.authIn, info->cipher.aesgcm_enc.authInSz,
                     info->cipher.aesgcm_enc.authTag, TAG);
    explicit_bzero(&key, sizeof key);
    explicit_bzero(&state, sizeof state);
    return 0;
}

static int unseal(const struct eg_aead *a, wc_CryptoInfo *info)
{
    Aes *aes = info->cipher.aesgcm_dec.aes;
    bool wide = aes->keylen == 32;
    if ((!wide && aes->keylen != 16) || info->cipher.aesgcm_dec.ivSz != IV ||
        info->cipher.aesgcm_dec.authTagSz != TAG || info->cipher.aesgcm_dec.sz == 0)
        return CRYPTOCB_UNAVAILABLE;
    struct gcm_key_data key;
    struct gcm_context_data state;
    uint8_t tag[TAG];
    a->of[wide].expand(aes->devKey, &key);
    a->of[wide].open(&key, &state, info->cipher.aesgcm_dec.out, info->cipher.aesgcm_dec.in,
                     info->cipher.aesgcm_dec.sz, info->cipher.aesgcm_dec.iv,
                     info->cipher.aesgcm_dec.authIn, info->cipher.aesgcm_dec.authInSz, tag, TAG);
    explicit_bzero(&key, sizeof key);
    explicit_bzero(&state, sizeof state);
    if (sodium_memcmp(tag, info->cipher.aesgcm_dec.authTag, TAG) == 0)
        return 0;
    explicit_bzero(info->cipher.aesgcm_dec.out, info->cipher.aesgcm_dec.sz); /* not authentic */
    return AES_GCM_AUTH_E;
}

static int device(int id, wc_CryptoInfo *info, void *ctx)
{
    (void)id;
    if (info->algo_type != WC_ALGO_TYPE_CIPHER || info->cipher.type != WC_CIPHER_AES_GCM)
        return CRYPTOCB_UNAVAILABLE;
    int r = info->cipher.enc ? seal(ctx, info) : unseal(ctx, info);
    Aes *aes = info->cipher.enc ? info->cipher.aesgcm_enc.aes : info->cipher.aesgcm_dec.aes;
    if (r == 0)
        aes->devCtx = ctx; /* who served it: eg_aead_find asks */
    return r;
}

/* ---- wolfSSL's AES-GCM, through the device or not ---- */

struct sample {
    uint8_t key[32], iv[IV], aad[13]; /* 13: TLS 1.2's additional data; TLS 1.3 has 5 */
    size_t key_n, n, aad_n;
    uint8_t text[2048], sealed[2048], tag[TAG];
};

/* Seals s with wolfSSL's own code or through the device; the state that served it in *by. */
static bool sample_seal(struct sample *s, int id, void **by)
{
    Aes aes;
    if (wc_AesInit(&aes, NULL, id) != 0)
        return false;
    aes.devCtx = NULL;
    bool good = wc_AesGcmSetKey(&aes, s->key, (word32)s->key_n) == 0 &&
                wc_AesGcmEncrypt(&aes, s->sealed, s->text, (word32)s->n, s->iv, IV, s->tag, TAG,
                                 s->aad, (word32)s->aad_n) == 0;
    *by = aes.devCtx;
    wc_AesFree(&aes);
    explicit_bzero(&aes, sizeof aes);
    return good;
}

/* In place, as records are opened. */
static bool sample_open(const struct sample *s, int id, uint8_t *text)
{
    Aes aes;
    if (wc_AesInit(&aes, NULL, id) != 0)
        return false;
    memcpy(text, s->sealed, s->n);
    bool good = wc_AesGcmSetKey(&aes, s->key, (word32)s->key_n) == 0 &&
                wc_AesGcmDecrypt(&aes, text, text, (word32)s->n, s->iv, IV, s->tag, TAG, s->aad,
                                 (word32)s->aad_n) == 0;
    wc_AesFree(&aes);
    return good;
}

struct eg_aead *eg_aead_find(void)
{
    struct sample s = { .key_n = 16, .n = 1, .aad_n = 5 };
    void *by = NULL;
    return sample_seal(&s, EG_AEAD_DEVICE, &by) ? by : NULL;
}

/* ---- is it right ---- */

/* One random text: both seal it alike, the device opens it, and opens it no more once a bit of it is changed. */
static bool agrees(size_t key_n, size_t n, size_t aad_n)
{
    struct sample own = { .key_n = key_n, .n = n, .aad_n = aad_n }, other;
    uint8_t text[sizeof own.text];
    void *by = NULL;
    randombytes_buf(own.key, sizeof own.key);
    randombytes_buf(own.iv, sizeof own.iv);
    randombytes_buf(own.aad, sizeof own.aad);
    randombytes_buf(own.text, n);
    other = own;
    bool good = sample_seal(&own, INVALID_DEVID, &by) && !by &&
                sample_seal(&other, EG_AEAD_DEVICE, &by) && by &&
                memcmp(own.sealed, other.sealed, n) == 0 && memcmp(own.tag, other.tag, TAG) == 0 &&
                sample_open(&own, EG_AEAD_DEVICE, text) && memcmp(text, own.text, n) == 0;
    own.sealed[n / 2] ^= 1;
    return good && !sample_open(&own, EG_AEAD_DEVICE, text);
}

/* The GCM specification's test cases 3 and 15: 64 bytes, no additional data. */
static bool knows_the_answers(void)
{
    static const char key[] = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
    static const char iv[] = "cafebabefacedbaddecaf888";
    static const char text[] = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
                               "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255";
    static const struct {
        size_t key_n;
        const char *sealed, *tag;
    } cases[] = {
        { 16,
          "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
          "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985",
          "4d5c2af327cd64a62cf35abd2ba6fab4" },
        { 32,
          "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
          "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
          "b094dac5d93471bdec1a502270e3cc6c" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sample s = { .key_n = cases[i].key_n };
        char sealed[129], tag[2 * TAG + 1];
        void *by = NULL;
        if (sodium_hex2bin(s.key, sizeof s.key, key, sizeof key - 1, NULL, NULL, NULL) != 0 ||
            sodium_hex2bin(s.iv, sizeof s.iv, iv, sizeof iv - 1, NULL, NULL, NULL) != 0 ||
            sodium_hex2bin(s.text, sizeof s.text, text, sizeof text - 1, NULL, &s.n, NULL) != 0 ||
            !sample_seal(&s, EG_AEAD_DEVICE, &by) || !by)
            return false;
        sodium_bin2hex(sealed, sizeof sealed, s.sealed, s.n);
        sodium_bin2hex(tag, sizeof tag, s.tag, TAG);
        if (strcmp(sealed, cases[i].sealed) != 0 || strcmp(tag, cases[i].tag) != 0)
            return false;
    }
    return true;
}

static bool is_right(void)
{
    /* around a block, the strides of 8 blocks, and the 48 blocks that the widest code takes at once */
    static const size_t lengths[] = { 1, 16, 133, 768, 1999 };
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        if (!agrees(16, lengths[i], i % 2 ? 5 : 13) || !agrees(32, lengths[i], i % 2 ? 13 : 5))
            return false;
    return knows_the_answers();
}

/* ---- the library ---- */

/* The manager is only asked which code is this processor's. */
static enum eg_status choose(struct eg_aead *a, struct eg_err *err)
{
    void *names[4] = { dlsym(a->lib, "alloc_mb_mgr"), dlsym(a->lib, "init_mb_mgr_auto"),
                       dlsym(a->lib, "free_mb_mgr"), dlsym(a->lib, "imb_get_version") };
    IMB_MGR *(*make)(uint64_t flags);
    void (*init)(IMB_MGR * m, IMB_ARCH * arch);
    void (*release)(IMB_MGR * m);
    unsigned (*version)(void);
    memcpy(&make, &names[0], sizeof make);
    memcpy(&init, &names[1], sizeof init);
    memcpy(&release, &names[2], sizeof release);
    memcpy(&version, &names[3], sizeof version);
    if (!make || !init || !release || !version || version() >> 16 != IMB_VERSION_NUM >> 16)
        return eg_err_set(err, EG_NOT_SUPPORTED, "tls", 0, "this libipsec-mb is another version");
    IMB_MGR *m = make(0);
    if (!m)
        return eg_err_set(err, EG_NOMEM, "tls", 0, "out of memory");
    const uint64_t needs = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;
    IMB_ARCH arch = IMB_ARCH_NONE;
    init(m, &arch);
    bool able = arch >= IMB_ARCH_SSE && (m->features & needs) == needs;
    if (able) {
        a->of[0].expand = m->gcm128_pre;
        a->of[0].seal = m->gcm128_enc;
        a->of[0].open = m->gcm128_dec;
        a->of[1].expand = m->gcm256_pre;
        a->of[1].seal = m->gcm256_enc;
        a->of[1].open = m->gcm256_dec;
    }
    release(m);
    return able ? EG_OK
                : eg_err_set(err, EG_NOT_SUPPORTED, "tls", 0, "the processor has no AES-NI");
}

/* The library tries itself out when it is initialised, with megabytes of code that nobody calls again: what is
 * called comes back from the page cache by itself. Code and constants only; what was written to stays. */
static int let_go(struct dl_phdr_info *o, size_t size, void *ctx)
{
    const struct eg_aead *a = ctx;
    const uintptr_t code = (uintptr_t)a->of[0].seal, page = (uintptr_t)sysconf(_SC_PAGESIZE);
    bool found = false;
    (void)size;
    for (int i = 0; i < o->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &o->dlpi_phdr[i];
        uintptr_t at = o->dlpi_addr + h->p_vaddr;
        found = found || (h->p_type == PT_LOAD && code >= at && code - at < h->p_memsz);
    }
    for (int i = 0; found && i < o->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &o->dlpi_phdr[i];
        uintptr_t from = (o->dlpi_addr + h->p_vaddr) & ~(page - 1);
        uintptr_t to = (o->dlpi_addr + h->p_vaddr + h->p_memsz + page - 1) & ~(page - 1);
        if (h->p_type == PT_LOAD && !(h->p_flags & PF_W)) /* refused, it costs memory only */
            (void)!madvise((void *)from, to - from, MADV_DONTNEED);
    }
    return found;
}

static void aead_free(struct eg_aead *a)
{
    if (a && a->lib)
        dlclose(a->lib);
    free(a);
}

/* The manager's layout is that of the major version that we were built with. */
static const char *library(char out[32])
{
    (void)snprintf(out, 32, "libIPSec_MB.so.%u", (unsigned)IMB_VERSION_NUM >> 16);
    return out;
}

void eg_tls_load(void)
{
    char name[32];
    (void)dlopen(library(name), RTLD_NOW | RTLD_LOCAL);
}

enum eg_status eg_tls_hasten(struct eg_err *err)
{
    char name[32];
    if (eg_aead_find())
        return EG_OK;
    struct eg_aead *a = calloc(1, sizeof *a);
    if (!a)
        return eg_err_set(err, EG_NOMEM, "tls", 0, "out of memory");
    a->lib = dlopen(library(name), RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
    enum eg_status r =
        a->lib ? choose(a, err)
               : eg_err_set(err, EG_NOT_SUPPORTED, "tls", 0, "%s could not be loaded", name);
    if (r == EG_OK && wc_CryptoCb_RegisterDevice(EG_AEAD_DEVICE, device, a) != 0)
        r = eg_err_set(err, EG_INTERNAL, "tls", 0, "wolfSSL takes no crypto callback");
    if (r == EG_OK && !is_right()) {
        wc_CryptoCb_UnRegisterDevice(EG_AEAD_DEVICE);
        r = eg_err_set(err, EG_INTERNAL, "tls", 0, "libipsec-mb does not do what wolfSSL does");
    }
    if (r == EG_OK)
        (void)dl_iterate_phdr(let_go, a);
    if (r != EG_OK)
        aead_free(a);
    return r;
}

void eg_aead_stop(void)
{
    struct eg_aead *a = eg_aead_find();
    wc_CryptoCb_UnRegisterDevice(EG_AEAD_DEVICE);
    aead_free(a);
}
#else
void eg_tls_load(void)
{
}

enum eg_status eg_tls_hasten(struct eg_err *err)
{
#ifdef __x86_64__
    return eg_err_set(err, EG_NOT_SUPPORTED, "tls", 0, "it was built without libipsec-mb");
#else
    (void)err;
    return EG_OK;
#endif
}

struct eg_aead *eg_aead_find(void)
{
    return NULL;
}

void eg_aead_stop(void)
{
}
#endif
