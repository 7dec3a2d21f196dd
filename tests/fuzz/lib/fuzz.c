/* What all fuzz targets share. fuzz.h has the contract. */

#include "tests/fuzz/lib/fuzz.h"

#include "src/base/alloc.h"

static volatile uint64_t sum;

void fuzz_use(struct bytes b)
{
    uint64_t s = 0;

    for (size_t i = 0; i < b.len; i++) {
        s += b.data[i];
    }
    sum += s;
}

void fuzz_use_number(uint64_t v)
{
    sum += v;
}

uint8_t fuzz_byte(struct fuzz_input *in)
{
    if (in->left == 0) {
        return 0;
    }
    in->left--;
    return *in->p++;
}

uint64_t fuzz_number(struct fuzz_input *in, size_t n_bytes)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n_bytes; i++) {
        v |= (uint64_t)fuzz_byte(in) << (8 * i);
    }
    return v;
}

struct bytes fuzz_take(struct fuzz_input *in, size_t len)
{
    struct bytes b = {in->p, len < in->left ? len : in->left};

    in->p += b.len;
    in->left -= b.len;
    return b;
}

uint8_t *fuzz_copy(struct bytes b)
{
    uint8_t *p = xmalloc(b.len > 0 ? b.len : 1);

    if (b.len > 0) {
        memcpy(p, b.data, b.len);
    }
    return p;
}

bool fuzz_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}
