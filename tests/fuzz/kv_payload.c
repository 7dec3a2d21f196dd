/* Goal: no bytes of a log entry or of a snapshot's content harm the state
 * machine, and what it understands it writes so that it means the same.
 * Method: the first byte chooses: a payload (gob) is decoded, encoded and
 * decoded again; an image (JSON) is restored, written and restored again. */

#include "src/base/alloc.h"
#include "src/base/buf.h"
#include "src/kv/command.h"
#include "src/kv/image.h"
#include "src/kv/kvstore.h"
#include "tests/fuzz/lib/fuzz.h"

static bool lies_in(struct bytes part, struct bytes whole)
{
    return part.len == 0 || (part.data >= whole.data &&
                             part.data + part.len <= whole.data + whole.len);
}

static void try_payload(struct bytes in)
{
    struct kv_command c;
    struct kv_command again;
    uint8_t *p;
    size_t size;

    if (kv_command_decode(in, &c) < 0) {
        return;
    }
    ASSERT(lies_in(c.key, in) && lies_in(c.value, in));
    fuzz_use(c.key);
    fuzz_use(c.value);
    size = kv_command_size(&c);
    p = xmalloc(size);
    ASSERT(kv_command_encode(&c, p) == p + size);
    ASSERT(kv_command_decode((struct bytes){p, size}, &again) == 0);
    ASSERT(fuzz_equal(c.key, again.key) && fuzz_equal(c.value, again.value));
    ASSERT(c.id == again.id);
    xfree(p);
}

static void try_image(struct bytes in)
{
    struct kvstore *a = kvstore_new(1);
    struct kvstore *b = kvstore_new(2);
    struct errmsg em;
    struct buf first;
    struct buf second;

    buf_init(&first, BUF_UNLIMITED);
    buf_init(&second, BUF_UNLIMITED);
    if (kvstore_restore(a, in, &em) == 0) {
        ASSERT(kvstore_len(a) <= in.len);
        ASSERT(kvstore_snapshot(a, &first) == 0);
        /* Our own image loses nothing, and does not depend on the hash. */
        ASSERT(kvstore_restore(b, buf_bytes(&first), &em) == 0);
        ASSERT(kvstore_len(a) == kvstore_len(b));
        ASSERT(kvstore_snapshot(b, &second) == 0);
        ASSERT(fuzz_equal(buf_bytes(&first), buf_bytes(&second)));
    } else {
        ASSERT(em.text[0] != '\0');
        ASSERT(kvstore_len(a) == 0);
    }
    buf_release(&first);
    buf_release(&second);
    kvstore_free(a);
    kvstore_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct fuzz_input in = {data, len};
    bool image = fuzz_byte(&in) == 'J';
    struct bytes rest = {in.p, in.left};

    if (image) {
        try_image(rest);
    } else {
        try_payload(rest);
    }
    return 0;
}
