/* facts.c - gathers what workers need of the machine and encodes it as tag, length, bytes. The
 * supervisor reads, the worker decodes.
 *
 * Everything has a ceiling; nothing here judges: what an address or a certificate is worth is
 * decided where it is used. */
#include "cmd/facts.h"

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "cmd/files.h"

enum { TAG_CA = 1, TAG_HOSTS, TAG_SERVER };
enum { HOSTS_MAX = 1 << 20, RESOLV_MAX = 64 << 10, DIR_FILES = 4096, READ_SLACK = 128 << 10 };

static enum eg_status put(struct eg_buf *out, uint32_t tag, struct eg_slice bytes)
{
    uint32_t head[2] = { tag, (uint32_t)bytes.n };
    enum eg_status status = eg_buf_append(out, head, sizeof head);
    return status == EG_OK ? eg_buf_put(out, bytes) : status;
}

/* hashed folders hold every certificate twice (a link by hash); only one of the names is taken:
 * c_rehash's are "12345678.0". */
static bool hash_name(const char *name)
{
    return strspn(name, "0123456789abcdef") == 8 && name[8] == '.';
}

static enum eg_status read_folder(const char *path, struct eg_buf *pem, struct eg_err *err)
{
    DIR *d = opendir(path);
    if (!d)
        return eg_err_set(err, EG_NOT_FOUND, "facts", errno, "SSL_CERT_DIR %.100s", path);
    enum eg_status status = EG_OK;
    const struct dirent *e;
    for (unsigned i = 0; status == EG_OK && i < DIR_FILES && (e = readdir(d)); i++) {
        char file[4096];
        if (e->d_name[0] == '.' || !hash_name(e->d_name) ||
            snprintf(file, sizeof file, "%s/%s", path, e->d_name) >= (int)sizeof file)
            continue;
        status = eg_file_read(file, pem, NULL, NULL);
        if (status == EG_OK)
            status = eg_buf_append(pem, "\n", 1);
        else if (status != EG_TOO_BIG && status != EG_NOMEM)
            status = EG_OK; /* a dangling link */
    }
    closedir(d);
    return status == EG_OK ? EG_OK
                           : eg_err_set(err, status, "facts", 0, "%.100s is too large", path);
}

/* Room for the whole bundle at once: growing to it step by step costs a start more than reading it. */
static enum eg_status reserve_for(const char *path, struct eg_buf *out)
{
    struct stat st;
    char *ignored;
    size_t size = path && stat(path, &st) == 0 && st.st_size > 0 ? (size_t)st.st_size : 0;
    size += READ_SLACK;
    return eg_buf_reserve(out, size < eg_buf_room(out) ? size : eg_buf_room(out), &ignored);
}

/* Straight into the encoding; its length is filled in when it is known. */
static enum eg_status gather_ca(const struct eg_facts_paths *paths, struct eg_buf *out,
                                struct eg_err *err)
{
    size_t at = out->len;
    enum eg_status status = reserve_for(paths->ca_file, out);
    if (status == EG_OK)
        status = put(out, TAG_CA, EG_SLICE_NONE);
    size_t begin = out->len;
    if (status == EG_OK && paths->ca_file)
        status = eg_file_read(paths->ca_file, out, NULL, err);
    if (status == EG_OK && out->len > begin)
        status = eg_buf_append(out, "\n", 1);
    if (status == EG_OK && paths->ca_dir)
        status = read_folder(paths->ca_dir, out, err);
    if (status != EG_OK)
        return status;
    uint32_t n = (uint32_t)(out->len - begin);
    memcpy(out->data + out->off + at + sizeof n, &n, sizeof n);
    return EG_OK;
}

unsigned eg_facts_servers(struct eg_slice text, struct eg_sockaddr out[4])
{
    unsigned n = 0;
    while (text.n > 0 && n < 4) {
        long end = eg_slice_index(text, '\n');
        struct eg_slice line = eg_slice(text.p, end < 0 ? text.n : (size_t)end);
        text = eg_slice_from(text, line.n + 1);
        if (!eg_slice_starts(line, EG_SLICE("nameserver")) || line.n < 11 ||
            (line.p[10] != ' ' && line.p[10] != '\t'))
            continue;
        line = eg_slice_trim(eg_slice_from(line, 10));
        size_t k = 0;
        while (k < line.n && line.p[k] != ' ' && line.p[k] != '\t' && line.p[k] != '\r')
            k++;
        if (eg_addr_parse(eg_slice(line.p, k), &out[n].addr))
            out[n++].port = 53;
    }
    return n;
}

static enum eg_status gather_dns(const struct eg_facts_paths *paths, struct eg_buf *out)
{
    struct eg_buf text;
    enum eg_status status = EG_OK;
    eg_buf_init(&text, HOSTS_MAX);
    if (paths->hosts && eg_file_read(paths->hosts, &text, NULL, NULL) == EG_OK)
        status = put(out, TAG_HOSTS, eg_buf_slice(&text));
    eg_buf_done(&text);
    eg_buf_init(&text, RESOLV_MAX);
    struct eg_sockaddr servers[4];
    memset(servers, 0, sizeof servers);
    if (status == EG_OK && paths->resolv_conf &&
        eg_file_read(paths->resolv_conf, &text, NULL, NULL) == EG_OK) {
        unsigned n = eg_facts_servers(eg_buf_slice(&text), servers);
        for (unsigned i = 0; i < n && status == EG_OK; i++)
            status = put(out, TAG_SERVER, eg_slice(&servers[i], sizeof servers[i]));
    }
    eg_buf_done(&text);
    return status;
}

enum eg_status eg_facts_gather(const struct eg_facts_paths *paths, struct eg_buf *out,
                               struct eg_err *err)
{
    enum eg_status status = gather_ca(paths, out, err);
    if (status == EG_OK)
        status = gather_dns(paths, out);
    return status;
}

enum eg_status eg_facts_decode(const void *p, size_t n, struct eg_facts *ret)
{
    struct eg_slice rest = eg_slice(p, n);
    memset(ret, 0, sizeof *ret);
    while (rest.n > 0) {
        uint32_t head[2];
        if (rest.n < sizeof head)
            return EG_INVALID;
        memcpy(head, rest.p, sizeof head);
        rest = eg_slice_from(rest, sizeof head);
        if (head[1] > rest.n)
            return EG_INVALID;
        struct eg_slice bytes = eg_slice(rest.p, head[1]);
        rest = eg_slice_from(rest, head[1]);
        if (head[0] == TAG_CA)
            ret->system_ca_pem = bytes;
        else if (head[0] == TAG_HOSTS)
            ret->hosts_text = bytes;
        else if (head[0] == TAG_SERVER && bytes.n == sizeof ret->dns_servers[0] &&
                 ret->dns_count < 4)
            memcpy(&ret->dns_servers[ret->dns_count++], bytes.p, bytes.n);
        else
            return EG_INVALID;
    }
    return EG_OK;
}
