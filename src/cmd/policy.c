/* policy.c - has the policy files read anew and compiled (load.h), says what is wrong with them, and
 * seals block and facts in memory files that workers map. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cmd/ask.h"
#include "cmd/facts.h"
#include "cmd/files.h"
#include "cmd/parts.h"
#include "cmd/state.h"
#include "cmd/upstream.h"

#define SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt"

void eg_sup_policy_free(struct eg_sup_policy *p)
{
    if (!p)
        return;
    eg_policy_close(p->policy);
    if (p->block)
        munmap((void *)(uintptr_t)p->block, p->block_n);
    if (p->block_fd >= 0)
        close(p->block_fd);
    if (p->facts_fd >= 0)
        close(p->facts_fd);
    for (unsigned i = 0; i < p->part_count; i++)
        free(p->parts[i]);
    free(p->parts);
    free(p);
}

static void show(const struct eg_diags *d, struct eg_err *err)
{
    eg_cmd_diags(d);
    for (unsigned i = 0; i < eg_diags_total(d); i++) {
        const struct eg_diag *one = eg_diags_at(d, i);
        if (one->severity == EG_DIAG_ERROR) {
            (void)!eg_err_set(err, EG_INVALID, NULL, 0, "%s:%u:%u: %s", one->file ? one->file : "",
                              one->line, one->column, one->text);
            return;
        }
    }
}

static enum eg_status copy_parts(struct eg_sup_policy *p, const struct eg_loaded *l)
{
    p->parts = calloc(l->part_count + 1, sizeof *p->parts);
    for (unsigned i = 0; p->parts && i < l->part_count; i++) {
        p->parts[i] = strdup(l->parts[i].path);
        if (!p->parts[i])
            return EG_NOMEM;
        p->part_count++;
    }
    return p->parts ? EG_OK : EG_NOMEM;
}

static enum eg_status compile(const struct eg_supervisor *s, struct eg_sup_policy *p,
                              struct eg_buf *block, struct eg_err *err)
{
    const struct eg_supervisor_options *o = &s->options;
    const struct eg_load_spec spec = { .sources = o->policies,
                                       .source_count = o->policy_count,
                                       .upstream = eg_sup_upstream_choice(o->upstream),
                                       .observe = o->observe,
                                       .allow_remote = o->allow_remote };
    struct eg_loaded *l = NULL;
    enum eg_status status = eg_load(&spec, &l, err);
    if (status != EG_OK)
        return status;
    show(l->diags, err);
    status = l->policy ? eg_buf_put(block, eg_buf_slice(&l->block)) : EG_INVALID;
    if (status == EG_OK)
        status = copy_parts(p, l);
    eg_loaded_free(l);
    return status;
}

static bool hop_wants_ca(const struct eg_policy *p, enum eg_chain chain)
{
    struct eg_hop hops[EG_HOPS_MAX];
    unsigned n = eg_policy_hops(p, chain, hops);
    for (unsigned i = 0; i < n; i++)
        if (hops[i].tls && hops[i].ca_pem.n == 0)
            return true;
    return false;
}

/* Tunnels are opaque: only a service or a proxy over TLS asks whom the system trusts. Reading a bundle of 200 KB for nobody would be a third
 * of the start of a small policy. */
static bool wants_system_ca(const struct eg_policy *p)
{
    if (hop_wants_ca(p, EG_CHAIN_SECURE) || hop_wants_ca(p, EG_CHAIN_PLAIN))
        return true; /* whatever tls.system says: that is about origins */
    for (unsigned i = 0; i < eg_policy_service_count(p); i++) {
        struct eg_service service;
        eg_policy_service(p, i, &service);
        if (service.tls && eg_policy_settings(p)->ca_system)
            return true;
    }
    return false;
}

/* A folder that only holds what the bundle in it holds is not read again. */
static bool lies_in(const char *file, const char *folder)
{
    const char *slash = file ? strrchr(file, '/') : NULL;
    size_t n = strlen(folder);
    while (n > 1 && folder[n - 1] == '/')
        n--;
    return slash && (size_t)(slash - file) == n && strncmp(file, folder, n) == 0;
}

static void find_system_ca(const struct eg_environ *e, struct eg_facts_paths *paths)
{
    paths->ca_file = e ? eg_environ_get(e, "SSL_CERT_FILE") : NULL;
    paths->ca_dir = e ? eg_environ_get(e, "SSL_CERT_DIR") : NULL;
    if (paths->ca_dir && lies_in(paths->ca_file, paths->ca_dir))
        paths->ca_dir = NULL;
    if (!paths->ca_file && !paths->ca_dir && access(SYSTEM_CA, R_OK) == 0)
        paths->ca_file = SYSTEM_CA;
}

static enum eg_status gather(const struct eg_supervisor *s, const struct eg_policy *policy, int *fd,
                             struct eg_err *err)
{
    struct eg_facts_paths paths = { .hosts = "/etc/hosts", .resolv_conf = "/etc/resolv.conf" };
    if (wants_system_ca(policy))
        find_system_ca(s->options.environment, &paths);
    struct eg_buf facts;
    eg_buf_init(&facts, EG_FACTS_MAX);
    enum eg_status status = eg_facts_gather(&paths, &facts, err);
    if (status == EG_OK)
        status = eg_file_seal("egress-facts", eg_buf_slice(&facts), fd, err);
    eg_buf_done(&facts);
    return status;
}

/* With the block of an old one, or, with NULL, compiled anew. */
static enum eg_status load(struct eg_supervisor *s, const struct eg_sup_policy *old,
                           struct eg_sup_policy **ret, struct eg_err *err)
{
    struct eg_buf block;
    struct eg_sup_policy *p = calloc(1, sizeof *p);
    if (!p)
        return EG_NOMEM;
    p->block_fd = old ? fcntl(old->block_fd, F_DUPFD_CLOEXEC, 3) : -1;
    p->facts_fd = -1;
    eg_buf_init(&block, EG_SUP_BLOCK_MAX);
    enum eg_status status = old ? EG_OK : compile(s, p, &block, err);
    if (status == EG_OK && !old)
        status = eg_file_seal("egress-policy", eg_buf_slice(&block), &p->block_fd, err);
    eg_buf_done(&block);
    if (status == EG_OK)
        status = eg_file_map(p->block_fd, EG_SUP_BLOCK_MAX, &p->block, &p->block_n, err);
    if (status == EG_OK)
        status = eg_policy_open(p->block, p->block_n, &p->policy, err);
    if (status == EG_OK)
        status = eg_sup_upstream_check(s->options.upstream, p->policy, err);
    if (status == EG_OK && !old)
        eg_sup_upstream_warn(s->options.upstream, p->policy);
    if (status == EG_OK)
        status = gather(s, p->policy, &p->facts_fd, err);
    if (status != EG_OK) {
        eg_sup_policy_free(p);
        return status;
    }
    p->generation = ++s->generation;
    *ret = p;
    return EG_OK;
}

enum eg_status eg_sup_policy_load(struct eg_supervisor *s, struct eg_sup_policy **ret,
                                  struct eg_err *err)
{
    return load(s, NULL, ret, err);
}

enum eg_status eg_sup_policy_refresh(struct eg_supervisor *s, struct eg_sup_policy **ret,
                                     struct eg_err *err)
{
    return load(s, s->policy, ret, err);
}

enum eg_status eg_sup_policy_compile(const struct eg_supervisor_options *options,
                                     struct eg_sup_policy **ret, struct eg_err *err)
{
    struct eg_supervisor *s = calloc(1, sizeof *s);
    if (!s)
        return EG_NOMEM;
    s->options = *options; /* borrowed for this call */
    enum eg_status status = eg_sup_policy_load(s, ret, err);
    free(s);
    return status;
}

enum eg_status eg_supervisor_check(const struct eg_supervisor_options *options, struct eg_err *err)
{
    struct eg_sup_policy *p = NULL;
    enum eg_status status = eg_sup_policy_compile(options, &p, err);
    eg_sup_policy_free(p);
    return status;
}
