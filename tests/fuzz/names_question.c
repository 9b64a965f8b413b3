/* names_question: what a captured child sends to its resolver: one question, answered from a table that the whole run fills.
 *
 * Properties: no byte beyond n is read (the copy is exact, so ASan sees it); the same bytes are the same question; a host's name is
 * canonical, read again from its own text; an answer is never longer than promised, carries the question's number, is none to this
 * parser, and its address stands for the very name that was asked. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "proxy/names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct eg_names *table(void)
{
    static struct eg_names *t;
    if (!t && (sodium_init() < 0 || eg_names_new(&t) != EG_OK))
        abort();
    return t;
}

static void check_name(const struct eg_names_question *q)
{
    struct eg_authority again;
    if (eg_host_parse(eg_authority_host(&q->name), &again, NULL) != EG_OK)
        abort();
    assert(eg_authority_eq(&again, &q->name) && !q->name.literal && q->name.host_len > 0);
    assert(strlen(q->name.host) == q->name.host_len);
}

static void check_answer(const struct eg_names_question *q, const struct eg_names_answer *a)
{
    char out[EG_NAMES_ANSWER_MAX];
    struct eg_names_question back;
    struct eg_authority name;
    size_t n = eg_names_write(q, a, out);
    assert(n <= sizeof out && (n == 0) == (q->kind == EG_NAMES_DROP));
    if (n == 0)
        return;
    assert(n >= EG_NAMES_HEAD && (unsigned char)out[0] == q->id >> 8 &&
           (unsigned char)out[1] == (q->id & 255));
    eg_names_parse(out, n, &back);
    assert(back.kind == EG_NAMES_DROP);
    if (a->addr.family == 4 && eg_names_covers(&a->addr))
        assert(eg_names_name(table(), &a->addr, &name) &&
               eg_slice_eq(eg_authority_host(&name), eg_authority_host(&q->name)));
    assert(eg_names_count(table()) <= EG_NAMES_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct eg_names_question q, same;
    struct eg_names_answer a = { .rcode = EG_NAMES_NOERROR };
    char *copy = malloc(size ? size : 1);
    if (!copy)
        abort();
    memcpy(copy, data, size);
    eg_names_parse(copy, size, &q);
    eg_names_parse(copy, size, &same);
    assert(q.kind == same.kind && q.rcode == same.rcode && q.type == same.type &&
           q.asked.p == same.asked.p && q.asked.n == same.asked.n);
    if (q.kind == EG_NAMES_ASKED) {
        assert(q.asked.p == copy + EG_NAMES_HEAD && q.asked.n >= 5 &&
               q.asked.n <= size - EG_NAMES_HEAD);
        if (q.host)
            check_name(&q);
        eg_names_answer_to(table(), &q, &a);
    }
    check_answer(&q, &a);
    free(copy);
    return 0;
}
