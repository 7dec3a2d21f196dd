/* The replicated state: the map, and who the members are.
 *
 * src/kv is the state machine. It applies what the log says, answers lookups,
 * and turns itself into a snapshot's content and back; it knows no raft, no
 * network and no time, and does the same on every node.
 *
 * Counterpart: etcd contrib/raftexample kvstore.go.
 * Differs: values are bytes, not text; the members' URLs are part of the
 * state; ids that were removed are remembered for the life of the store. */

#ifndef SRC_KV_KVSTORE_H
#define SRC_KV_KVSTORE_H

#include "src/base/common.h"
#include "src/base/err.h"

struct buf;
struct kvstore; /* opaque */

/* A member whose URL is known. `url` is borrowed from the store until the next
 * change of its members. */
struct kv_member {
    uint64_t id;
    const char *url;
};

/* `seed` is of the hash only: it shows in nothing that leaves the store. */
struct kvstore *kvstore_new(uint64_t seed);
void kvstore_free(struct kvstore *s); /* NULL: no-op */

/* --- the map --- */

/* map[key] = value; both are copied. */
void kvstore_set(struct kvstore *s, struct bytes key, struct bytes value);

/* From this length on a value need not be copied. */
#define KV_APART_MIN ((size_t)16384)

/* The owner of a value's bytes is not needed any more. */
typedef void kv_drop(void *owner);

/* The same, of a value of KV_APART_MIN bytes or more, which stays where it is:
 * unchanged, until `drop(owner)`. Called where the store is changed or freed,
 * but never while a view has the value. */
void kvstore_take(struct kvstore *s, struct bytes key, struct bytes value,
                  void *owner, kv_drop *drop);

/* Whether the key is there; *value is borrowed until the next change. An empty
 * value is present with len 0. */
bool kvstore_get(const struct kvstore *s, struct bytes key,
                 struct bytes *value);

size_t kvstore_len(const struct kvstore *s);

/* --- members --- */

/* Remember the URL of a member (copied; NULL: known to be a member, URL not
 * known). The id is no longer counted as removed. */
void kvstore_set_member(struct kvstore *s, uint64_t id, const char *url);

/* Forget the member and remember that the id was removed. */
void kvstore_remove_member(struct kvstore *s, uint64_t id);

/* The URL, or NULL where the id is no member or has none. Borrowed. */
const char *kvstore_member_url(const struct kvstore *s, uint64_t id);

bool kvstore_has_member(const struct kvstore *s, uint64_t id);
bool kvstore_was_removed(const struct kvstore *s, uint64_t id);

/* The i-th member by ascending id, i < kvstore_n_members. */
size_t kvstore_n_members(const struct kvstore *s);
struct kv_member kvstore_member(const struct kvstore *s, size_t i);

/* --- snapshots --- */

/* The map as it was at one moment. It may be read on another thread, while its
 * store goes on (pairs.h). */
struct kv_view; /* opaque */

/* Freeze the map: takes no time, whatever its size. Not while there is a view
 * already, nor while kvstore_is_melting. Owned by the caller: kvstore_thaw. */
struct kv_view *kvstore_freeze(struct kvstore *s);

/* The view is not needed any more. What was set meanwhile is merged by
 * kvstore_melt, and by later sets. */
void kvstore_thaw(struct kvstore *s, struct kv_view *view);
bool kvstore_is_melting(const struct kvstore *s);

/* Merge up to `n` pairs. */
void kvstore_melt(struct kvstore *s, size_t n);

/* How long the content is, once it was written. */
size_t kv_view_bytes(const struct kv_view *view);

/* From another thread than the one that reads the view: kv_view_write ends
 * soon, with ERR_STOPPED. */
void kv_view_stop(struct kv_view *view);

/* A piece of a snapshot's content, borrowed; negative: go no further. An empty
 * one says that some time has passed, for who has something else to do. */
typedef int kv_view_sink(void *arg, struct bytes piece);

/* The content of `view` (a struct kv_view): the map as the JSON object of
 * formats-snapshot.md section 4, keys sorted by their bytes, so that equal
 * states give equal bytes. Members are not in it; they travel in the snapshot's
 * metadata. Handed to `sink` in pieces, the same bytes each time; by one thread
 * at a time. Returns 0, or what the sink said. */
int kv_view_write(void *view, kv_view_sink *sink, void *arg);

/* Append the content as of now to `b`, all at once.
 * ERR_TOO_LARGE if `b` has no room. */
MUST_CHECK int kvstore_snapshot(const struct kvstore *s, struct buf *b);

/* Replace the map by the content of `image`; members and removed ids are
 * forgotten, the caller sets the members anew. Not while there is a view. On
 * error (ERR_MALFORMED) the store is unchanged, `em` says where. */
MUST_CHECK int kvstore_restore(struct kvstore *s, struct bytes image,
                               struct errmsg *em);

#endif /* SRC_KV_KVSTORE_H */
