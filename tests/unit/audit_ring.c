/* audit_ring.c - the shared ring: numbers, overwriting, several writers, killed writers,
 * hostile memory. The layout of the memory is known here on purpose: a writer that dies in the
 * middle, or a hostile one, is made by hand. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit/ring.h"
#include "base/clock.h"

enum { NEWEST_AT = 64, FREE_AT = 192, SPARE_AT = 200, SPARES = 64, NO_BUFFER = (1 << 20) - 1 };
#define BUFFER_SIZE (sizeof(struct egress_event) + 8)

struct view { /* the raw memory of a ring */
    char *at;
    size_t size;
    uint32_t capacity;
};

static struct view view_of(int fd)
{
    struct stat st;
    cr_assert_eq(fstat(fd, &st), 0);
    struct view v = { .size = (size_t)st.st_size };
    v.at = mmap(NULL, v.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    cr_assert_neq(v.at, MAP_FAILED);
    memcpy(&v.capacity, v.at + 12, 4);
    return v;
}

static uint64_t *raw_u64(struct view v, size_t at)
{
    return (uint64_t *)(void *)(v.at + at);
}

static size_t raw_index_at(struct view v)
{
    return v.size - (v.capacity + SPARES) * BUFFER_SIZE - (v.capacity * 8 + 63) / 64 * 64;
}

static uint64_t *raw_index(struct view v, uint64_t seq)
{
    return raw_u64(v, raw_index_at(v) + seq % v.capacity * 8);
}

static char *raw_buffer(struct view v, uint64_t number)
{
    return v.at + v.size - (v.capacity + SPARES - number) * BUFFER_SIZE;
}

static void make(uint32_t capacity, struct egress_ring **r, int *fd)
{
    cr_assert_eq(egress_ring_create(capacity, r, fd), EG_OK);
}

/* An event whose every part tells that it is number n of writer w. */
static void compose(struct egress_event *e, uint32_t w, uint64_t n)
{
    memset(e, 0, sizeof *e);
    e->kind = EGRESS_EVENT_DECISION;
    e->writer = w;
    e->id = n;
    e->bytes_up = n * 3 + w;
    e->duration_us = n ^ 0x5555;
    snprintf(e->host, sizeof e->host, "w%u-%llu.example", (unsigned)w, (unsigned long long)n);
    memset(e->path, 'a' + (int)(n % 26), sizeof e->path - 1);
    memset(e->detail, 'A' + (int)(n % 26), sizeof e->detail - 1);
}

static bool whole(const struct egress_event *e)
{
    struct egress_event want;
    compose(&want, e->writer, e->id);
    want.seq = e->seq;
    want.wall_us = e->wall_us;
    return memcmp(&want, e, sizeof want) == 0;
}

static uint64_t add(struct egress_ring *r, uint32_t w, uint64_t n)
{
    struct egress_event e;
    compose(&e, w, n);
    return egress_ring_append(r, &e);
}

Test(audit, ring_refuses_capacities_out_of_range)
{
    struct egress_ring *r = NULL;
    int fd = -7;
    cr_expect_eq(egress_ring_create(0, &r, &fd), EG_INVALID);
    cr_expect_eq(egress_ring_create(15, &r, &fd), EG_INVALID);
    cr_expect_eq(egress_ring_create(1u << 20, &r, &fd), EG_INVALID);
    cr_expect_eq(egress_ring_create(UINT32_MAX, &r, &fd), EG_INVALID);
    cr_expect_null(r);
    cr_expect_eq(fd, -7);
    egress_ring_free(NULL);
}

Test(audit, ring_memory_can_not_change_its_size)
{
    struct egress_ring *r;
    int fd;
    make(16, &r, &fd);
    int seals = fcntl(fd, F_GET_SEALS);
    cr_expect_eq(seals & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
                 F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    cr_expect_eq(ftruncate(fd, 0), -1);
    cr_expect_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    egress_ring_free(r);
    cr_expect_eq(fcntl(fd, F_GETFD), -1, "the descriptor goes with the ring");
}

Test(audit, ring_numbers_and_reads_in_order)
{
    struct egress_ring *r;
    int fd;
    struct egress_event e, got;
    uint64_t lost = 99;
    make(16, &r, &fd);
    cr_expect_eq(egress_ring_read(r, 0, &got, &lost), EG_AGAIN);
    uint64_t before = eg_clock_wall_us();
    for (uint64_t n = 1; n <= 5; n++) {
        compose(&e, 1, n);
        cr_expect_eq(egress_ring_append(r, &e), n);
        cr_expect_eq(e.seq, n);
        cr_expect(e.wall_us >= before && e.wall_us <= eg_clock_wall_us());
    }
    compose(&e, 1, 6);
    e.wall_us = 42;
    cr_expect_eq(egress_ring_append(r, &e), 6);
    for (uint64_t n = 1; n <= 6; n++) {
        cr_assert_eq(egress_ring_read(r, n - 1, &got, &lost), EG_OK);
        cr_expect_eq(got.seq, n);
        cr_expect_eq(lost, 0);
        cr_expect(whole(&got));
    }
    cr_expect_eq(got.wall_us, 42, "a time that is given stays");
    cr_expect_eq(egress_ring_read(r, 6, &got, NULL), EG_AGAIN);
    cr_expect_eq(egress_ring_read(r, 1000, &got, NULL), EG_AGAIN);
    cr_expect_eq(egress_ring_read(r, UINT64_MAX, &got, NULL), EG_AGAIN);
    egress_ring_free(r);
}

Test(audit, ring_overwrites_the_oldest_and_counts_exactly)
{
    struct egress_ring *r;
    int fd;
    struct egress_event got;
    uint64_t lost = 0, newest = 0, over = 0;
    uint32_t capacity = 0;
    make(17, &r, &fd);
    for (uint64_t n = 1; n <= 100; n++) {
        cr_assert_eq(add(r, 1, n), n);
        egress_ring_stats(r, &newest, &capacity, &over);
        cr_assert_eq(newest, n);
        cr_assert_eq(capacity, 17);
        cr_assert_eq(over, n > 17 ? n - 17 : 0);
        cr_assert_eq(egress_ring_read(r, n - 1, &got, &lost), EG_OK, "the newest is there");
        cr_assert(whole(&got) && lost == 0);
    }
    cr_assert_eq(egress_ring_read(r, 0, &got, &lost), EG_OK);
    cr_expect_eq(got.seq, 84);
    cr_expect_eq(lost, 83);
    cr_assert_eq(egress_ring_read(r, 50, &got, &lost), EG_OK);
    cr_expect_eq(got.seq, 84);
    cr_expect_eq(lost, 33);
    uint64_t after = 0, read = 0;
    while (egress_ring_read(r, after, &got, NULL) == EG_OK) {
        after = got.seq;
        read++;
    }
    cr_expect_eq(read, 17);
    egress_ring_stats(r, NULL, NULL, NULL);
    egress_ring_free(r);
}

Test(audit, ring_ids_leave_no_gap_in_the_numbers)
{
    struct egress_ring *r;
    int fd;
    make(16, &r, &fd);
    cr_expect_eq(egress_ring_next_id(r), 1);
    cr_expect_eq(egress_ring_next_id(r), 2);
    cr_expect_eq(add(r, 1, 1), 1);
    cr_expect_eq(egress_ring_next_id(r), 3);
    cr_expect_eq(add(r, 1, 2), 2);
    egress_ring_free(r);
}

Test(audit, ring_opens_from_its_descriptor)
{
    struct egress_ring *r, *again = NULL;
    struct egress_event got;
    int fd;
    make(16, &r, &fd);
    int copy = dup(fd);
    cr_assert_eq(egress_ring_open(copy, &again), EG_OK);
    cr_expect_eq(add(again, 2, 1), 1);
    cr_assert_eq(egress_ring_read(r, 0, &got, NULL), EG_OK);
    cr_expect(whole(&got));
    egress_ring_free(again);
    cr_expect_eq(close(copy), 0, "the descriptor stays the caller's");
    egress_ring_free(r);
}

Test(audit, ring_read_only_descriptor_reads_and_writes_nothing)
{
    struct egress_ring *r, *reader = NULL;
    struct egress_event e, got;
    char path[64];
    int fd;
    make(16, &r, &fd);
    add(r, 1, 1);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int ro = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert_geq(ro, 0);
    cr_assert_eq(egress_ring_open(ro, &reader), EG_OK);
    compose(&e, 1, 2);
    cr_expect_eq(egress_ring_append(reader, &e), 0);
    cr_expect_eq(egress_ring_next_id(reader), 0);
    eg_ring_set_torn(reader);
    cr_expect_not(eg_ring_take_torn(reader));
    cr_assert_eq(egress_ring_read(reader, 0, &got, NULL), EG_OK);
    cr_expect(whole(&got));
    cr_expect_eq(egress_ring_read(reader, 1, &got, NULL), EG_AGAIN);
    egress_ring_free(reader);
    close(ro);
    egress_ring_free(r);
}

/* A memfd of that size with those first bytes. */
static int forge(const void *head, size_t n, off_t size, int seals)
{
    int fd = memfd_create("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    cr_assert_geq(fd, 0);
    cr_assert_eq(ftruncate(fd, size), 0);
    if (n)
        cr_assert_eq(pwrite(fd, head, n, 0), (ssize_t)n);
    if (seals)
        cr_assert_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

Test(audit, ring_refuses_what_is_no_ring)
{
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW;
    struct egress_ring *r, *bad = NULL;
    unsigned char head[64];
    struct stat st;
    int fd;
    make(16, &r, &fd);
    cr_assert_eq(pread(fd, head, sizeof head, 0), (ssize_t)sizeof head);
    cr_assert_eq(fstat(fd, &st), 0);

    int good = forge(head, sizeof head, st.st_size, seals);
    cr_assert_eq(egress_ring_open(good, &bad), EG_OK, "the forger is not the fault");
    egress_ring_free(bad);
    close(good);
    bad = NULL;

    const struct {
        int at, value;
        off_t size;
        int seals;
        const char *what;
    } cases[] = {
        { -1, 0, st.st_size, 0, "no seals" },
        { -1, 0, st.st_size, F_SEAL_GROW, "may shrink" },
        { -1, 0, st.st_size, F_SEAL_SHRINK, "may grow" },
        { -1, 0, st.st_size - 1, seals, "too short" },
        { -1, 0, st.st_size + 4096, seals, "too long" },
        { -1, 0, 64, seals, "shorter than a header" },
        { -1, 0, 0, seals, "empty" },
        { 0, 0, st.st_size, seals, "another magic" },
        { 8, 9, st.st_size, seals, "another version" },
        { 12, 17, st.st_size, seals, "another capacity" },
        { 12, 15, st.st_size, seals, "a capacity below the least" },
        { 15, 0xff, st.st_size, seals, "a huge capacity" },
        { 16, 1, st.st_size, seals, "another buffer size" },
        { 20, 63, st.st_size, seals, "another count of spares" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char h[sizeof head];
        memcpy(h, head, sizeof h);
        if (cases[i].at >= 0)
            h[cases[i].at] = (unsigned char)cases[i].value;
        size_t n = cases[i].size < (off_t)sizeof h ? (size_t)cases[i].size : sizeof h;
        int f = forge(h, n, cases[i].size, cases[i].seals);
        cr_expect_eq(egress_ring_open(f, &bad), EG_INVALID, "%s", cases[i].what);
        close(f);
    }
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    cr_expect_eq(egress_ring_open(null, &bad), EG_INVALID);
    close(null);
    cr_expect_eq(egress_ring_open(-1, &bad), EG_INVALID);
    cr_expect_null(bad);
    egress_ring_free(r);
}

Test(audit, ring_keeps_its_buffers_together)
{
    struct egress_ring *r;
    int fd;
    make(16, &r, &fd);
    struct view v = view_of(fd);
    for (uint64_t n = 1; n <= 1000; n++)
        add(r, 1, n);
    cr_expect_eq(*raw_u64(v, FREE_AT), UINT64_MAX, "every spare was given back");
    bool seen[16 + SPARES] = { false };
    for (unsigned i = 0; i < 16; i++)
        seen[*raw_index(v, i) & NO_BUFFER] = true;
    for (unsigned i = 0; i < SPARES; i++)
        seen[((uint32_t *)(void *)(v.at + SPARE_AT))[i]] = true;
    for (unsigned i = 0; i < 16 + SPARES; i++)
        cr_expect(seen[i], "buffer %u", i);
    munmap(v.at, v.size);
    egress_ring_free(r);
}

/* A writer that died between its number and its event: number 3 never comes. */
Test(audit, ring_missing_number_is_waited_for_then_counted)
{
    struct egress_ring *r;
    struct egress_event got;
    uint64_t lost = 0;
    int fd;
    make(16, &r, &fd);
    struct view v = view_of(fd);
    add(r, 1, 1);
    add(r, 1, 2);
    ++*raw_u64(v, NEWEST_AT);
    cr_expect_eq(egress_ring_read(r, 2, &got, &lost), EG_AGAIN, "nothing later is there");
    cr_expect_eq(add(r, 1, 4), 4);
    cr_expect_eq(egress_ring_read(r, 2, &got, &lost), EG_AGAIN, "its writer may be at it still");
    cr_expect_eq(egress_ring_read(r, 1, &got, &lost), EG_OK, "what is before it is not held up");

    uint64_t *stamp = (uint64_t *)(void *)(raw_buffer(v, *raw_index(v, 4) & NO_BUFFER) +
                                           sizeof(struct egress_event));
    cr_assert(*stamp <= eg_clock_ms() && *stamp + 60000 > eg_clock_ms(), "this is the stamp");
    *stamp -= 300;
    cr_assert_eq(egress_ring_read(r, 2, &got, &lost), EG_OK, "it has had time enough");
    cr_expect_eq(got.seq, 4);
    cr_expect_eq(lost, 1);
    *stamp = UINT64_MAX;
    cr_expect_eq(egress_ring_read(r, 2, &got, &lost), EG_OK, "a stamp of the future holds nobody");

    *stamp = eg_clock_ms();
    egress_ring_settle(r);
    cr_assert_eq(egress_ring_read(r, 2, &got, &lost), EG_OK, "no writer is left");
    cr_expect_eq(lost, 1);
    for (uint64_t n = 5; n <= 40; n++)
        cr_assert_eq(add(r, 1, n), n);
    uint64_t after = 0, read = 0;
    while (egress_ring_read(r, after, &got, &lost) == EG_OK) {
        cr_expect(whole(&got));
        after = got.seq;
        read++;
    }
    cr_expect_eq(read, 16, "the place of the missing one is used again");
    munmap(v.at, v.size);
    egress_ring_free(r);
}

Test(audit, ring_late_event_comes_after_all)
{
    struct egress_ring *r;
    struct egress_event got;
    uint64_t lost = 0;
    int fd;
    make(16, &r, &fd);
    struct view v = view_of(fd);
    add(r, 1, 1);
    uint64_t held = *raw_index(v, 1);
    add(r, 2, 2);
    *raw_index(v, 1) = 1; /* as if writer 1 had its number and not yet its place */
    cr_expect_eq(egress_ring_read(r, 0, &got, &lost), EG_AGAIN);
    *raw_index(v, 1) = held;
    cr_assert_eq(egress_ring_read(r, 0, &got, &lost), EG_OK);
    cr_expect_eq(got.seq, 1);
    cr_expect_eq(lost, 0);
    munmap(v.at, v.size);
    egress_ring_free(r);
}

/* Two writers on one place: the older comes a lap late and must not touch the newer. */
Test(audit, ring_writer_a_lap_late_changes_nothing)
{
    struct egress_ring *r;
    struct egress_event got;
    int fd;
    make(16, &r, &fd);
    struct view v = view_of(fd);
    for (uint64_t n = 1; n <= 20; n++)
        add(r, 1, n);
    *raw_u64(v, NEWEST_AT) = 3; /* the next number is 4, whose place holds 20 */
    cr_expect_eq(add(r, 2, 777), 4);
    *raw_u64(v, NEWEST_AT) = 20;
    cr_assert_eq(egress_ring_read(r, 19, &got, NULL), EG_OK);
    cr_expect(whole(&got) && got.id == 20);
    cr_expect_eq(*raw_u64(v, FREE_AT), UINT64_MAX, "its buffer went back");
    munmap(v.at, v.size);
    egress_ring_free(r);
}

Test(audit, ring_works_without_spares)
{
    struct egress_ring *r;
    struct egress_event got;
    int fd;
    make(16, &r, &fd);
    struct view v = view_of(fd);
    *raw_u64(v, FREE_AT) = 0; /* 64 writers were killed in mid-append */
    for (uint64_t n = 1; n <= 40; n++) {
        cr_assert_eq(add(r, 1, n), n);
        cr_assert_eq(egress_ring_read(r, n - 1, &got, NULL), EG_OK);
        cr_assert(whole(&got));
    }
    *raw_u64(v, NEWEST_AT) = 3;
    cr_expect_eq(add(r, 2, 777), 4, "a lap late");
    *raw_u64(v, NEWEST_AT) = 40;
    cr_assert_eq(egress_ring_read(r, 39, &got, NULL), EG_OK);
    cr_expect_eq(got.id, 40);

    *raw_index(v, 41) = NO_BUFFER; /* killed there too: the place has lost its buffer */
    cr_expect_eq(add(r, 1, 41), 41);
    cr_expect_eq(egress_ring_read(r, 40, &got, NULL), EG_AGAIN);
    *raw_u64(v, FREE_AT) = 1; /* one spare: it repairs the place */
    *raw_u64(v, NEWEST_AT) = 56;
    cr_expect_eq(add(r, 1, 57), 57);
    cr_expect_eq(egress_ring_read(r, 56, &got, NULL), EG_OK);
    cr_expect_eq(*raw_u64(v, FREE_AT), 0);
    munmap(v.at, v.size);
    egress_ring_free(r);
}

Test(audit, ring_bounds_what_a_hostile_writer_wrote)
{
    struct egress_ring *r;
    struct egress_event got;
    uint64_t lost = 0;
    int fd;
    make(16, &r, &fd);
    struct view v = view_of(fd);
    add(r, 1, 1);
    struct egress_event *e = (void *)raw_buffer(v, *raw_index(v, 1) & NO_BUFFER);
    memset(e->session, 0xff, (size_t)((char *)(e + 1) - e->session));
    e->via = e->stage = e->allowed = e->observe = e->truncated = 0xff;
    e->reason = 0xffff;
    cr_assert_eq(egress_ring_read(r, 0, &got, &lost), EG_OK);
    cr_expect_eq(strlen(got.session), sizeof got.session - 1);
    cr_expect_eq(strlen(got.host), sizeof got.host - 1);
    cr_expect_eq(strlen(got.path), sizeof got.path - 1);
    cr_expect_eq(strlen(got.detail), sizeof got.detail - 1);
    cr_expect_eq(got.via, EGRESS_VIA_NONE);
    cr_expect_eq(got.stage, EGRESS_STAGE_REQUEST);
    cr_expect_eq(got.allowed, 1);
    cr_expect_eq(got.observe, 1);
    cr_expect_eq(got.reason, EG_INTERNAL);

    add(r, 1, 2);
    e->kind = 0;
    cr_assert_eq(egress_ring_read(r, 0, &got, &lost), EG_OK);
    cr_expect(got.seq == 2 && lost == 1, "an event of no kind is lost");
    e->kind = EGRESS_EVENT_END;
    e->seq = 7;
    cr_assert_eq(egress_ring_read(r, 0, &got, &lost), EG_OK);
    cr_expect(got.seq == 2 && lost == 1, "an event that bears another number is lost");
    *raw_index(v, 1) = 1 << 20 | 500; /* number 1 in a buffer that does not exist */
    cr_assert_eq(egress_ring_read(r, 0, &got, &lost), EG_OK);
    cr_expect(got.seq == 2 && lost == 1);
    munmap(v.at, v.size);
    egress_ring_free(r);
}

Test(audit, ring_survives_any_bytes_in_its_memory)
{
    struct egress_ring *r;
    struct egress_event got;
    int fd;
    make(16, &r, &fd);
    struct view v = view_of(fd);
    unsigned seed = 20261121;
    for (unsigned round = 0; round < 200; round++) {
        for (size_t i = 0; i + 4 <= v.size; i += 4) {
            uint32_t w = (uint32_t)rand_r(&seed) << 16;
            w ^= (uint32_t)rand_r(&seed);
            if (round < 2)
                w = round ? 0 : UINT32_MAX;
            memcpy(v.at + i, &w, 4);
        }
        if (round % 3)
            *raw_u64(v, NEWEST_AT) = 30;
        uint64_t after = 0, lost = 0, reads = 0;
        while (egress_ring_read(r, after, &got, &lost) == EG_OK) {
            cr_assert_gt(got.seq, after);
            cr_assert_lt(strnlen(got.detail, sizeof got.detail), sizeof got.detail);
            after = got.seq;
            cr_assert_lt(++reads, 100);
        }
        for (unsigned n = 0; n < 50; n++)
            add(r, 1, n);
        egress_ring_stats(r, NULL, NULL, &lost);
    }
    munmap(v.at, v.size);
    egress_ring_free(r);
}

/* Two writers in processes of their own; the reader is a third. Returns what it read; *lost
 * what it was told of. */
static uint64_t race(struct egress_ring *r, uint64_t each, uint64_t *lost, uint64_t in_order[3])
{
    pid_t writers[2];
    for (uint32_t w = 1; w <= 2; w++) {
        writers[w - 1] = fork();
        cr_assert_geq(writers[w - 1], 0);
        if (writers[w - 1] == 0) {
            for (uint64_t n = 1; n <= each; n++)
                add(r, w, n);
            _exit(0);
        }
    }
    uint64_t after = 0, read = 0, skipped = 0, running = 2, deadline = eg_clock_ms() + 60000;
    struct egress_event got;
    while (after < 2 * each) {
        cr_assert_lt(eg_clock_ms(), deadline);
        if (running && waitpid(-1, NULL, WNOHANG) > 0 && --running == 0)
            egress_ring_settle(r);
        if (egress_ring_read(r, after, &got, &skipped) != EG_OK) {
            sched_yield();
            continue;
        }
        cr_assert(whole(&got), "number %llu is mixed", (unsigned long long)got.seq);
        cr_assert_eq(got.seq, after + skipped + 1);
        cr_assert_gt(got.id, in_order[got.writer], "each writer's own order holds");
        in_order[got.writer] = got.id;
        *lost += skipped;
        after = got.seq;
        read++;
    }
    while (running && waitpid(-1, NULL, 0) > 0)
        running--;
    return read;
}

Test(audit, ring_two_writers_and_a_reader_lose_nothing)
{
    struct egress_ring *r;
    uint64_t lost = 0, last[3] = { 0 };
    int fd;
    make(8192, &r, &fd);
    cr_expect_eq(race(r, 4000, &lost, last), 8000);
    cr_expect_eq(lost, 0);
    cr_expect_eq(last[1], 4000);
    cr_expect_eq(last[2], 4000);
    struct view v = view_of(fd);
    cr_expect_eq(*raw_u64(v, FREE_AT), UINT64_MAX);
    munmap(v.at, v.size);
    egress_ring_free(r);
}

Test(audit, ring_two_writers_wrap_onto_each_other)
{
    struct egress_ring *r;
    uint64_t lost = 0, last[3] = { 0 }, newest = 0, over = 0;
    int fd;
    make(16, &r, &fd);
    uint64_t read = race(r, 100000, &lost, last);
    cr_expect_eq(read + lost, 200000, "every number was read or counted");
    egress_ring_stats(r, &newest, NULL, &over);
    cr_expect_eq(newest, 200000);
    cr_expect_eq(over, 200000 - 16);
    struct egress_event got;
    uint64_t after = newest - 16;
    for (unsigned i = 1; i <= 16; i++, after++) {
        cr_assert_eq(egress_ring_read(r, after, &got, &lost), EG_OK);
        cr_expect(whole(&got) && got.seq == newest - 16 + i && lost == 0);
    }
    egress_ring_free(r);
}

Test(audit, ring_writer_killed_at_any_point_costs_one_event)
{
    enum { ROUNDS = 60 };
    struct egress_ring *r;
    struct egress_event got;
    uint64_t newest = 0, lost = 0, holes = 0;
    int fd;
    make(64, &r, &fd);
    unsigned seed = 7;
    for (unsigned round = 0; round < ROUNDS; round++) {
        egress_ring_stats(r, &newest, NULL, NULL);
        uint64_t until = newest + 100 + (uint64_t)rand_r(&seed) % 2000;
        uint64_t deadline = eg_clock_ms() + 20000;
        pid_t writer = fork();
        cr_assert_geq(writer, 0);
        if (writer == 0)
            for (uint64_t n = 1;; n++)
                add(r, 1, n);
        do {
            egress_ring_stats(r, &newest, NULL, NULL);
            cr_assert_lt(eg_clock_ms(), deadline);
        } while (newest < until);
        cr_assert_eq(kill(writer, SIGKILL), 0);
        cr_assert_eq(waitpid(writer, NULL, 0), writer);
        egress_ring_settle(r);
        egress_ring_stats(r, &newest, NULL, NULL);
        uint64_t after = newest - 64, read = 0;
        while (egress_ring_read(r, after, &got, &lost) == EG_OK) {
            cr_assert(whole(&got), "nothing is half written");
            after = got.seq;
            read++;
        }
        cr_assert_geq(read, 63, "at most the one that was being written");
        holes += 64 - read;
    }
    struct view v = view_of(fd);
    int spares = __builtin_popcountll(*raw_u64(v, FREE_AT));
    cr_expect_geq(spares, SPARES - ROUNDS, "at most one spare a kill");
    cr_expect_leq(holes, (uint64_t)ROUNDS);
    munmap(v.at, v.size);
    egress_ring_free(r);
}
