/* facts.h - what workers must know of the machine and can't read themselves: CA bundle,
 * /etc/hosts, name servers; as one sealed memory file. */
#ifndef EG_CMD_FACTS_H
#define EG_CMD_FACTS_H

#include "proxy/engine.h"

enum { EG_FACTS_MAX = 16 << 20 };

struct eg_facts_paths {  /* where they are read; NULL members are skipped */
    const char *ca_file; /* SSL_CERT_FILE, else the system's bundle */
    const char *ca_dir;  /* SSL_CERT_DIR: every regular file of it */
    const char *hosts, *resolv_conf;
};

/* Reads them (a file that is missing is nothing) and appends the encoded facts. EG_TOO_BIG,
 * EG_NOMEM, or a CA file that was named and can't be read. */
enum eg_status eg_facts_gather(const struct eg_facts_paths *paths, struct eg_buf *out,
                               struct eg_err *err) EG_MUST_USE;
/* Slices of *ret borrow from p. EG_INVALID. */
enum eg_status eg_facts_decode(const void *p, size_t n, struct eg_facts *ret) EG_MUST_USE;
/* The nameserver lines of a resolv.conf; at most 4, without those that need a zone. Returns how
 * many. */
unsigned eg_facts_servers(struct eg_slice text, struct eg_sockaddr out[4]);

#endif
