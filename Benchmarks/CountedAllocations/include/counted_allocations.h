#pragma once
#include <stdint.h>

/// How often this process has allocated so far. The executable's own malloc, calloc, realloc and posix_memalign count and
/// then call glibc's; every library resolves to them.
uint64_t counted_allocations(void);
