/* CRC-32C, in software (eight bytes per step) or by the SSE4.2 instruction.
 *
 * That instruction gives its result three cycles after it began, and a new one
 * can begin in each: so of long runs three lanes are computed side by side, and
 * then joined (Gopal et al., Fast CRC Computation for iSCSI Polynomial Using
 * CRC32 Instruction, Intel 2011). Joining rests on the CRC being linear: the
 * value behind a lane is that of the lane begun with 0, exclusive or the value
 * before it moved past as many zero bytes.
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
/* So many bytes to each of three lanes. */
#define LANE_BYTES ((size_t)1024)

/* PAST_LANE[k][b]: the value b << 8k moved past a lane of zero bytes. */
static uint32_t PAST_LANE[4][256];

static uint32_t past_lane(uint32_t crc)
{
    return PAST_LANE[0][crc & 0xff] ^ PAST_LANE[1][crc >> 8 & 0xff] ^
           PAST_LANE[2][crc >> 16 & 0xff] ^ PAST_LANE[3][crc >> 24];
}

static uint64_t load64(const uint8_t *p)
{
    uint64_t word;

    memcpy(&word, p, 8);
    return word;
}

__attribute__((target("sse4.2"))) static uint32_t
update_three_lanes(uint32_t crc, const uint8_t *p)
{
    uint64_t a = crc;
    uint64_t b = 0;
    uint64_t c = 0;

    for (size_t i = 0; i < LANE_BYTES; i += 8) {
        a = __builtin_ia32_crc32di(a, load64(p + i));
        b = __builtin_ia32_crc32di(b, load64(p + LANE_BYTES + i));
        c = __builtin_ia32_crc32di(c, load64(p + 2 * LANE_BYTES + i));
    }
    crc = past_lane((uint32_t)a) ^ (uint32_t)b;
    return past_lane(crc) ^ (uint32_t)c;
}

__attribute__((target("sse4.2"))) static uint32_t
update_sse42(uint32_t crc, const uint8_t *p, size_t len)
{
    uint64_t wide;

    for (; len >= 3 * LANE_BYTES; len -= 3 * LANE_BYTES, p += 3 * LANE_BYTES) {
        crc = update_three_lanes(crc, p);
    }
    wide = crc;
    for (; len >= 8; len -= 8, p += 8) {
        wide = __builtin_ia32_crc32di(wide, load64(p));
    }
    crc = (uint32_t)wide;
    for (; len > 0; len--, p++) {
        crc = __builtin_ia32_crc32qi(crc, *p);
    }
    return crc;
}

static void fill_past_lane(void)
{
    static const uint8_t zeros[LANE_BYTES];

    for (unsigned k = 0; k < ARRAY_LEN(PAST_LANE); k++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            unsigned first = 1U << bit;
            uint32_t moved =
                update_software(1U << (8 * k + bit), zeros, LANE_BYTES);

            /* All values whose highest bit this is. */
            for (unsigned b = 0; b < first; b++) {
                PAST_LANE[k][first + b] = PAST_LANE[k][b] ^ moved;
            }
        }
    }
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
        fill_past_lane();
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

/* --- joining --- */

/* Polynomials over GF(2) modulo the CRC's, reflected: bit 31 is x^0. */
#define POLY_ONE UINT32_C(0x80000000)
#define POLY_X8  UINT32_C(0x00800000)

static uint32_t poly_multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;

    for (uint32_t bit = POLY_ONE; bit != 0; bit >>= 1) {
        if ((a & bit) != 0) {
            product ^= b;
        }
        b = b >> 1 ^ (b & 1 ? POLYNOMIAL : 0);
    }
    return product;
}

/* A byte behind the first run multiplies its CRC by x^8. */
uint32_t crc32c_combine(uint32_t first, uint32_t second, uint64_t second_len)
{
    uint32_t shift = POLY_ONE;
    uint32_t square = POLY_X8;

    for (uint64_t n = second_len; n > 0; n >>= 1) {
        if ((n & 1) != 0) {
            shift = poly_multiply(shift, square);
        }
        square = poly_multiply(square, square);
    }
    return poly_multiply(shift, first) ^ second;
}
