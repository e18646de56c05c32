#pragma once

#include <zlib.h>

/* A macro in zlib.h. Negative window bits: deflate's blocks alone, without zlib's header and trailer. */
static inline int latchkey_deflate_init(z_stream *stream, int level) {
    return deflateInit2(stream, level, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
}
