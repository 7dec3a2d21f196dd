/* Configuration changes as text: "v1 l2 r3 u4" [raft-core CC-4]. */

#ifndef TESTS_DATADRIVEN_CHANGES_H
#define TESTS_DATADRIVEN_CHANGES_H

#include "src/base/buf.h"
#include "proto/raftpb.h"

struct changes {
    struct conf_change_single *items;
    size_t n;
};

/* Parse `text`. On an error its text is appended to `out`, and *c is empty.
 * Release with changes_release. */
MUST_CHECK int changes_parse(const char *text, struct changes *c,
                             struct buf *out);
void changes_release(struct changes *c);

#endif /* TESTS_DATADRIVEN_CHANGES_H */
