/* CRC-32C (Castagnoli, reflected 0x82F63B78), as a running value.
 *
 * crc32c(0, "123456789", 9) is 0xe3069283. With SSE4.2 the processor's own
 * instruction is used; the result is the same.
 *
 * Counterpart: Go's hash/crc32 with the Castagnoli table; etcd pkg/crc. */

#ifndef SRC_BASE_CRC32C_H
#define SRC_BASE_CRC32C_H

#include "src/base/common.h"

/* Continue `crc` (0 to begin) over `len` bytes. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

/* The same in plain C whatever the processor can do, so that a test can
 * compare the two. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t len);

/* The CRC of two runs of bytes, one behind the other, from that of each (both
 * begun with 0) and the length of the second. */
uint32_t crc32c_combine(uint32_t first, uint32_t second, uint64_t second_len);

#endif /* SRC_BASE_CRC32C_H */
