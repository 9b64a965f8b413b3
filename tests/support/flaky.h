/* flaky.h - a layer for tests that behaves as badly as a stream may: short reads and writes, and EG_AGAIN at random although
 * the layer below is ready. Seeded, so that a failure can be repeated. */
#ifndef EG_TESTS_FLAKY_H
#define EG_TESTS_FLAKY_H

#include "stream/stream.h"

/* Owns below when it succeeds. again_percent: how many of 100 calls are EG_AGAIN; the others move 1..most bytes. */
enum eg_status flaky_stream(struct eg_stream *below, uint64_t seed, unsigned again_percent, size_t most,
                            struct eg_stream **ret) EG_MUST_USE;

#endif
