/* pki.h - a throw-away certificate authority for tests, in memory. P-256 keys, certificates that strict verifiers take
 * (critical basicConstraints, key identifiers), and the bad ones that tests need. No file, no time to wait for. */
#ifndef EG_TESTS_PKI_H
#define EG_TESTS_PKI_H

#include <stdbool.h>

enum { PKI_PEM = 4096 };

struct pki_ca;

struct pki_leaf {
    char cert_pem[PKI_PEM];
    char key_pem[PKI_PEM];
};

struct pki_request {
    const char *const *names; /* DNS names (may be patterns), address literals and URIs (with "://"), NULL-terminated; NULL: no SAN at all */
    const char *common_name;  /* NULL: "test" */
    bool client;              /* extended key usage clientAuth instead of serverAuth */
    bool address_as_dns;      /* write address literals as dNSName, which no verifier may take */
    int from_days, to_days;   /* validity relative to now; both 0: yesterday to in 30 days */
};

/* A new CA of its own key; NULL when wolfCrypt fails. Needs eg_tls_start (or wolfSSL_Init). */
struct pki_ca *pki_ca_new(const char *common_name);
void pki_ca_free(struct pki_ca *ca);
/* Its certificate in PEM; lives as long as ca. */
const char *pki_ca_pem(const struct pki_ca *ca);
/* A new key and a certificate of it. false when wolfCrypt fails or it does not fit. */
bool pki_issue(struct pki_ca *ca, const struct pki_request *request, struct pki_leaf *ret);

#endif
