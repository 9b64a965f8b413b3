/* hosts.c - hosts(5) as a sorted array: one allocation of entries, one of names. Names are made
 * canonical by base/uri as all names are, so that what policy judged is what is looked up. It opens
 * no file. `localhost` and names below it never leave this process, whatever the file says (RFC
 * 6761 section 6.3): they are the loopback addresses, which the policy refuses unless it is told
 * otherwise. */
#include "net/hosts.h"

#include <stdlib.h>

struct entry {
    uint32_t name; /* offset in names */
    uint32_t line; /* keeps the order of the file */
    uint8_t len;
    struct eg_addr addr;
};

struct eg_hosts {
    struct entry *entries;
    size_t count, cap;
    struct eg_buf names;
};

static struct eg_slice name_of(const struct eg_hosts *h, const struct entry *e)
{
    return eg_slice(eg_buf_slice(&h->names).p + e->name, e->len);
}

static int compare_names(struct eg_slice a, struct eg_slice b)
{
    int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

static int compare(const void *a, const void *b, void *ctx)
{
    const struct entry *x = a;
    const struct entry *y = b;
    int order = compare_names(name_of(ctx, x), name_of(ctx, y));
    return order ? order : (x->line > y->line) - (x->line < y->line);
}

/* Takes the next word; false at the end of the line. */
static bool next_word(struct eg_slice *line, struct eg_slice *word)
{
    *line = eg_slice_trim(*line);
    size_t n = 0;
    while (n < line->n && line->p[n] != ' ' && line->p[n] != '\t')
        n++;
    *word = eg_slice(line->p, n);
    *line = eg_slice_from(*line, n);
    return n > 0;
}

static enum eg_status add_name(struct eg_hosts *h, struct eg_slice word, const struct eg_addr *addr)
{
    struct eg_authority host;
    if (h->count == EG_HOSTS_MAX_NAMES || eg_host_parse(word, &host, NULL) != EG_OK || host.literal)
        return EG_OK;
    if (h->count == h->cap) {
        size_t cap = h->cap ? h->cap * 2 : 32;
        struct entry *grown = realloc(h->entries, cap * sizeof *grown);
        if (!grown)
            return EG_NOMEM;
        h->entries = grown;
        h->cap = cap;
    }
    struct entry *e = &h->entries[h->count];
    *e = (struct entry){ .name = (uint32_t)h->names.len,
                         .line = (uint32_t)h->count,
                         .len = host.host_len,
                         .addr = *addr };
    enum eg_status r = eg_buf_put(&h->names, eg_authority_host(&host));
    if (r == EG_OK)
        h->count++;
    return r;
}

static enum eg_status add_line(struct eg_hosts *h, struct eg_slice line)
{
    struct eg_slice word;
    struct eg_addr addr;
    long comment = eg_slice_index(line, '#');
    if (comment >= 0)
        line.n = (size_t)comment;
    if (line.n && line.p[line.n - 1] == '\r')
        line.n--;
    if (!next_word(&line, &word) || !eg_addr_parse(word, &addr))
        return EG_OK;
    while (next_word(&line, &word)) {
        enum eg_status r = add_name(h, word, &addr);
        if (r != EG_OK)
            return r;
    }
    return EG_OK;
}

enum eg_status eg_hosts_new(struct eg_slice text, struct eg_hosts **ret)
{
    struct eg_hosts *h = calloc(1, sizeof *h);
    if (!h)
        return EG_NOMEM;
    eg_buf_init(&h->names, (size_t)EG_HOSTS_MAX_NAMES * EG_HOST_MAX);
    if (text.n > EG_HOSTS_MAX_BYTES)
        text.n = EG_HOSTS_MAX_BYTES;
    while (text.n) {
        long end = eg_slice_index(text, '\n');
        struct eg_slice line = eg_slice(text.p, end < 0 ? text.n : (size_t)end);
        text = eg_slice_from(text, line.n + 1);
        enum eg_status r = add_line(h, line);
        if (r != EG_OK) {
            eg_hosts_free(h);
            return r;
        }
    }
    if (h->count)
        qsort_r(h->entries, h->count, sizeof *h->entries, compare, h);
    *ret = h;
    return EG_OK;
}

void eg_hosts_free(struct eg_hosts *h)
{
    if (!h)
        return;
    free(h->entries);
    eg_buf_done(&h->names);
    free(h);
}

bool eg_hosts_localhost(struct eg_slice host)
{
    static const struct eg_slice name = { "localhost", 9 };
    if (host.n < name.n || memcmp(host.p + host.n - name.n, name.p, name.n) != 0)
        return false;
    return host.n == name.n || host.p[host.n - name.n - 1] == '.';
}

unsigned eg_hosts_find(const struct eg_hosts *h, struct eg_slice name,
                       void (*add)(void *ctx, const struct eg_addr *addr), void *ctx)
{
    static const struct eg_addr loopback[] = { { .family = 6, .b = { [15] = 1 } },
                                               { .family = 4, .b = { 127, 0, 0, 1 } } };
    size_t low = 0;
    size_t high = h->count;
    if (eg_hosts_localhost(name)) {
        add(ctx, &loopback[0]);
        add(ctx, &loopback[1]);
        return 2;
    }
    while (low < high) { /* the first entry that is not less */
        size_t mid = low + (high - low) / 2;
        if (compare_names(name_of(h, &h->entries[mid]), name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    unsigned found = 0;
    for (; low < h->count && eg_slice_eq(name_of(h, &h->entries[low]), name); low++, found++)
        add(ctx, &h->entries[low].addr);
    return found;
}
