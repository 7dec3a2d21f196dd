/* CRC-32C, in software (eight bytes per step) or by the SSE4.2 instruction.
 *
 * Both are chosen and the tables filled before main, so that the function
 * needs no lock and no check of its own. */

#include "src/base/crc32c.h"

#define POLYNOMIAL UINT32_C(0x82F63B78)

/* TABLES[k][b]: the CRC of byte b followed by k zero bytes. */
static uint32_t TABLES[8][256];

/* Works on the inverted value, as everything below crc32c() does. */
typedef uint32_t update_fn(uint32_t crc, const uint8_t *p, size_t len);
static update_fn *UPDATE;

static uint32_t load_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

/* Slicing by 8 (Kounavis and Berry, Intel 2005): the eight table look-ups of a
 * step do not depend on each other. */
static uint32_t update_software(uint32_t crc, const uint8_t *p, size_t len)
{
    for (; len >= 8; len -= 8, p += 8) {
        uint32_t lo = crc ^ load_le32(p);
        uint32_t hi = load_le32(p + 4);

        crc = TABLES[7][lo & 0xff] ^ TABLES[6][lo >> 8 & 0xff] ^
              TABLES[5][lo >> 16 & 0xff] ^ TABLES[4][lo >> 24] ^
              TABLES[3][hi & 0xff] ^ TABLES[2][hi >> 8 & 0xff] ^
              TABLES[1][hi >> 16 & 0xff] ^ TABLES[0][hi >> 24];
    }
    for (; len > 0; len--, p++) {
        crc = crc >> 8 ^ TABLES[0][(crc ^ *p) & 0xff];
    }
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t
update_sse42(uint32_t crc, const uint8_t *p, size_t len)
{
    uint64_t wide = crc;

    for (; len >= 8; len -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t)wide;
    for (; len > 0; len--, p++) {
        crc = __builtin_ia32_crc32qi(crc, *p);
    }
    return crc;
}
#endif

static void fill_tables(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;

        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
        }
        TABLES[0][b] = crc;
    }
    for (size_t k = 1; k < ARRAY_LEN(TABLES); k++) {
        for (size_t b = 0; b < 256; b++) {
            uint32_t crc = TABLES[k - 1][b];

            TABLES[k][b] = crc >> 8 ^ TABLES[0][crc & 0xff];
        }
    }
}

__attribute__((constructor)) static void choose(void)
{
    fill_tables();
    UPDATE = update_software;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("sse4.2")) {
        UPDATE = update_sse42;
    }
#endif
}

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
    return ~UPDATE(~crc, data, len);
}

uint32_t crc32c_portable(uint32_t crc, const void *data, size_t len)
{
    return ~update_software(~crc, data, len);
}
