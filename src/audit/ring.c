/* ring.c - the newest events in memory that all processes share.
 *
 * An index of capacity words says which buffer holds which number. A writer takes a number and
 * a spare buffer, fills it where nobody looks, and puts it into the index with one compare-and-
 * swap; the buffer that was there becomes a spare. So nothing is ever half written: a writer
 * that is killed leaves a number that never comes (and one spare less), two writers a lap apart
 * never mix, and the newest is never lost.
 *
 * Readers copy, then look whether the word is still the same. A hostile process that has the
 * memory can spoil its contents, but every number read from it is checked against the reader's
 * own copy of the capacity, and every text is ended: it can't make a reader step outside or
 * wait for ever. */
#include "audit/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

#define RING_MAGIC UINT64_C(0x31474e5252474521)

enum {
    RING_VERSION = 1,
    RING_MIN = 16,
    RING_SPARES = 64,      /* writers that may be in mid-append at once, or were killed there */
    BUFFER_BITS = 20,      /* of a word: the buffer's number; the rest is the event's */
    NO_BUFFER = (1 << BUFFER_BITS) - 1,
    RING_MAX = NO_BUFFER - RING_SPARES,
    GRACE_MS = 250, /* after that, a number that later ones have passed is given up */
};
#define SEQ_LIMIT (UINT64_C(1) << (64 - BUFFER_BITS))

struct shared { /* at offset 0; then the index, then the buffers */
    uint64_t magic;
    uint32_t version, capacity, buffer_size, spares;
    _Alignas(64) _Atomic uint64_t newest;  /* numbers given */
    _Alignas(64) _Atomic uint64_t ids;     /* ids given */
    _Alignas(64) _Atomic uint64_t free;    /* bit i: spare[i] holds a spare's number */
    _Atomic uint32_t spare[RING_SPARES];   /* a clear bit's cell belongs to whoever cleared it */
    _Atomic uint32_t torn;                 /* the audit file's last line has no end */
};

struct buffer {
    _Atomic uint64_t words[sizeof(struct egress_event) / 8 + 1]; /* the event, and stamp_ms last */
};
enum { EVENT_WORDS = sizeof(struct egress_event) / 8, STAMP_WORD = EVENT_WORDS };
_Static_assert(sizeof(struct egress_event) % 8 == 0, "events are copied by words");

struct egress_ring {
    struct shared *shared;
    _Atomic uint64_t *index;
    struct buffer *buffers;
    size_t size;
    uint32_t capacity; /* ours: the shared one is not read again */
    int fd;            /* -1: the caller's */
    bool writable;
    bool settled;
};

static size_t index_at(void)
{
    return (sizeof(struct shared) + 63) / 64 * 64;
}

static size_t buffers_at(uint32_t capacity)
{
    return (index_at() + capacity * sizeof(uint64_t) + 63) / 64 * 64;
}

static size_t ring_size(uint32_t capacity)
{
    return buffers_at(capacity) + ((size_t)capacity + RING_SPARES) * sizeof(struct buffer);
}

static uint64_t word_of(uint64_t seq, uint32_t buffer)
{
    return seq << BUFFER_BITS | buffer;
}

static enum eg_status ring_map(int fd, uint32_t capacity, bool writable, struct egress_ring **ret)
{
    struct egress_ring *r = calloc(1, sizeof *r);
    if (!r)
        return EG_NOMEM;
    size_t size = ring_size(capacity);
    void *at = mmap(NULL, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        free(r);
        return EG_NOMEM;
    }
    *r = (struct egress_ring){ .shared = at,
                               .index = (void *)((char *)at + index_at()),
                               .buffers = (void *)((char *)at + buffers_at(capacity)),
                               .size = size,
                               .capacity = capacity,
                               .fd = -1,
                               .writable = writable };
    *ret = r;
    return EG_OK;
}

enum eg_status egress_ring_create(uint32_t capacity, struct egress_ring **ret, int *fd)
{
    if (capacity < RING_MIN || capacity > RING_MAX)
        return EG_INVALID;
    int made = memfd_create("egress-audit", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (made < 0)
        return EG_IO;
    struct egress_ring *r = NULL;
    enum eg_status s = EG_IO;
    if (ftruncate(made, (off_t)ring_size(capacity)) != 0 ||
        fcntl(made, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        goto fail;
    s = ring_map(made, capacity, true, &r);
    if (s != EG_OK)
        goto fail;
    r->fd = made;
    r->shared->magic = RING_MAGIC;
    r->shared->version = RING_VERSION;
    r->shared->capacity = capacity;
    r->shared->buffer_size = sizeof(struct buffer);
    r->shared->spares = RING_SPARES;
    for (uint32_t i = 0; i < capacity; i++) /* number 0: nothing yet */
        atomic_store_explicit(&r->index[i], word_of(0, i), memory_order_relaxed);
    for (uint32_t i = 0; i < RING_SPARES; i++)
        atomic_store_explicit(&r->shared->spare[i], capacity + i, memory_order_relaxed);
    atomic_store(&r->shared->free, UINT64_MAX);
    *ret = r;
    *fd = made;
    return EG_OK;
fail:
    close(made);
    return s;
}

/* The header of a ring that another process may be changing: every value is read once. */
static enum eg_status read_header(int fd, uint32_t *capacity)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    /* Sealed, it can't shrink under a reader (SIGBUS). */
    if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) != (F_SEAL_SHRINK | F_SEAL_GROW))
        return EG_INVALID;
    struct shared head;
    if (fstat(fd, &st) != 0 || st.st_size < (off_t)sizeof head)
        return EG_INVALID;
    if (pread(fd, &head, sizeof head, 0) != (ssize_t)sizeof head)
        return EG_INVALID;
    if (head.magic != RING_MAGIC || head.version != RING_VERSION ||
        head.buffer_size != sizeof(struct buffer) || head.spares != RING_SPARES ||
        head.capacity < RING_MIN || head.capacity > RING_MAX ||
        st.st_size != (off_t)ring_size(head.capacity))
        return EG_INVALID;
    *capacity = head.capacity;
    return EG_OK;
}

enum eg_status egress_ring_open(int fd, struct egress_ring **ret)
{
    uint32_t capacity = 0;
    enum eg_status s = read_header(fd, &capacity);
    if (s != EG_OK)
        return s;
    int mode = fcntl(fd, F_GETFL);
    return ring_map(fd, capacity, mode >= 0 && (mode & O_ACCMODE) == O_RDWR, ret);
}

void egress_ring_free(struct egress_ring *r)
{
    if (!r)
        return;
    munmap(r->shared, r->size);
    if (r->fd >= 0)
        close(r->fd);
    free(r);
}

/* Takes a spare buffer; its cell is *cell until give_spare. NO_BUFFER when there is none. */
static uint32_t take_spare(struct egress_ring *r, unsigned *cell)
{
    uint64_t bits = atomic_load(&r->shared->free);
    while (bits) {
        *cell = (unsigned)__builtin_ctzll(bits);
        if (atomic_compare_exchange_weak(&r->shared->free, &bits, bits & (bits - 1))) {
            uint32_t b = atomic_load(&r->shared->spare[*cell]);
            return b < r->capacity + RING_SPARES ? b : NO_BUFFER;
        }
    }
    return NO_BUFFER;
}

static void give_spare(struct egress_ring *r, unsigned cell, uint32_t buffer)
{
    atomic_store(&r->shared->spare[cell], buffer);
    atomic_fetch_or(&r->shared->free, UINT64_C(1) << cell);
}

static void fill(struct egress_ring *r, uint32_t buffer, const struct egress_event *e)
{
    struct buffer *b = &r->buffers[buffer];
    uint64_t words[EVENT_WORDS];
    memcpy(words, e, sizeof words);
    /* Pairs with copy_out's: who sees a new word sees that the index has let go of the buffer. */
    atomic_thread_fence(memory_order_release);
    for (size_t i = 0; i < EVENT_WORDS; i++)
        atomic_store_explicit(&b->words[i], words[i], memory_order_relaxed);
    atomic_store_explicit(&b->words[STAMP_WORD], eg_clock_ms(), memory_order_relaxed);
}

/* No spare is left (64 writers were killed in mid-append, or somebody spoiled the list): takes
 * the buffer out of the index, which shows the number as missing meanwhile, and puts it back
 * filled. */
static void append_in_place(struct egress_ring *r, const struct egress_event *e)
{
    _Atomic uint64_t *slot = &r->index[e->seq % r->capacity];
    uint64_t held = word_of(0, NO_BUFFER), old = atomic_load(slot);
    uint32_t buffer;
    do {
        buffer = old & NO_BUFFER;
        if (old >> BUFFER_BITS >= e->seq || buffer >= r->capacity + RING_SPARES)
            return;
    } while (!atomic_compare_exchange_weak(slot, &old, held));
    fill(r, buffer, e);
    atomic_compare_exchange_strong(slot, &held, word_of(e->seq, buffer));
}

static void publish(struct egress_ring *r, const struct egress_event *e, uint32_t buffer,
                    unsigned cell)
{
    _Atomic uint64_t *slot = &r->index[e->seq % r->capacity];
    uint64_t old = atomic_load(slot);
    do {
        if (old >> BUFFER_BITS >= e->seq) { /* a whole lap late: ours is overwritten already */
            give_spare(r, cell, buffer);
            return;
        }
    } while (!atomic_compare_exchange_weak(slot, &old, word_of(e->seq, buffer)));
    if ((old & NO_BUFFER) < r->capacity + RING_SPARES)
        give_spare(r, cell, old & NO_BUFFER);
}

uint64_t egress_ring_append(struct egress_ring *r, struct egress_event *e)
{
    if (!r->writable)
        return 0;
    e->seq = atomic_fetch_add(&r->shared->newest, 1) + 1;
    if (e->wall_us == 0)
        e->wall_us = eg_clock_wall_us();
    if (e->seq >= SEQ_LIMIT) /* not reached by counting: a hostile writer has set it */
        return e->seq;
    unsigned cell = 0;
    uint32_t buffer = take_spare(r, &cell);
    if (buffer == NO_BUFFER) {
        append_in_place(r, e);
    } else {
        fill(r, buffer, e);
        publish(r, e, buffer, cell);
    }
    return e->seq;
}

uint64_t egress_ring_next_id(struct egress_ring *r)
{
    return r->writable ? atomic_fetch_add(&r->shared->ids, 1) + 1 : 0;
}

/* Ends every text and brings every number into its range: the writer may be hostile. */
static bool tame(struct egress_event *e, uint64_t seq)
{
    const struct {
        char *text;
        size_t size;
    } texts[] = {
        { e->session, sizeof e->session },       { e->rule, sizeof e->rule },
        { e->host, sizeof e->host },             { e->address, sizeof e->address },
        { e->method, sizeof e->method },         { e->path, sizeof e->path },
        { e->credential, sizeof e->credential }, { e->service, sizeof e->service },
        { e->detail, sizeof e->detail },
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        texts[i].text[texts[i].size - 1] = '\0';
    e->allowed = e->allowed != 0;
    e->observe = e->observe != 0;
    e->truncated = e->truncated != 0;
    if (e->via > EGRESS_VIA_CAPTURED)
        e->via = EGRESS_VIA_NONE;
    if (e->stage > EGRESS_STAGE_RESPONSE)
        e->stage = EGRESS_STAGE_REQUEST;
    if (e->reason >= EG_STATUS_COUNT)
        e->reason = EG_INTERNAL;
    return e->seq == seq && e->kind >= EGRESS_EVENT_DECISION && e->kind <= EGRESS_EVENT_SYSTEM;
}

enum found { FOUND, GONE, MISSING };

/* Copies event seq. GONE: overwritten or spoiled; MISSING: its number is given, the event is
 * not there. */
static enum found copy_out(const struct egress_ring *r, uint64_t seq, struct egress_event *e,
                           uint64_t *stamp_ms)
{
    _Atomic uint64_t *slot = &r->index[seq % r->capacity];
    uint64_t word = atomic_load(slot);
    uint32_t buffer = word & NO_BUFFER;
    if (word >> BUFFER_BITS != seq)
        return word >> BUFFER_BITS > seq ? GONE : MISSING;
    if (buffer >= r->capacity + RING_SPARES)
        return GONE;
    struct buffer *b = &r->buffers[buffer];
    uint64_t words[EVENT_WORDS];
    for (size_t i = 0; i < EVENT_WORDS; i++)
        words[i] = atomic_load_explicit(&b->words[i], memory_order_relaxed);
    *stamp_ms = atomic_load_explicit(&b->words[STAMP_WORD], memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load(slot) != word)
        return GONE;
    memcpy(e, words, sizeof *e);
    return tame(e, seq) ? FOUND : GONE;
}

enum eg_status egress_ring_read(const struct egress_ring *r, uint64_t after, struct egress_event *e,
                                uint64_t *lost)
{
    uint64_t newest = atomic_load(&r->shared->newest);
    if (after >= newest || newest >= SEQ_LIMIT)
        return EG_AGAIN;
    uint64_t seq = after + 1, stamp = 0;
    if (newest > r->capacity && seq <= newest - r->capacity)
        seq = newest - r->capacity + 1;
    bool missing = false;
    struct egress_event copy;
    for (; seq <= newest; seq++) {
        enum found f = copy_out(r, seq, &copy, &stamp);
        if (f == MISSING)
            missing = true;
        if (f != FOUND)
            continue;
        /* A number before it is not there: its writer is at it still, unless it has had time
         * enough. */
        uint64_t now = eg_clock_ms();
        if (missing && !r->settled && stamp <= now && now - stamp < GRACE_MS)
            return EG_AGAIN;
        *e = copy;
        if (lost)
            *lost = seq - after - 1;
        return EG_OK;
    }
    return EG_AGAIN;
}

void egress_ring_settle(struct egress_ring *r)
{
    r->settled = true;
}

void egress_ring_stats(const struct egress_ring *r, uint64_t *newest, uint32_t *capacity,
                       uint64_t *overwritten)
{
    uint64_t n = atomic_load(&r->shared->newest);
    if (newest)
        *newest = n;
    if (capacity)
        *capacity = r->capacity;
    if (overwritten)
        *overwritten = n > r->capacity ? n - r->capacity : 0;
}

bool eg_ring_take_torn(struct egress_ring *r)
{
    return r->writable && atomic_exchange(&r->shared->torn, 0) != 0;
}

void eg_ring_set_torn(struct egress_ring *r)
{
    if (r->writable)
        atomic_store(&r->shared->torn, 1);
}
