/* sample.h - times of one measurement, and the line of JSON that tells of them. Included by load and ask, one each. */
#ifndef EG_TESTS_BENCH_SAMPLE_H
#define EG_TESTS_BENCH_SAMPLE_H

#include "bench/wire.h"

static uint32_t *sample_ns;
static uint64_t sample_count, sample_max;

static inline void sample_begin(uint64_t most)
{
    sample_max = most;
    sample_ns = calloc(most + 1, sizeof *sample_ns);
    if (!sample_ns)
        bench_die("no memory");
}

static inline void sample(uint64_t since)
{
    uint64_t ns = bench_now() - since;
    if (sample_count < sample_max)
        sample_ns[sample_count++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

static inline int sample_by_value(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static inline double sample_percentile_us(unsigned percent)
{
    if (sample_count == 0)
        return 0;
    uint64_t at = sample_count * percent / 100;
    return sample_ns[at < sample_count ? at : sample_count - 1] / 1e3;
}

static inline void sample_report(uint64_t begun)
{
    double seconds = (double)(bench_now() - begun) / 1e9;
    qsort(sample_ns, sample_count, sizeof *sample_ns, sample_by_value);
    printf("{\"seconds\":%.6f,\"count\":%llu,\"rate\":%.1f,\"p50_us\":%.2f,\"p99_us\":%.2f}\n",
           seconds, (unsigned long long)sample_count, (double)sample_count / seconds,
           sample_percentile_us(50), sample_percentile_us(99));
    free(sample_ns);
    sample_ns = NULL;
}

#endif
