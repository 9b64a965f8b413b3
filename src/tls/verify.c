/* verify.c - is the peer who it must be, was what we offered chosen, and what does a failure mean. It decides nothing by
 * policy. Names are canonical already (base/uri), so there is no trailing dot or case to mend.
 * Invariant: a handshake without a verified certificate for the very name, or a resumption of one, never succeeds. */
#include <stdio.h>
#include <string.h>

#include "tls/wolf.h"

enum {
    SAN_DNS = 2,
    SAN_URI = 6,
    SAN_IP_ADDRESS = 7
}; /* tags of GeneralName, RFC 5280 section 4.2.1.6 */
enum { SAN_MAX = 2048 };

enum eg_status eg_tls_verify_name(WOLFSSL *ssl, const struct eg_authority *name, struct eg_err *err)
{
    if (name->host_len == 0 || memchr(name->host, '*', name->host_len))
        return eg_err_set(err, EG_INVALID, "tls", 0, "no name to verify, or a pattern");
    /* RFC 6066 section 3: literal addresses are not permitted in SNI. */
    if (!name->literal &&
        wolfSSL_UseSNI(ssl, WOLFSSL_SNI_HOST_NAME, name->host, name->host_len) != WOLFSSL_SUCCESS)
        return eg_err_set(err, EG_NOMEM, "tls", 0, "no room for the server name");
    /* For a literal wolfSSL would compare text; verify_done compares octets. */
    if (!name->literal && wolfSSL_check_domain_name(ssl, name->host) != WOLFSSL_SUCCESS)
        return eg_err_set(err, EG_NOMEM, "tls", 0, "no room for the server name");
    return EG_OK;
}

static bool offered(const char *suite)
{
    size_t n = strlen(suite);
    for (const char *p = eg_tls_suites; *p;) {
        size_t len = strcspn(p, ":");
        if (len == n && memcmp(p, suite, n) == 0)
            return true;
        p += len + (p[len] == ':');
    }
    return false;
}

/* Exact, or `*.` for exactly one label, above at least two others (RFC 9525 section 6.3). */
static bool dns_matches(struct eg_slice pattern, struct eg_slice host)
{
    if (eg_slice_caseeq(pattern, host))
        return true;
    if (!eg_slice_starts(pattern, EG_SLICE("*.")))
        return false;
    struct eg_slice parent = eg_slice_from(pattern, 1);
    long dot = eg_slice_index(host, '.');
    return dot > 0 && eg_slice_index(eg_slice_from(parent, 1), '.') > 0 &&
           eg_slice_caseeq(parent, eg_slice_from(host, (size_t)dot));
}

static bool name_matches(const WOLFSSL_GENERAL_NAME *g, const struct eg_authority *name)
{
    WOLFSSL_ASN1_STRING *text = NULL;
    if (g->type == (name->literal ? SAN_IP_ADDRESS : SAN_DNS))
        text = name->literal ? g->d.iPAddress : g->d.dNSName;
    if (!text)
        return false;
    struct eg_slice value =
        eg_slice(wolfSSL_ASN1_STRING_data(text), (size_t)wolfSSL_ASN1_STRING_length(text));
    if (!name->literal)
        return dns_matches(value, eg_authority_host(name));
    /* RFC 5280 4.2.1.6: octets, not text */
    return eg_slice_eq(value, eg_slice(name->addr.b, name->addr.family == 4 ? 4 : 16));
}

/* Is the certificate for that name? wolfSSL has looked at DNS names already; this second look takes no common name, no
 * partial wildcard and no text for an address. */
static bool certificate_is_for(WOLFSSL_X509 *cert, const struct eg_authority *name)
{
    bool found = false;
    WOLFSSL_STACK *names = wolfSSL_X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; names && !found && i < wolfSSL_sk_GENERAL_NAME_num(names); i++) {
        const WOLFSSL_GENERAL_NAME *g = wolfSSL_sk_GENERAL_NAME_value(names, i);
        found = g && name_matches(g, name);
    }
    wolfSSL_sk_GENERAL_NAME_pop_free(names, wolfSSL_GENERAL_NAME_free);
    return found;
}

enum eg_status eg_tls_verify_done(const struct eg_tls_ctx *c, WOLFSSL *ssl,
                                  const struct eg_authority *name, struct eg_err *err)
{
    int version = wolfSSL_version(ssl);
    const char *suite = wolfSSL_get_cipher_name(ssl);
    if (version != TLS1_2_VERSION && version != TLS1_3_VERSION)
        return eg_err_set(err, EG_TLS_FAILED, "tls", 0, "an old protocol version was negotiated");
    if (!suite || !offered(suite))
        return eg_err_set(err, EG_TLS_FAILED, "tls", 0,
                          "a cipher suite was chosen that was not offered");
    if (!name ||
        wolfSSL_session_reused(
            ssl)) /* a server; or verified when the session was made, which is bound to the name */
        return EG_OK;
    WOLFSSL_X509 *cert = wolfSSL_get_peer_certificate(ssl);
    if (!cert)
        return eg_err_set(err, EG_TLS_UNTRUSTED, "tls", 0, "the peer showed no certificate");
    enum eg_status r = EG_OK;
    if (!certificate_is_for(cert, name))
        r = eg_err_set(err, EG_TLS_NAME, "tls", 0, "the certificate is for another name");
    else if (c->pin_count > 0)
        r = eg_tls_pin_check(c, cert, err);
    wolfSSL_X509_free(cert);
    return r;
}

static const char *alert_name(int code)
{
    switch (code) {
    case 20:
        return "bad_record_mac";
    case 40:
        return "handshake_failure";
    case 42:
        return "bad_certificate";
    case 43:
        return "unsupported_certificate";
    case 44:
        return "certificate_revoked";
    case 45:
        return "certificate_expired";
    case 46:
        return "certificate_unknown";
    case 47:
        return "illegal_parameter";
    case 48:
        return "unknown_ca";
    case 49:
        return "access_denied";
    case 50:
        return "decode_error";
    case 70:
        return "protocol_version";
    case 80:
        return "internal_error";
    case 109:
        return "missing_extension";
    case 112:
        return "unrecognized_name";
    case 116:
        return "certificate_required";
    case 120:
        return "no_application_protocol";
    default:
        return "other";
    }
}

/* What a code says of the certificate that the peer showed; EG_OK: nothing. *why reads on from "the certificate". */
static enum eg_status certificate_error(int code, const char **why)
{
    switch (code) {
    case ASN_NO_SIGNER_E:
    case ASN_SELF_SIGNED_E:
        *why = "is not signed by a trusted CA";
        return EG_TLS_UNTRUSTED;
    case ASN_SIG_CONFIRM_E:
        *why = "has a wrong signature in its chain";
        return EG_TLS_UNTRUSTED;
    case ASN_PATHLEN_INV_E:
    case ASN_PATHLEN_SIZE_E:
    case KEYUSAGE_E:
    case EXTKEYUSAGE_E:
    case EXTKEYUSE_AUTH_E:
    case KEYUSE_SIGNATURE_E:
    case ASN_CRIT_EXT_E:
    case VERIFY_CERT_ERROR:
        *why = "or its chain is not valid for this use";
        return EG_TLS_UNTRUSTED;
    case DOMAIN_NAME_MISMATCH:
    case IPADDR_MISMATCH:
        *why = "is for another name";
        return EG_TLS_NAME;
    case ASN_AFTER_DATE_E:
        *why = "has expired";
        return EG_TLS_EXPIRED;
    case ASN_BEFORE_DATE_E:
        *why = "is not valid yet";
        return EG_TLS_EXPIRED;
    default:
        return EG_OK;
    }
}

enum eg_status eg_tls_verify_error(WOLFSSL *ssl, const struct eg_tls_ctx *c, int code,
                                   struct eg_err *err)
{
    const char *why;
    bool server = c->server;
    enum eg_status r = certificate_error(code, &why);
    if (r == EG_TLS_UNTRUSTED && c->pin_count > 0 && c->loaded == 0)
        why = "or its key is not the pinned one";
    if (r != EG_OK)
        return eg_err_set(err, r, "tls", 0, "the %scertificate %s", server ? "client's " : "", why);
    if (code == NO_PEER_CERT)
        return eg_err_set(err, EG_TLS_FAILED, "tls", 0, "the %s showed no certificate",
                          server ? "client" : "peer");
    WOLFSSL_ALERT_HISTORY alerts;
    if (wolfSSL_get_alert_history(ssl, &alerts) == WOLFSSL_SUCCESS && alerts.last_rx.code > 0)
        return eg_err_set(err, EG_TLS_FAILED, "tls", 0, "the peer sent the TLS alert %s (%d)",
                          alert_name(alerts.last_rx.code), alerts.last_rx.code);
    return eg_err_set(err, EG_TLS_FAILED, "tls", 0, "TLS failed (%d)", code);
}

/* Kinds of names are told by their text alone, so one kind may not look like another: a CA that lets
 * people have DNS names has not vouched for an address or a URI. */
static bool looks_its_kind(int type, struct eg_slice text)
{
    struct eg_addr addr;
    bool colon = eg_slice_index(text, ':') > 0;
    return type == SAN_URI ? colon && !eg_addr_parse(text, &addr)
                           : !colon && !eg_addr_parse(text, &addr);
}

/* The text of one subject alternative name in cap bytes; 0: it has none that could be told. */
static size_t san_text(const WOLFSSL_GENERAL_NAME *g, char *out, size_t cap)
{
    WOLFSSL_ASN1_STRING *name = g->type == SAN_DNS          ? g->d.dNSName
                                : g->type == SAN_URI        ? g->d.uniformResourceIdentifier
                                : g->type == SAN_IP_ADDRESS ? g->d.iPAddress
                                                            : NULL;
    if (!name)
        return 0;
    const unsigned char *p = wolfSSL_ASN1_STRING_get0_data(name);
    size_t n = (size_t)wolfSSL_ASN1_STRING_length(name);
    if (g->type == SAN_IP_ADDRESS) {
        struct eg_addr addr = { .family = n == 4 ? 4 : 6 };
        if (!p || (n != 4 && n != 16))
            return 0;
        memcpy(addr.b, p, n);
        return strlen(eg_addr_format(&addr, out, cap));
    }
    if (!p || n > cap)
        return 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] <= 0x20 || p[i] >= 0x7f) /* a NUL in a name has fooled others before */
            return 0;
        out[i] = g->type == SAN_DNS ? eg_lower((char)p[i]) : (char)p[i];
    }
    return looks_its_kind(g->type, eg_slice(out, n)) ? n : 0;
}

bool eg_tls_verify_sans(WOLFSSL *ssl, bool (*each)(void *ctx, struct eg_slice san), void *ctx)
{
    WOLFSSL_X509 *cert = wolfSSL_get_peer_certificate(ssl);
    if (!cert)
        return false;
    bool taken = false;
    char text[SAN_MAX];
    WOLFSSL_STACK *names = wolfSSL_X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; names && !taken && i < wolfSSL_sk_GENERAL_NAME_num(names); i++) {
        const WOLFSSL_GENERAL_NAME *g = wolfSSL_sk_GENERAL_NAME_value(names, i);
        size_t n = g ? san_text(g, text, sizeof text) : 0;
        taken = n > 0 && each(ctx, eg_slice(text, n));
    }
    wolfSSL_sk_GENERAL_NAME_pop_free(names, wolfSSL_GENERAL_NAME_free);
    wolfSSL_X509_free(cert);
    return taken;
}

/* ---- what was agreed ---- */

const char *eg_tls_version(const struct eg_tls *s)
{
    return s->established ? wolfSSL_get_version(s->ssl) : "";
}

const char *eg_tls_suite(const struct eg_tls *s)
{
    const char *suite = s->established ? wolfSSL_get_cipher_name(s->ssl) : NULL;
    return suite ? suite : "";
}

bool eg_tls_peer_sans(const struct eg_tls *s, bool (*each)(void *ctx, struct eg_slice san),
                      void *ctx)
{
    /* Without asks_client nothing that a client showed was verified. */
    return s->established && s->ctx->asks_client && eg_tls_verify_sans(s->ssl, each, ctx);
}
