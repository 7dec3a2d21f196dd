/* Bytes as hexadecimal text, for tables of vectors. */

#include "tests/lib/hex.h"

#include "src/base/alloc.h"

static const char DIGITS[] = "0123456789abcdef";

static uint8_t digit(char c)
{
    const char *at = c == '\0' ? NULL : strchr(DIGITS, c | 0x20);

    ASSERT(at != NULL);
    return (uint8_t)(at - DIGITS);
}

uint8_t *hex_decode(const char *hex, size_t *len)
{
    uint8_t *out = xmalloc(strlen(hex) / 2 + 1);

    *len = 0;
    while (*hex != '\0') {
        if (*hex == ' ') {
            hex++;
            continue;
        }
        uint8_t high = digit(hex[0]);
        out[(*len)++] = (uint8_t)(high << 4 | digit(hex[1]));
        hex += 2;
    }
    return out;
}

char *hex_encode(struct bytes b)
{
    char *out = xmalloc(b.len * 2 + 1);

    for (size_t i = 0; i < b.len; i++) {
        out[2 * i] = DIGITS[b.data[i] >> 4];
        out[2 * i + 1] = DIGITS[b.data[i] & 15];
    }
    out[b.len * 2] = '\0';
    return out;
}
