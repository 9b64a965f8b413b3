/* cmd_facts.c - what workers are told of the machine, its encoding, and the memory files that
 * carry it. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/facts.h"
#include "cmd/files.h"

static char folder[64], file_[4][128];

static void setup(void)
{
    snprintf(folder, sizeof folder, "/tmp/egress-facts-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static void teardown(void)
{
    for (int i = 0; i < 4; i++)
        if (file_[i][0])
            unlink(file_[i]);
    rmdir(folder);
}

static const char *put(int i, const char *name, const char *text)
{
    snprintf(file_[i], sizeof file_[i], "%s/%s", folder, name);
    int fd = open(file_[i], O_WRONLY | O_CREAT | O_TRUNC, 0600);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return file_[i];
}

TestSuite(cmd_facts, .init = setup, .fini = teardown);

Test(cmd_facts, name_servers_of_resolv_conf)
{
    struct eg_sockaddr s[4];
    char text[64];
    static const char conf[] =
        "# nameserver 9.9.9.9\nsearch x\nnameserver 127.0.0.53\n nameserver 1.1.1.1\n"
        "nameserver\t2001:db8::1 # comment\nnameserver fe80::1%eth0\nnameserver 10.0.0.1\r\n"
        "nameservers 8.8.8.8\nnameserver\nnameserver 0x7f.1\nnameserver 10.0.0.2\nnameserver "
        "10.0.0.3";
    cr_assert_eq(eg_facts_servers(eg_slice_str(conf), s), 4);
    cr_assert_str_eq(eg_addr_format(&s[0].addr, text, sizeof text), "127.0.0.53");
    cr_assert_str_eq(eg_addr_format(&s[1].addr, text, sizeof text), "2001:db8::1");
    cr_assert_str_eq(eg_addr_format(&s[2].addr, text, sizeof text), "10.0.0.1");
    cr_assert_str_eq(eg_addr_format(&s[3].addr, text, sizeof text), "10.0.0.2");
    cr_assert_eq(s[3].port, 53);
    cr_assert_eq(eg_facts_servers(EG_SLICE(""), s), 0);
}

Test(cmd_facts, gathered_facts_come_back)
{
    struct eg_facts facts;
    struct eg_buf b;
    eg_buf_init(&b, EG_FACTS_MAX);
    struct eg_facts_paths paths = { .ca_file = put(0, "ca.pem", "PEM"),
                                    .hosts = put(1, "hosts", "127.0.0.1 localhost\n"),
                                    .resolv_conf =
                                        put(2, "resolv.conf", "nameserver 127.0.0.9\n") };
    cr_assert_eq(eg_facts_gather(&paths, &b, NULL), EG_OK);
    cr_assert_eq(eg_facts_decode(b.data, b.len, &facts), EG_OK);
    cr_assert(eg_slice_eq(eg_slice_trim(facts.hosts_text), EG_SLICE("127.0.0.1 localhost\n")));
    cr_assert(eg_slice_starts(facts.system_ca_pem, EG_SLICE("PEM")));
    cr_assert_eq(facts.dns_count, 1);
    cr_assert_eq(facts.dns_servers[0].addr.b[3], 9);
    eg_buf_done(&b);
}

Test(cmd_facts, certificate_folder_is_read_by_its_hash_names)
{
    struct eg_facts facts;
    struct eg_buf b;
    eg_buf_init(&b, EG_FACTS_MAX);
    put(0, "12345678.0", "ONE");
    put(1, "abcdef01.0", "TWO");
    put(2, "readme.txt", "NOT");
    struct eg_facts_paths paths = { .ca_dir = folder };
    cr_assert_eq(eg_facts_gather(&paths, &b, NULL), EG_OK);
    cr_assert_eq(eg_facts_decode(b.data, b.len, &facts), EG_OK);
    struct eg_slice pem = facts.system_ca_pem;
    cr_assert(memmem(pem.p, pem.n, "ONE", 3) && memmem(pem.p, pem.n, "TWO", 3) &&
              !memmem(pem.p, pem.n, "NOT", 3));
    eg_buf_done(&b);
}

Test(cmd_facts, missing_system_files_are_nothing_but_a_named_one_is_an_error)
{
    struct eg_facts facts;
    struct eg_err err = { 0 };
    struct eg_buf b;
    eg_buf_init(&b, EG_FACTS_MAX);
    struct eg_facts_paths paths = { .hosts = "/nonexistent", .resolv_conf = "/nonexistent" };
    cr_assert_eq(eg_facts_gather(&paths, &b, NULL), EG_OK);
    cr_assert_eq(eg_facts_decode(b.data, b.len, &facts), EG_OK);
    cr_assert_eq(facts.dns_count, 0);
    paths.ca_file = "/nonexistent";
    cr_assert_eq(eg_facts_gather(&paths, &b, &err), EG_NOT_FOUND);
    cr_assert(strstr(err.text, "/nonexistent"));
    eg_buf_done(&b);
}

Test(cmd_facts, broken_encodings_are_refused)
{
    struct eg_facts facts;
    struct eg_buf b;
    eg_buf_init(&b, EG_FACTS_MAX);
    struct eg_facts_paths paths = { .hosts = put(0, "hosts", "x"),
                                    .resolv_conf = put(1, "r", "nameserver 1.2.3.4") };
    cr_assert_eq(eg_facts_gather(&paths, &b, NULL), EG_OK);
    unsigned bad = 0;
    for (size_t n = 0; n < b.len; n++) {
        char *copy = malloc(n ? n : 1);
        memcpy(copy, b.data, n);
        bad += eg_facts_decode(copy, n, &facts) == EG_INVALID;
        free(copy);
    }
    cr_assert(bad >= b.len - 4, "only cuts between facts are whole");
    cr_assert_eq(eg_facts_decode("\xff\0\0\0\0\0\0\0", 8, &facts), EG_INVALID);
    eg_buf_done(&b);
}

Test(cmd_facts, sealed_memory_can_be_read_and_not_changed)
{
    int fd;
    const void *p;
    size_t n;
    cr_assert_eq(eg_file_seal("t", EG_SLICE("content"), &fd, NULL), EG_OK);
    cr_assert_eq(eg_file_map(fd, 100, &p, &n, NULL), EG_OK);
    cr_assert(n == 7 && memcmp(p, "content", 7) == 0);
    cr_assert_eq(write(fd, "x", 1), -1);
    cr_assert_eq(ftruncate(fd, 1), -1);
    cr_assert_eq(mmap(NULL, 7, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    munmap((void *)(uintptr_t)p, n);
    cr_assert_eq(eg_file_map(fd, 6, &p, &n, NULL), EG_INVALID, "above the ceiling");
    close(fd);
}

Test(cmd_facts, unsealed_memory_is_not_mapped)
{
    const void *p;
    size_t n;
    int fd = memfd_create("t", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    cr_assert_eq(write(fd, "x", 1), 1);
    cr_assert_eq(eg_file_map(fd, 100, &p, &n, NULL), EG_INVALID);
    close(fd);
}

Test(cmd_facts, files_are_read_up_to_their_ceiling)
{
    struct eg_buf b;
    put(0, "f", "12345678");
    eg_buf_init(&b, 8);
    cr_assert_eq(eg_file_read(file_[0], &b, NULL, NULL), EG_OK);
    cr_assert_eq(b.len, 8);
    eg_buf_done(&b);
    eg_buf_init(&b, 7);
    cr_assert_eq(eg_file_read(file_[0], &b, NULL, NULL), EG_TOO_BIG);
    eg_buf_done(&b);
}

Test(cmd_facts, what_is_no_regular_file_is_not_read)
{
    struct eg_buf b;
    eg_buf_init(&b, 100);
    snprintf(file_[0], sizeof file_[0], "%s/pipe", folder);
    cr_assert_eq(mkfifo(file_[0], 0600), 0);
    cr_assert_eq(eg_file_read(file_[0], &b, NULL, NULL), EG_INVALID,
                 "and it does not wait for a writer");
    cr_assert_eq(eg_file_read(folder, &b, NULL, NULL), EG_INVALID);
    eg_buf_done(&b);
}

/* a repository's ./egress.yaml may be a link to what only its user writes, or become one while the text is made */
Test(cmd_facts, a_file_is_not_rewritten_through_a_link)
{
    struct stat st;
    struct eg_buf b;
    put(1, "user.yaml", "precious");
    snprintf(file_[0], sizeof file_[0], "%s/egress.yaml", folder);
    cr_assert_eq(symlink(file_[1], file_[0]), 0);
    cr_assert_eq(eg_file_rewrite(file_[0], EG_SLICE("new"), NULL), EG_INVALID);
    eg_buf_init(&b, 100);
    cr_assert_eq(eg_file_read(file_[1], &b, NULL, NULL), EG_OK);
    cr_assert(eg_slice_eq(eg_buf_slice(&b), EG_SLICE("precious")));
    cr_assert_eq(chmod(file_[1], 0640), 0);
    cr_assert_eq(eg_file_rewrite(file_[1], EG_SLICE("new"), NULL), EG_OK);
    cr_assert_eq(stat(file_[1], &st), 0);
    cr_assert(st.st_size == 3 && (st.st_mode & 07777) == 0640);
    eg_buf_done(&b);
}

Test(cmd_facts, token_file_takes_the_place_of_a_stale_one_of_ours_only)
{
    struct stat st;
    int fd;
    put(0, "token", "old");
    cr_assert_eq(eg_file_create(file_[0], false, &fd, NULL), EG_EXISTS);
    cr_assert_eq(eg_file_create(file_[0], true, &fd, NULL), EG_OK);
    cr_assert_eq(fstat(fd, &st), 0);
    cr_assert(st.st_size == 0 && (st.st_mode & 07777) == 0600);
    close(fd);
    put(1, "target", "precious");
    snprintf(file_[2], sizeof file_[2], "%s/link", folder);
    cr_assert_eq(symlink(file_[1], file_[2]), 0);
    cr_assert_eq(eg_file_create(file_[2], true, &fd, NULL), EG_EXISTS,
                 "a link is not ours to remove");
    snprintf(file_[3], sizeof file_[3], "%s/hard", folder);
    cr_assert_eq(link(file_[1], file_[3]), 0);
    cr_assert_eq(eg_file_create(file_[3], true, &fd, NULL), EG_EXISTS,
                 "nor a file with another name");
}
