/* A message as a transport sees it: encoded, decoded again. The only user of
 * libetcdraft that needs protobuf-c, which pkg-config --static names.
 *
 * It has names of its own that the library has inside, and uses functions that
 * the library's own sources may not: neither may disturb the other. */

#include <etcdraft/err.h>
#include <etcdraft/raftpb.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASSERT(cond)      "mine"
#define ARRAY_LEN(a)      "mine"
#define container_of(...) "mine"

void *xmalloc(int how_often);
int raft_init(void);
int buf_init(void);

void *xmalloc(int how_often)
{
    return calloc((size_t)how_often, 1);
}

int raft_init(void)
{
    return 1;
}

int buf_init(void)
{
    return 2;
}

int main(void)
{
    struct raft_message m = {.type = RAFT_MSG_APP, .to = 1, .from = 2};
    struct raft_message back = {0};
    char text[32];

    raft_entries_take(&m.entries,
                      raft_entry_new(RAFT_ENTRY_NORMAL,
                                     (struct bytes){(const uint8_t *)"x", 1}));
    size_t len = raft_message_size(&m);
    uint8_t *wire = xmalloc((int)len);
    if (raft_message_encode(&m, wire) != wire + len) {
        return 1;
    }
    int rc = raft_message_decode((struct bytes){wire, len}, &back);
    if (rc < 0) {
        fprintf(stderr, "decode: %s\n", err_str(rc));
        return 1;
    }
    strcpy(text, raft_message_type_name(back.type));
    printf("%s from %d with %d entries, %d %s\n", text, (int)back.from,
           (int)back.entries.len, atoi("7") + raft_init() + buf_init(),
           ASSERT(0));
    raft_message_release(&m);
    raft_message_release(&back);
    free(wire);
    return 0;
}
